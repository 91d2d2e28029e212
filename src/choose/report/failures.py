"""What an engineer reads about errors: their kinds, and which ones candidates share."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from choose.judge.frozen import Interval
from choose.judge.joining import together
from choose.judge.record import Decision
from choose.judge.record_failures import ErrorClass, Failures, Overlap
from choose.report.candidates import NAME
from choose.report.layout import Column, bullets, note, section, sheet
from choose.report.safe import clean, literal, shorten
from choose.report.words import DASH, percent, span

MEANING = {
    "format": "no usable answer",
    "suspect label": "the label is doubted by several",
    "ambiguous": "two labels fit",
    "not covered": "nothing of this label retrieved",
    "learnable": "learnt from the labels",
    "unknown": "none of these",
}


def failures(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the kinds of errors of the analysed candidate, and what data can fix of them."""
    found = decision.failures
    if found is None or not found.errors:
        return
    kinds = found.classes
    columns = [
        Column("kind", [literal(kind.name) for kind in kinds], figures=False),
        Column("errors", [literal(_count(kind.count)) for kind in kinds]),
        Column("of 100\nerrors", [literal(_share(kind)) for kind in kinds]),
        Column("95 %\ninterval", [literal(span(kind.share)) for kind in kinds]),
        Column("fixed by\nlearning", [literal(_count(kind.fixed)) for kind in kinds]),
        Column("meaning", [literal(MEANING.get(kind.name, "")) for kind in kinds], figures=False),
    ]
    name = shorten(clean(found.candidate), NAME)
    yield section(f"What goes wrong with {name}", *sheet(columns, width), *_fixable(found))


def overlap(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield which errors candidates share, and what a cascade of two would reach."""
    found = decision.overlap
    if found is None:
        return
    parts: list[RenderableType] = [bullets(shared(found))]
    if found.cascade is not None:
        parts.append(
            note(
                "From which confidence on the cheap one answers was chosen on other rows than "
                "those it is measured on."
            )
        )
    yield section("Errors in common", *parts)


def _fixable(found: Failures) -> Iterator[RenderableType]:
    if found.fixable is None or found.reachable is None:
        yield note("Nothing that learns from the labels was asked the same rows.")
        return
    by = shorten(clean(found.supervised), NAME)
    yield note(
        f"Fixed by learning: {by}, which learns from the labels, has the row right. Data can fix "
        f"{_with_span(found.fixable)} of 100 errors, chance fixes taken out; that is up to "
        f"{_with_span(found.reachable)} of 100 rows."
    )


def shared(found: Overlap) -> Iterator[str]:
    """Yield which errors candidates share, a sentence each."""
    yield (
        f"{found.wrong_in_all:,} of {found.rows:,} rows are wrong in all of "
        f"{len(found.candidates)} candidates; at least one is right on "
        f"{_with_span(found.oracle)} of 100."
    )
    if found.both_wrong is not None and found.both_expected is not None:
        yield (
            f"{found.cheap} and {found.strong} are both wrong on {found.both_wrong:,} rows "
            f"({found.both_expected:,.0f} if their errors had nothing to do with each other); "
            f"only {found.cheap} on {found.only_cheap_wrong:,}, only {found.strong} on "
            f"{found.only_strong_wrong:,}."
        )
    if found.cascade is not None:
        yield f"{together(found.cascade)}."


def _with_span(interval: Interval) -> str:
    return f"{percent(interval.value)} ({span(interval)})"


def _share(kind: ErrorClass) -> str:
    return DASH if kind.share is None else percent(kind.share.value)


def _count(count: int | None) -> str:
    return DASH if count is None else f"{count:,}"

"""What an engineer reads about a changing world: drift, a new class, abstaining."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from choose.judge.record import Decision, Interval, Scorecard
from choose.judge.record_stability import NewClassPoint
from choose.report.candidates import Field
from choose.report.layout import Column, note, section, sheet
from choose.report.safe import clean, shorten
from choose.report.words import DASH, change, figure, percent, plural

LABEL = 40


def scenes(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the section on scenarios, as far as any was measured."""
    field = Field(decision)
    later = field.column(
        "lost when asked\nwhat comes later", lambda card: change(card.stability.temporal_drop)
    )
    topics = ([later, *_noise(field)], _arrival(field), _abstaining(field))
    tables: list[RenderableType] = []
    for columns in topics:
        if known := [column for column in columns if column.known]:
            tables += [*([Text()] if tables else []), *sheet([field.names(), *known], width)]
    if tables:
        yield section("When the world changes", *tables, *map(note, _notes(field)))


def _noise(field: Field) -> list[Column]:
    kinds = {(p.kind, p.rate) for c in field.cards for p in c.noise.kinds}
    return [
        field.column(
            f"lost to {100 * rate:g} %\n{kind} noise",
            lambda card, at=(kind, rate): change(_noisy(card, *at)),  # type: ignore[misc]
        )
        # Symmetric noise stands beside the others where these were tried.
        for kind, rate in sorted(kinds)
        if rate == max(other for _, other in kinds)
    ]


def _arrival(field: Field) -> list[Column]:
    counts = sorted({p.examples for c in field.cards for p in _points(c)})
    columns = [
        field.column(
            f"after\n{plural(count, 'row')}",
            lambda card, count=count: _recall(card, count),  # type: ignore[misc]
        )
        for count in counts
    ]
    columns.append(field.column("lost on\nothers", _others))
    columns.append(field.column("seconds to\ntake it up", _seconds))
    return columns


def _abstaining(field: Field) -> list[Column]:
    coverages = sorted({p.coverage for c in field.cards for p in c.selective})
    columns = [
        field.column(
            f"right of 100 in\nits surest {100 * coverage:g} %",
            lambda card, coverage=coverage: _surest(card, coverage),  # type: ignore[misc]
        )
        for coverage in coverages
    ]
    return [*columns, field.column("none of\nthese found", _out_of_scope)]


def _notes(field: Field) -> Iterator[str]:
    cards = field.cards
    if any(card.stability.origins for card in cards):
        yield (
            "Lost over time: accuracy after learning from as many rows of any time, minus after "
            "learning from the past only, on the same later rows; with its 95 % interval."
        )
    labels = {c.stability.new_class.label for c in cards if c.stability.new_class is not None}
    for label in sorted(labels):
        yield (
            f"The new class is {shorten(clean(label), LABEL)}, withheld before; after so many of "
            "its rows, how many of 100 are found. Lost on others: against none of its rows, at "
            "the most rows."
        )


def _noisy(card: Scorecard, kind: str, rate: float) -> Interval | None:
    found = (p.loss for p in card.noise.kinds if (p.kind, p.rate) == (kind, rate))
    return next(found, None)


def _points(card: Scorecard) -> tuple[NewClassPoint, ...]:
    return card.stability.new_class.points if card.stability.new_class is not None else ()


def _recall(card: Scorecard, examples: int) -> str:
    found = (percent(p.recall.value) for p in _points(card) if p.examples == examples)
    return next(found, DASH)


def _others(card: Scorecard) -> str:
    return change(_points(card)[-1].loss) if _points(card) else DASH


def _seconds(card: Scorecard) -> str:
    return figure(_points(card)[-1].fit_seconds) if _points(card) else DASH


def _surest(card: Scorecard, coverage: float) -> str:
    found = (percent(p.accuracy.value) for p in card.selective if p.coverage == coverage)
    return next(found, DASH)


def _out_of_scope(card: Scorecard) -> str:
    return percent(card.out_of_scope_recall)

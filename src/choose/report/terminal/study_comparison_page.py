"""A comparison of two studies for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from choose.formatting import DASH, clean
from choose.report import study_comparison_text as comparison_text
from choose.report.screen_text import literal, shorten
from choose.report.study_comparison_text import (
    COMPARISON_HEADS,
    about,
    cells,
    headline,
    others,
    verdict,
)
from choose.report.terminal.candidate_table import NAME
from choose.report.terminal.layout import Column, Page, bullets, note, pairs, section, split_table
from choose.schema.study_changes import Versus

# The most changes to list, and the characters of a value.
MOST, LONGEST = 20, 60


def versus_page(versus: Versus) -> Page:
    """Return the comparison as a page."""
    return Page(lambda width: _parts(versus, width))


def _parts(versus: Versus, width: int) -> Iterator[RenderableType]:
    yield literal(headline(versus), style="bold")
    sides = (("before", versus.before), ("now", versus.after))
    yield pairs(
        (name, f"{side.name}: {verdict(side)}; confidence {side.confidence}")
        for name, side in sides
    )
    yield section(
        "Candidates on the common rows", *split_table(_table(versus), width), note(about(versus))
    )
    if versus.why:
        title = (
            "Why the verdict changed" if versus.verdict_changed else "Why the verdict is unchanged"
        )
        yield section(title, bullets(versus.why))
    yield section("Rows", bullets(comparison_text.rows(versus.rows)))
    if only := list(others(versus)):
        yield section("In one study only", bullets(only))
    if versus.changes:
        yield section("What changed in the study", pairs(_changes(versus)))
    if (more := len(versus.changes) - MOST) > 0:
        yield note(f"{more:,} more: choose report A B --json.")


def _table(versus: Versus) -> list[Column]:
    rows = [cells(shift) for shift in versus.shifts]
    columns = list(zip(*rows, strict=True)) or [() for _ in COMPARISON_HEADS]
    return [
        Column(
            head.replace(" (95 %", "\n(95 %"),
            [literal(shorten(clean(cell), 2 * NAME if place == 3 else NAME)) for cell in column],
            figures=place > 0,
        )
        for place, (head, column) in enumerate(zip(COMPARISON_HEADS, columns, strict=True))
    ]


def _changes(versus: Versus) -> Iterator[tuple[str, str]]:
    for change in versus.changes[:MOST]:
        old, new = (
            DASH if value is None else shorten(clean(value), LONGEST)
            for value in (change.before, change.after)
        )
        yield shorten(clean(change.what), 2 * NAME), f"{old} → {new}"

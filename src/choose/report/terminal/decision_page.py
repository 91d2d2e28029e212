"""A decision for the terminal: one screen or everything; and what changed since."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment

from choose.formatting import DASH, clean
from choose.report import study_comparison_text as comparison_text
from choose.report.markdown import render_markdown
from choose.report.screen_text import literal, shorten
from choose.report.study_comparison_text import (
    COMPARISON_HEADS,
    about,
    cells,
    headline,
    others,
)
from choose.report.terminal.first_screen import FirstScreen
from choose.report.terminal.layout import (
    Column,
    Page,
    bullets,
    encodable,
    note,
    pairs,
    section,
    split_table,
    trimmed,
)
from choose.schema.decision import Decision
from choose.schema.study_changes import Versus

# Characters of a name in a table.
NAME = 24


def render(decision: Decision, store: Path | None = None, newest: bool = False) -> RenderableType:
    """Return the first screen, laid out for the console that prints it."""
    more = "" if store is None else f"More: choose report {clean(shlex.quote(str(store)))} --full"
    if newest:
        more = "More: choose report --full. The page: choose open. Words: choose explain WORD."
    return FirstScreen(typed_here(decision, store, newest), more)


def render_full(
    decision: Decision, store: Path | None = None, newest: bool = False
) -> RenderableType:
    """Return the Markdown report, laid out for the console that prints it."""
    return Full(typed_here(decision, store, newest))


def typed_here(decision: Decision, store: Path | None, newest: bool = False) -> Decision:
    """Put the path of the study into its commands, which may have been written elsewhere.

    The record is meant to be shared, so it holds no folder of this machine. The `newest` study
    needs no path to be continued.
    """
    if store is None:
        return decision

    def typed(command: str) -> str:
        if command.startswith("choose."):  # a call in Python
            return re.sub(r"study='[^']*'", lambda _: f"study={str(store)!r}", command)
        words = shlex.split(command)
        for place, flag in enumerate(words[:-1]):
            if flag in ("-c", "--out"):
                file = words[place + 1].endswith("/study.toml")
                words[place + 1] = str(store / "study.toml" if file else store)
        if words[1:4] == ["compare", "-c", str(store)]:
            words[1:4] = ["continue", *([] if newest else [str(store)])]
        return shlex.join(words)

    steps = tuple(
        step.model_copy(update={"command": typed(step.command)}) if step.command else step
        for step in decision.verdict.steps
    )
    verdict = decision.verdict.model_copy(update={"steps": steps})
    return decision.model_copy(update={"verdict": verdict})


@dataclass(frozen=True, slots=True)
class Full:
    """The Markdown report of a decision, in characters that the console can express."""

    decision: Decision

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the page out, without white space at the ends of lines."""
        page = Markdown(render_markdown(self.decision), hyperlinks=False)
        for line in console.render_lines(page, options, pad=False):
            yield from encodable(trimmed(line), options.encoding)
            yield Segment.line()


# The most changes to list, and the characters of a value.
CHANGES, LONGEST = 20, 60


def versus_page(versus: Versus) -> Page:
    """Return the comparison as a page."""
    return Page(lambda width: _versus_parts(versus, width))


def _versus_parts(versus: Versus, width: int) -> Iterator[RenderableType]:
    yield literal(headline(versus), style="bold")
    sides = (("before", versus.before), ("now", versus.after))
    yield pairs((name, f"{side.name}: {side.headline}") for name, side in sides)
    yield section(
        "Candidates on the common rows", *split_table(_table(versus), width), note(about(versus))
    )
    if versus.why:
        title = (
            "Why the verdict changed" if versus.verdict_changed else "Why the verdict is unchanged"
        )
        yield section(title, bullets(comparison_text.why(versus)))
    yield section("Rows", bullets(comparison_text.rows(versus)))
    if only := list(others(versus)):
        yield section("In one study only", bullets(only))
    if versus.changes:
        yield section("What changed in the study", pairs(_changes(versus)))
    if (more := len(versus.changes) - CHANGES) > 0:
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
    for change in versus.changes[:CHANGES]:
        old, new = (
            DASH if value is None else shorten(clean(value), LONGEST)
            for value in (change.before, change.after)
        )
        yield shorten(clean(change.what), 2 * NAME), f"{old} → {new}"

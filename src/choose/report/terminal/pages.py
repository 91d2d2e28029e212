"""Blocks as pages of the terminal: a decision, an audit, and what changed since."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from choose.formatting import clean
from choose.report.blocks import (
    Answer,
    Block,
    Bullets,
    Chart,
    Fact,
    Facts,
    Heading,
    Listing,
    Paragraph,
    Rows,
    Steps,
    Table,
    Tone,
    check_blocks,
    comparison_blocks,
    decision_blocks,
)
from choose.report.screen_text import command_lines, fold, literal, shorten
from choose.report.terminal.first_screen import FirstScreen
from choose.report.terminal.layout import Column, Page, note, pairs, split_table
from choose.report.words import parts_of, typed
from choose.schema.base import Command
from choose.schema.check import Check
from choose.schema.decision import Decision
from choose.schema.study_changes import Versus

# Columns of a margin, and of a cell at most.
INDENT, CELL = 2, 28

MARKS = {
    "look": ("!", "yellow"),
    "good": ("✓", "green"),
    "pass": ("✓", "green"),
    "fail": ("✗", "red"),
    "unknown": ("?", "dim"),
}
STYLES: dict[Tone, str] = {
    "note": "dim",
    "caption": "dim",
    "doubt": "yellow",
    "warning": "yellow",
    "fail": "bold red",
}


def render(
    decision: Decision,
    store: Path | None = None,
    newest: bool = False,
    say: Callable[[Command], Sequence[str]] = parts_of,
) -> RenderableType:
    """Return the first screen, laid out for the console that prints it.

    Args:
        decision: the record.
        store: the folder of the study, which its commands then name.
        newest: whether it needs no folder to go on.
        say: the parts of commands as they are written.
    """
    more = "" if store is None else f"More: choose report {clean(shlex.quote(str(store)))} --full"
    if newest:
        more = "More: choose report --full. The page: choose open. Words: choose explain WORD."
    return FirstScreen(typed_here(decision, store, newest), more, say)


def render_full(
    decision: Decision, store: Path | None = None, newest: bool = False
) -> RenderableType:
    """Return all blocks, laid out for the console that prints them."""
    return page_of(decision_blocks(typed_here(decision, store, newest)))


def versus_page(versus: Versus) -> RenderableType:
    """Return the comparison of two studies, laid out for the console that prints it."""
    return page_of(comparison_blocks(versus))


def check_page(
    check: Check, issues: str = "-o issues.csv", say: Callable[[Command], str] = typed
) -> Page:
    """Return an audit, as `check_blocks` has it."""
    return page_of(check_blocks(check, issues, say))


def page_of(blocks: Sequence[Block]) -> Page:
    """Return blocks as a page of the terminal."""
    return Page(lambda width: _parts(blocks, width))


def _parts(blocks: Iterable[Block], width: int) -> Iterator[RenderableType]:
    before: Block | None = None
    for block in blocks:
        apart = isinstance(block, Table | Rows) and not isinstance(before, Heading)
        if before is not None and (
            apart or isinstance(block, Heading) or isinstance(before, Facts)
        ):
            yield Text()
        inside = bool(before) and not isinstance(block, Heading)
        for part in _part(block, width - INDENT):
            yield Padding(part, (0, 0, 0, INDENT * inside))
        before = block


def _part(block: Block, width: int) -> Iterator[RenderableType]:
    match block:
        case Answer(question, data, size, text, sure):
            yield fold(f"{text} {sure}".strip(), width, "bold")
            yield literal(f"{question} {data}?   {size}" if question else f"{data}: {size}", "dim")
        case Heading(text, level=level):
            yield literal(text, "bold underline" if level == 2 else "bold")
        case Paragraph(text, tone):
            yield fold(text, width, STYLES.get(tone, ""))
        case Bullets(items):
            yield pairs((("•", text) for text in items), gap=1)
        case Steps(items):
            yield pairs(((f"{n}.", _step(*item, width)) for n, item in enumerate(items, 1)), gap=1)
        case Facts(items):
            yield pairs(map(_fact, items))
        case Table():
            yield from _table(block, width)
        case Chart(caption=caption):
            if (points := block.as_table) is not None:
                yield from (*_table(points, width), fold(caption, width, "dim"))
        case Listing(text, title):
            yield literal_lines(f"{title}:\n{text}" if title else text)
        case Rows(items, shown):
            for row in items[:shown]:
                given = [(f"{one.candidate} ({one.score})", one.said) for one in row.given]
                yield pairs([(row.id, row.text), ("right", row.right), *given])


def _step(text: str, command: Sequence[str], width: int) -> Text:
    shown = literal(text)
    return shown.append(f"\n{command_lines(command, width - 3)}", "cyan") if command else shown


def _fact(fact: Fact) -> tuple[Text, Text]:
    mark, style = MARKS.get(fact.status, ("", ""))
    said = literal_lines(fact.text, "dim" if fact.status == "unknown" else "")
    return literal(f"{mark} {fact.name}", style or "bold"), said


def literal_lines(text: str, style: str = "") -> Text:
    """Return a text of several lines, each one cleaned."""
    return Text("\n".join(map(clean, text.split("\n"))), style=style)


def _name(cell: str) -> str:
    """Return the name alone of a candidate with a long title: ``tfidf``."""
    return cell.rpartition(" (")[2][:-1] if len(cell) > CELL and cell.endswith(")") else cell


def _table(block: Table, width: int) -> Iterator[RenderableType]:
    yield from [fold(block.caption, width, "dim")] if block.caption else []
    rows = block.rows[: block.shown]
    columns = []
    for place, head in enumerate(block.heads):
        cells = [literal(shorten(_name(clean(row[place])), CELL)) for row in rows]
        columns.append(Column(fold(head, 16, "dim"), cells, figures=block.figures[place]))
    yield from split_table(columns, width)
    if len(rows) < len(block.rows):
        yield note(f"{len(block.rows) - len(rows):,} more.")


def typed_here(decision: Decision, store: Path | None, newest: bool = False) -> Decision:
    """Put the path of the study into its commands, which may have been written elsewhere.

    The record is meant to be shared, so it holds no folder of this machine. The `newest` study
    needs no path to be continued.
    """
    if store is None:
        return decision
    steps = []
    for step in decision.verdict.steps:
        if (command := step.command) and command.study is not None:
            here = "" if newest and command.verb == "compare" else str(store)
            command = command.model_copy(update={"study": here})
        steps.append(step.model_copy(update={"command": command}))
    verdict = decision.verdict.model_copy(update={"steps": tuple(steps)})
    return decision.model_copy(update={"verdict": verdict})

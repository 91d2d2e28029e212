"""The first screen: what to use, how sure it is, what could change that, what to do next.

It fits 80 columns and 24 lines with the command above and the path of the report below it. What
does not fit is left out whole: no sentence is cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import indent

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

from choose.formatting import clean, plural
from choose.report import words
from choose.report.candidate_order import family_table
from choose.report.decision_text import words_in
from choose.report.screen_text import clip, command_lines, fold, literal, shorten
from choose.report.terminal.layout import GAP, Column, encodable, note, pairs, split_table, trimmed
from choose.schema.decision import Decision

# Lines of the screen, and lines that the shell's prompt and the path of the report take below it.
LINES, BELOW = 36, 2

# Lines in a pipe or file, which has no screen.
PIPED = 48

# Columns of a label such as "Do next", of a margin; from this width on, differences have bounds.
LABEL, INDENT, WIDE = 9, 2, 96

# Columns that a narrow screen may lack.
COSTS = ("won:lost", "s/1,000", "$/1,000", "$/month")


def context(decision: Decision) -> str:
    """Return the name and the size of the data."""
    data = decision.dataset
    labels = f" · {plural(len(data.labels), 'label')}" if data.labels else ""
    return f"{clean(data.name)} · {plural(data.test_rows, 'test row')}{labels}"


@dataclass(frozen=True, slots=True)
class Room:
    """How much is shown: sentences of each kind and steps, and whether steps have commands."""

    doubts: int
    caveats: int
    steps: int
    commands: bool = True
    more: bool = True
    context: bool = True


# From generous to tight: the first that fits is shown.
ROOMS = (
    Room(4, 4, 3),
    Room(3, 2, 3),
    Room(3, 1, 3),
    Room(2, 1, 3),
    Room(2, 1, 3, more=False),
    Room(2, 1, 3, commands=False),
    Room(2, 1, 2),
    Room(2, 1, 2, commands=False, more=False),
    Room(1, 1, 1, more=False, context=False),
    Room(1, 0, 1, commands=False, more=False, context=False),
    Room(0, 0, 1, commands=False, more=False, context=False),
    Room(0, 0, 0, commands=False, more=False, context=False),
)


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """The first screen of a decision; `more` says how to see the rest."""

    decision: Decision
    more: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show as much as fits, in lines that are no wider than the console."""
        for line in self.lines(console, options):
            yield from encodable(trimmed(line), options.encoding)
            yield Segment.line()

    def lines(self, console: Console, options: ConsoleOptions) -> list[list[Segment]]:
        """Return the lines of the first layout that fits."""
        limit = min(LINES, options.size.height - BELOW) if console.is_terminal else PIPED
        lines: list[list[Segment]] = []
        for room in ROOMS:
            parts = first_screen(self.decision, self.more, options.max_width, room)
            lines = console.render_lines(Group(*parts), options, pad=False)
            if len(lines) <= limit:
                break
        return lines


def first_screen(
    decision: Decision, more: str, width: int, room: Room = ROOMS[0]
) -> Iterator[RenderableType]:
    """Yield the parts of the screen, for so many columns."""
    if room.context:
        yield note(clip(f"{words_in(decision).question}?   {context(decision)}", width))
        yield Text()
    yield _answer(decision, width)
    told = [*words.doubts(decision)][: room.doubts]
    for text in told:
        yield _indented(text, width)
    rare = map(words.rare_sentence, decision.verdict.rare[:1])
    for text in [*rare, *words.caveats(decision)][: room.caveats]:
        yield _indented(text, width, "yellow")
    yield Text()
    yield from _families(decision, width)
    yield from _failures(decision, width)
    if (money := words.payback(decision)) and room.doubts > 1:
        yield _indented(money, width)
    models = (words.ending(decision), words.distilled(decision), words.takeover(decision))
    read = list(words.reading(decision))[:1] if room.caveats > 1 else ()
    for text in filter(None, (*models, *read) if room.caveats else ()):
        yield _indented(text, width)
    yield from _next(decision, width, room)
    if more and room.more:
        yield Text()
        yield note(more)


def _indented(text: str, width: int, style: str = "") -> RenderableType:
    return Padding(fold(text, width - INDENT, style), (0, 0, 0, INDENT))


def _answer(decision: Decision, width: int) -> RenderableType:
    """Return the answer with how sure it is at the right of its last line, or below it."""
    style = f"bold {words.COLOURS[decision.verdict.kind]}"
    *lines, last = fold(words.answer(decision), width).plain.split("\n")
    sure = words.how_sure(decision)
    gap = width - cell_len(last) - cell_len(sure)
    if sure and gap < 2:
        lines, last, gap = [*lines, last], "", width - cell_len(sure)
    ended = Text.assemble(literal(last, style), " " * gap if sure else "", literal(sure, style))
    return Group(*(literal(line, style) for line in lines), ended)


def _families(decision: Decision, width: int) -> Iterator[RenderableType]:
    found = family_table(decision, bounds=width >= WIDE)
    if not found.rows:
        return
    style = ["bold" * bool(found.mark.strip()), *[""] * (len(found.rows) - 1)]
    columns = []
    for place, head in enumerate(found.heads):
        cells = [literal(r[place], s) for r, s in zip(found.rows, style, strict=True)]
        if not place:
            marks = [found.mark, *" " * (len(cells) - 1)]
            head = f"  {head}"
            cells = [Text.assemble(f"{m} ", cell) for m, cell in zip(marks, cells, strict=True)]
        columns.append(Column(head, cells, figures=place > 0))
    while sum(c.width + GAP for c in columns) > width + GAP:  # one table: costs go first
        costs = [c for c in columns if c.head in COSTS]
        if not costs:
            break
        columns.remove(costs[-1])
    yield from split_table(columns, width + INDENT)
    for text in filter(None, (found.compared, words.beyond_limits(decision))):
        yield _indented(text, width, "dim")


def _failures(decision: Decision, width: int) -> Iterator[RenderableType]:
    failed = [card for card in decision.scorecards if card.errors]
    if not failed:
        return
    first, others = failed[0], len(failed) - 1
    more = f" ({others:,} other candidates failed too)" if others else ""
    name = shorten(clean(first.candidate), 24)
    yield literal(clip(f"{name} failed{more}: {clean(first.errors[0])}", 2 * width), "red")


def _next(decision: Decision, width: int, room: Room) -> Iterator[RenderableType]:
    worthy = decision.verdict.steps[: room.steps]
    if not worthy:
        return
    yield Text()
    columns = max(width - LABEL - INDENT, 20)
    rows = []
    for place, step in enumerate(worthy):
        told = first_sentences(words.step(decision, step), 2 * columns)
        text = fold(f"{place + 1}. {told}", columns)
        if step.command and room.commands:
            text.append(indent(f"\n{command_lines(step.command, columns - 3)}", "   "), "cyan")
        rows.append((literal("" if place else "Do next", "bold"), text))
    yield pairs(rows)


def first_sentences(sentences: list[str], columns: int) -> str:
    """Return the first sentence, and those after it that fit into so many columns."""
    first, *others = map(clean, sentences)
    for sentence in others:
        if cell_len(f"{first} {sentence}") > columns:
            break
        first = f"{first} {sentence}"
    return first

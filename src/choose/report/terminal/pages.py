"""Blocks on a terminal: whole pages, and a first screen that is cut until it fits.

Nothing is wider than the console, and no sentence is cut in the middle.
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from textwrap import wrap

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.table import Table as Grid
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
    Steps,
    Table,
    Todo,
    Tone,
    decision_blocks,
    screen_blocks,
)
from choose.report.words import parts_of, shorten, typed_here
from choose.schema.base import Command
from choose.schema.decision import Decision

# Columns of a margin, of a cell at most, between two columns of a table, and of the answer at most.
INDENT, CELL, GAP, READ = 2, 28, 2, 100

# Columns of the head of a column: at least, and at most where words do not need more; of a word.
HEAD, WORD = (7, 12), 16

# Lines of the first screen, below which the shell's prompt and the path of the report stand, and of
# one in a pipe or file, which has no height.
LINES, BELOW, PIPED = 36, 2, 48

MARKS = {
    "look": ("!", "yellow"),
    "good": ("✓", "green"),
    "pass": ("✓", "green"),
    "fail": ("✗", "red"),
    "unknown": ("?", "dim"),
}
STYLES: dict[Tone, str] = {
    "note": "dim",
    "more": "dim",
    "caption": "dim",
    "doubt": "yellow",
    "warning": "yellow",
    "fail": "bold red",
}
MOODS = {"good": "bold green", "bad": "bold red", "wait": "bold yellow"}

# The end of the command that shows more.
FULL = " --full"

# What the first screen shows at most: paragraphs of a tone, steps, sentences and commands of each,
# and what it is about; then, one after the other, what is cut until it fits.
GENEROUS = {"because": 4, "doubt": 4, "steps": 3, "sentences": 2, "commands": 3, "about": 1}
CUTS = (
    *(("caption", 0), ("doubt", 2), ("because", 3), ("doubt", 1), ("because", 2)),
    *(("sentences", 1), ("more", 0), ("aside", 1), ("commands", 1), ("about", 0), ("steps", 2)),
    *(("aside", 0), ("steps", 1), ("because", 1), ("doubt", 0), ("because", 0), ("commands", 0)),
)


# Text for a screen.


def literal(text: object, style: str | Style = "") -> Text:
    """Return cleaned text as rich text, in which markup is shown and not followed."""
    return Text(clean(text), style=style)


def literal_lines(text: str, style: str = "") -> Text:
    return Text("\n".join(map(clean, text.split("\n"))), style=style)


def fold(text: str, width: int, style: str = "") -> Text:
    """Break a text into lines of at most `width` columns, never between a figure and its ``%``."""
    glued = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", clean(text))
    lines = wrap(glued, max(width, 1), break_on_hyphens=False)
    return Text("\n".join(line.replace("\N{NO-BREAK SPACE}%", " %") for line in lines), style=style)


def command_lines(parts: Sequence[str], width: int) -> str:
    """Break a command between its parts, with backslashes, so that it can be copied as shown.

    A first part that is wider stays whole.
    """
    first, *others = map(clean, parts)
    if cell_len(" ".join((first, *others))) <= width:
        return " ".join((first, *others))
    lines = [first]
    # A value that is too long for a line beside its flag stands alone.
    fitting = ([p] if cell_len(f"  {p} \\") <= width else p.split(" ", 1) for p in others)
    for part in chain.from_iterable(fitting):
        if cell_len(f"{lines[-1]} {part} \\") <= width:
            lines[-1] = f"{lines[-1]} {part}"
        else:
            lines.append(f"  {part}")
    return " \\\n".join(lines)


# Pages.


@dataclass(frozen=True, slots=True)
class Page:
    """Blocks, laid out for the console that prints them; `fitted` to one screen, or whole."""

    blocks: Sequence[Block]
    fitted: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out line by line, without white space at the ends of lines."""
        for line in self._lines(console, options):
            yield from _trimmed(line)
            yield Segment.line()

    def _lines(self, console: Console, options: ConsoleOptions) -> list[list[Segment]]:
        def lines(blocks: Iterable[Block]) -> list[list[Segment]]:
            found = list[list[Segment]]()
            for part in _parts(blocks, options.max_width):
                wide = options.update_width(max(options.max_width, _uncut(part)))
                found += console.render_lines(part, wide, pad=False)
            return found

        if not self.fitted:
            return lines(self.blocks)
        most = min(LINES, options.size.height - BELOW) if console.is_terminal else PIPED
        limits = dict(GENEROUS)
        found = lines(cut(self.blocks, limits))
        for what, count in CUTS:
            if len(found) <= most:
                break
            limits[what] = count
            found = lines(cut(self.blocks, limits))
        return found


def cut(blocks: Iterable[Block], limits: Mapping[str, int]) -> Iterator[Block]:
    """Yield what limits leave of blocks; a tone without one is not limited."""
    shown = Counter[str]()
    for block in blocks:
        match block:
            case Answer() if not limits["about"]:
                yield replace(block, data="")
            case Paragraph(tone=tone):
                shown[tone] += 1
                if shown[tone] <= limits.get(tone, shown[tone]):
                    yield block
            case Steps(items):
                yield Steps(
                    [
                        step._replace(
                            sentences=step.sentences[: limits["sentences"]],
                            command=step.command if n < limits["commands"] else (),
                        )
                        for n, step in enumerate(items[: limits["steps"]])
                    ]
                )
            case _:
                yield block


def _trimmed(line: Sequence[Segment]) -> list[Segment]:
    segments = list(line)
    while segments and not segments[-1].control:
        text, style, control = segments.pop()
        if text := text.rstrip(" "):
            return [*segments, Segment(text, style, control)]
    return segments


def render(
    decision: Decision,
    store: Path | None = None,
    newest: bool = False,
    say: Callable[[Command], Sequence[str]] = parts_of,
) -> Page:
    """Return the first screen.

    Commands name the folder of the study, `store`, which the `newest` one does not need; `say`
    returns the parts of a command as they are written.
    """
    more = "" if store is None else f"More: choose report {clean(shlex.quote(str(store)))}{FULL}"
    if newest:
        more = "More: choose report --full. The page: choose open. Words: choose explain WORD."
    blocks = screen_blocks(decision, lambda c: say(typed_here(c, store, newest)))
    return Page([*blocks, *([Paragraph(more, "more")] if more else [])], fitted=True)


def render_full(decision: Decision, store: Path | None = None, newest: bool = False) -> Page:
    return Page(decision_blocks(decision, store=store, newest=newest))


# Blocks.


def _parts(blocks: Iterable[Block], width: int) -> Iterator[RenderableType]:
    before: Block | None = None
    for block in blocks:
        apart = isinstance(block, Table) and not isinstance(before, Heading)
        apart = apart or (isinstance(block, Paragraph) and block.tone == "more")
        if before is not None and (
            apart or isinstance(block, Heading) or isinstance(before, Facts)
        ):
            yield Text()
        inside = bool(before) and not isinstance(block, Heading)
        for part in _part(block, width - INDENT):
            yield part if _uncut(part) else Padding(part, (0, 0, 0, INDENT * inside))
        before = block


def _part(block: Block, width: int) -> Iterator[RenderableType]:
    match block:
        case Answer():
            yield from _answer(block, width)
        case Heading(text, level=level):
            yield literal(text, "bold underline" if level == 2 else "bold")
        case Paragraph(text, "more") if text.endswith(FULL):
            lines = command_lines((text.removesuffix(FULL), FULL.strip()), width).split("\n")
            yield _command(lines, INDENT, STYLES["more"])
        case Paragraph(text, tone):
            yield fold(text, width, STYLES.get(tone, ""))
        case Bullets(items):
            yield pairs((("•", text) for text in items), gap=1)
        case Steps(items):
            for number, step in enumerate(items, 1):
                yield from _step(f"{number}.", step, width)
        case Facts(items):
            yield pairs(map(_fact, items))
        case Table():
            yield from _table(block, width)
        case Chart(caption=caption):
            yield from (*_table(block.as_table, width), fold(caption, width, "dim"))
        case Listing(text, title):
            yield literal_lines(f"{title}:\n{text}" if title else text)


def _answer(block: Answer, width: int) -> Iterator[RenderableType]:
    style = MOODS.get(block.mood, "bold")
    if block.question and block.data:
        about, size = clean(f"{block.question} {block.data}?"), block.size
        while cell_len(about) + 3 + cell_len(size) > width and ", " in size:
            size = size.rpartition(", ")[0]
        yield literal(shorten(f"{about}   {size}", width), "dim")
    if block.sure:
        width = min(width + INDENT, READ)
        grid = Grid.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        grid.width = width
        grid.add_column(ratio=1)
        grid.add_column(justify="right", vertical="bottom", no_wrap=True)
        room = width - cell_len(block.sure) - GAP
        grid.add_row(fold(block.text, room, style), literal(block.sure, style))
        yield grid
    else:
        yield fold(block.text, width, style)
    if block.data and not block.question:
        yield fold(f"{block.data}: {block.size}", width, "dim")


def _step(number: str, step: Todo, width: int) -> Iterator[RenderableType]:
    beside = len(number) + 1
    yield pairs([(number, fold(step.text, width - beside))], gap=1)
    if step.command:
        lines = command_lines(step.command, width - beside).split("\n")
        yield _command(lines, INDENT + beside, "cyan")


def _command(lines: Sequence[str], indent: int, style: str) -> Text:
    """Return the lines of a command, indented here, as they may be wider than the screen."""
    return Text("\n".join(f"{' ' * indent}{line}" for line in lines), style=style, no_wrap=True)


def _uncut(part: RenderableType) -> int:
    """Return the columns of a command, else 0: the terminal wraps it, so that it can be copied."""
    if isinstance(part, Text) and part.no_wrap:
        return max(map(cell_len, part.plain.split("\n")))
    return 0


def _fact(fact: Fact) -> tuple[Text, Text]:
    mark, style = MARKS.get(fact.status, ("", ""))
    said = literal_lines(fact.text, "dim" if fact.status == "unknown" else "")
    return literal(f"{mark} {fact.name}", style or "bold"), said


def pairs(rows: Iterable[tuple[str | Text, str | Text]], gap: int = GAP) -> RenderableType:
    """Lay out two columns: short names and texts."""
    grid = Grid.grid(padding=(0, gap))
    grid.add_column(overflow="fold", max_width=24)
    grid.add_column(overflow="fold", ratio=1)
    for name, text in rows:
        grid.add_row(*(one if isinstance(one, Text) else literal(one) for one in (name, text)))
    return grid


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one-line cells under a head of one or more lines; figures align right."""

    name: str
    head: Text
    cells: Sequence[Text]
    figures: bool

    @property
    def width(self) -> int:
        lines = [line for cell in (self.head, *self.cells) for line in cell.plain.splitlines()]
        return max(map(cell_len, lines), default=0)


def _table(block: Table, width: int) -> Iterator[RenderableType]:
    """Lay a table out without lines, in several parts where it is too wide.

    The first column names the rows and is repeated in every part.
    """
    yield from [fold(block.caption, width, "dim")] if block.caption else []
    rows = block.rows[: block.shown]
    columns = []
    for place, name in enumerate(block.heads):
        cells = [literal(shorten(_name(clean(row[place])), CELL)) for row in rows]
        wide = max((cell_len(cell.plain) for cell in cells), default=0)
        parts = [shorten(word, WORD) for word in clean(name).split()]
        half = cell_len(" ".join(parts)) // 2 + 2  # a head of two lines
        least = max(HEAD[0], min(max(wide, half), HEAD[1]), *map(cell_len, parts))
        head = fold(" ".join(parts), least, "dim")
        if block.sign and not place:
            head, marked = Text("  ") + head, [row[0] == block.mark for row in rows]
            sign = literal(block.sign) + Text(" ")
            cells = [
                (sign if own else Text("  ")) + cell
                for own, cell in zip(marked, cells, strict=True)
            ]
        columns.append(Column(name, head, cells, block.figures[place]))
    spare = [name for name in block.spare if name in block.heads]
    while spare and sum(c.width + GAP for c in columns) > width + GAP:
        columns = [c for c in columns if c.name != spare[-1]]
        spare.pop()
    yield from _grids(columns, width)
    if len(rows) < len(block.rows):
        yield literal(f"{len(block.rows) - len(rows):,} more.", "dim")


def _grids(columns: Sequence[Column], width: int) -> Iterator[RenderableType]:
    name, *others = columns
    chunks, used = [[name]], name.width
    for column in others:
        used += GAP + column.width
        if used > width and chunks[-1][1:]:
            chunks, used = [*chunks, [name]], name.width + GAP + column.width
        chunks[-1].append(column)
    for number, chunk in enumerate(chunks):
        if number:
            yield Text()
        grid = Grid(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
        for column in chunk:
            side: JustifyMethod = "right" if column.figures else "left"
            grid.add_column(column.head, justify=side, vertical="bottom", no_wrap=True)
        for row in zip(*(column.cells for column in chunk), strict=True):
            grid.add_row(*row)
        yield grid


def _name(cell: str) -> str:
    return cell.rpartition(" (")[2][:-1] if len(cell) > CELL and cell.endswith(")") else cell

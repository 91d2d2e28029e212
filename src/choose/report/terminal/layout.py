"""Tables and lists for the terminal, pages of them, and substitutes where it lacks characters."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from choose.formatting import DASH, clean
from choose.report.screen_text import literal

INDENT = 2
GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one-line cells under a head of one or more lines; figures align right."""

    head: RenderableType
    cells: Sequence[RenderableType]
    figures: bool = True

    @property
    def width(self) -> int:
        """Return the width in columns of the screen."""
        lines = [line for cell in (self.head, *self.cells) for line in str(cell).splitlines()]
        return max(map(cell_len, lines), default=0)

    @property
    def measured(self) -> bool:
        """Return whether anything was measured."""
        return any(str(cell) != DASH for cell in self.cells)


def pairs(rows: Iterable[tuple[str | Text, str | Text]], gap: int = GAP) -> RenderableType:
    """Lay out two columns: short names and texts."""
    grid = Table.grid(padding=(0, gap))
    grid.add_column(overflow="fold", max_width=24)
    grid.add_column(overflow="fold", ratio=1)
    for name, text in rows:
        grid.add_row(_text(name), _text(text))
    return grid


def split_table(columns: Sequence[Column], width: int) -> Iterator[RenderableType]:
    """Lay columns out as one table, or as several where one would not fit.

    The first column names the rows and is repeated in every table. A column without measurements
    is left out, and named in a note where its head is text.
    """
    name, *others = columns
    known = [column for column in others if column.measured]
    room = width - INDENT
    for number, chunk in enumerate(_chunks(name, known, room) if known else ()):
        if number:
            yield Text()
        yield _table([name, *chunk])
    missing = [
        " ".join(str(column.head).split())
        for column in others
        if column.figures and not column.measured
    ]
    if missing:
        yield note(f"Not measured: {', '.join(missing)}.")


def _table(columns: Sequence[Column]) -> Table:
    """Return one table without lines."""
    grid = Table(
        box=None,
        padding=(0, GAP, 0, 0),
        pad_edge=False,
        header_style="dim",
    )
    for column in columns:
        grid.add_column(
            column.head,
            justify="right" if column.figures else "left",
            vertical="bottom",
            no_wrap=True,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*row)
    return grid


def note(sentence: str) -> Text:
    """Return a dimmed remark."""
    return literal(sentence, style="dim")


def _chunks(name: Column, columns: Sequence[Column], room: int) -> list[list[Column]]:
    chunks: list[list[Column]] = [[]]
    used = name.width
    for column in columns:
        if used + GAP + column.width > room and chunks[-1]:
            chunks.append([])
            used = name.width
        chunks[-1].append(column)
        used += GAP + column.width
    return chunks


def _text(text: str | Text) -> Text:
    return text if isinstance(text, Text) else Text(clean(text))


# Substitutes of the same width, so that tables stay aligned.
_ASCII = dict(
    zip(
        "\u2013\u2212—\u00d7“”\u2018\u2019·•…├┤─┊●◂▶▷▸→✓✗", "---x\"\"''.*~||-:o<>>>>+x", strict=True
    )
)


def _substitute(error: UnicodeError) -> tuple[str, int]:
    """Return characters of the same width for some that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_ASCII.get(char, "?" * cell_len(char)) for char in lacking), error.end


codecs.register_error("choose", _substitute)


def encodable(segments: Iterable[Segment], encoding: str) -> Iterator[Segment]:
    """Replace characters that `encoding` lacks by others of the same width."""
    for text, style, control in segments:
        known = control or encoding.startswith("utf")
        shown = text if known else text.encode(encoding, "choose").decode(encoding)
        yield Segment(shown, style, control)


def trimmed(line: Sequence[Segment]) -> list[Segment]:
    """Drop white space at the end of a line."""
    segments = list(line)
    while segments and not segments[-1].control:
        text, style, control = segments.pop()
        if text := text.rstrip(" "):
            return [*segments, Segment(text, style, control)]
    return segments


@dataclass(frozen=True, slots=True)
class Encodable:
    """A renderable whose characters the console's encoding can express."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render, then replace characters."""
        yield from encodable(console.render(self.content, options), options.encoding)


@dataclass(frozen=True, slots=True)
class Page:
    """A page whose parts are laid out for the width of the console that prints it."""

    parts: Callable[[int], Iterable[RenderableType]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out line by line, without white space at the ends of lines."""
        laid_out = Group(*self.parts(options.max_width))
        for line in console.render_lines(laid_out, options, pad=False):
            yield from encodable(trimmed(line), options.encoding)
            yield Segment.line()

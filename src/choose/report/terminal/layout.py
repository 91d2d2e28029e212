"""Tables and lists for the terminal, pages of them, and substitutes where it lacks characters."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from choose.report.screen_text import literal

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


def pairs(rows: Iterable[tuple[str | Text, str | Text]], gap: int = GAP) -> RenderableType:
    """Lay out two columns: short names and texts."""
    grid = Table.grid(padding=(0, gap))
    grid.add_column(overflow="fold", max_width=24)
    grid.add_column(overflow="fold", ratio=1)
    for name, text in rows:
        grid.add_row(*(one if isinstance(one, Text) else literal(one) for one in (name, text)))
    return grid


def split_table(columns: Sequence[Column], width: int) -> Iterator[RenderableType]:
    """Lay columns out without lines as one table, or as several where one would not fit.

    The first column names the rows and is repeated in every table.
    """
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
        grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
        for column in chunk:
            side: JustifyMethod = "right" if column.figures else "left"
            grid.add_column(column.head, justify=side, vertical="bottom", no_wrap=True)
        for row in zip(*(column.cells for column in chunk), strict=True):
            grid.add_row(*row)
        yield grid


def note(sentence: str) -> Text:
    """Return a dimmed remark."""
    return literal(sentence, style="dim")


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

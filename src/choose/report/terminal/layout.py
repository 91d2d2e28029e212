"""The few shapes that the report is laid out in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from choose.formatting import DASH, clean
from choose.report.format import literal

INDENT = 2


GAP = 2


# The least room in which a drawn interval can still be read.
DRAWN = 22


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one-line cells under a head of one or more lines; figures stand right."""

    head: RenderableType
    cells: Sequence[RenderableType]
    figures: bool = True
    drawn: bool = False

    @property
    def width(self) -> int:
        """Return how many columns of the screen it needs."""
        lines = [line for cell in (self.head, *self.cells) for line in str(cell).splitlines()]
        return DRAWN if self.drawn else max(map(cell_len, lines), default=0)

    @property
    def known(self) -> bool:
        """Return whether anything was measured."""
        return self.drawn or any(str(cell) != DASH for cell in self.cells)


def section(title: str, *parts: RenderableType) -> RenderableType:
    """Put parts, indented, under a title and after an empty line."""
    heading = literal(title, style="bold")
    return Group(Text(), heading, *(Padding(part, (0, 0, 0, INDENT)) for part in parts))


def bullets(sentences: Iterable[str]) -> RenderableType:
    """List sentences; what does not fit on a line hangs below its beginning."""
    return pairs((("•", sentence) for sentence in sentences), gap=1)


def pairs(rows: Iterable[tuple[str | Text, str | Text]], gap: int = GAP) -> RenderableType:
    """Lay out two columns: a short name, and what there is to say."""
    grid = Table.grid(padding=(0, gap))
    grid.add_column(overflow="fold", max_width=24)
    grid.add_column(overflow="fold", ratio=1)
    for name, said in rows:
        grid.add_row(_text(name), _text(said))
    return grid


def sheet(columns: Sequence[Column], width: int) -> Iterator[RenderableType]:
    """Lay columns out as one table, or as several below each other where one would not fit.

    The first column names the rows and stands in every table. A column in which nothing was
    measured is left out, and named in a note where its head is plain text.
    """
    name, *others = columns
    known = [column for column in others if column.known]
    room = width - INDENT
    for number, chunk in enumerate(_balanced(name, known, room) if known else ()):
        if number:
            yield Text()
        yield table([name, *chunk])
    missing = [
        " ".join(str(column.head).split())
        for column in others
        if column.figures and not column.known
    ]
    if missing:
        yield note(f"Not measured: {', '.join(missing)}.")


def table(columns: Sequence[Column]) -> Table:
    """Lay columns out beside each other, without lines."""
    made = Table(
        box=None,
        padding=(0, GAP, 0, 0),
        pad_edge=False,
        header_style="dim",
        expand=any(column.drawn for column in columns),
    )
    for column in columns:
        made.add_column(
            column.head,
            justify="right" if column.figures else "left",
            vertical="bottom",
            ratio=1 if column.drawn else None,
            no_wrap=True,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        made.add_row(*row)
    return made


def note(sentence: str) -> Text:
    """Say something in passing."""
    return literal(sentence, style="dim")


def _balanced(name: Column, columns: Sequence[Column], room: int) -> list[list[Column]]:
    chunks = _chunks(name, columns, room)
    for smaller in range(room - 1, 0, -1):
        tighter = _chunks(name, columns, smaller)
        if len(tighter) > len(chunks):
            break
        chunks = tighter
    return chunks


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


def _text(said: str | Text) -> Text:
    return said if isinstance(said, Text) else Text(clean(said))


# One column each, so that what was laid out stays aligned.
_ASCII = str.maketrans(
    {
        "\u2013": "-",
        "\u2212": "-",
        "—": "-",
        "\u00d7": "x",
        "“": '"',
        "”": '"',
        "\u2018": "'",
        "\u2019": "'",
        "·": ".",
        "•": "*",
        "…": "~",
        "├": "|",
        "┤": "|",
        "─": "-",
        "┊": ":",
        "●": "o",
        "◂": "<",
        "▶": ">",
        "▷": ">",
        "✓": "+",
        "✗": "x",
    }
)


def encodable(segments: Iterable[Segment], encoding: str) -> Iterator[Segment]:
    """Replace, column by column, what `encoding` cannot express."""
    for text, style, control in segments:
        yield Segment(text if control else _fit(text, encoding), style, control)


def trimmed(line: Sequence[Segment]) -> list[Segment]:
    """Drop the white space that a line ends in."""
    kept = list(line)
    while kept and not kept[-1].control:
        text, style, control = kept.pop()
        if text := text.rstrip(" "):
            return [*kept, Segment(text, style, control)]
    return kept


def _fit(text: str, encoding: str) -> str:
    if text.isascii() or encoding.startswith("utf"):
        return text
    return "".join(_replace(char, encoding) for char in text)


def _replace(char: str, encoding: str) -> str:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        known = char.translate(_ASCII)
        return known if known.isascii() else "?" * cell_len(char)
    return char


@dataclass(frozen=True, slots=True)
class Plain:
    """Anything rich can print, with what the console cannot show replaced."""

    what: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render and replace."""
        yield from encodable(console.render(self.what, options), options.encoding)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a function lays out for a width."""

    parts: Callable[[int], Iterable[RenderableType]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out, line by line, without white space at the ends."""
        laid_out = Group(*self.parts(options.max_width))
        for line in console.render_lines(laid_out, options, pad=False):
            yield from encodable(trimmed(line), options.encoding)
            yield Segment.line()

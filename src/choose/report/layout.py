"""The few shapes that the report is laid out in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from choose.report.safe import clean, literal

INDENT = 2


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column; figures stand right, names fold."""

    head: RenderableType
    figures: bool = True
    wide: bool = False


def section(title: str, *parts: RenderableType) -> RenderableType:
    """Put parts, indented, under a title and after an empty line."""
    heading = Text(title, style="bold")
    return Group(Text(), heading, *(Padding(part, (0, 0, 0, INDENT)) for part in parts))


def bullets(sentences: Iterable[str], mark: str = "•") -> RenderableType:
    """List sentences; what does not fit on a line hangs below its beginning."""
    return pairs((mark, sentence) for sentence in sentences)


def pairs(rows: Iterable[tuple[str | Text, str | Text]]) -> RenderableType:
    """Lay out two columns: a short name, and what there is to say."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(overflow="fold", max_width=24)
    grid.add_column(overflow="fold", ratio=1)
    for name, said in rows:
        grid.add_row(_text(name), _text(said))
    return grid


def table(columns: Sequence[Column], rows: Iterable[Sequence[RenderableType]]) -> Table:
    """Lay out figures under heads, without lines, no wider than they need to be."""
    wide = any(column.wide for column in columns)
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=wide)
    for column in columns:
        made.add_column(
            column.head, justify="right" if column.figures else "left", overflow="fold",
            ratio=1 if column.wide else None, vertical="bottom",
        )
    for row in rows:
        made.add_row(*row)
    return made


def note(sentence: str) -> Text:
    """Say something in passing."""
    return literal(sentence, style="dim")


def _text(said: str | Text) -> Text:
    return said if isinstance(said, Text) else Text(clean(said))

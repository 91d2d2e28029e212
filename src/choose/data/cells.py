"""What all table readers share: limits, row numbers and the header."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from choose.errors import DataError

# The number of each row, as a spreadsheet or an editor shows it: the header of a CSV is row 1.
ROW = "__row__"
# Characters of one cell and of one line; a page of text has about 3,000.
FIELD_LIMIT = 1_000_000
LINE_LIMIT = 8_000_000
TOO_LONG = (
    f"holds a cell of more than {FIELD_LIMIT:,} characters. No model here reads that much: cut "
    "the text, or look for a quote that is never closed."
)


def check_header(path: Path, names: Sequence[str]) -> list[str]:
    """Return the column names, those without one numbered.

    Raises:
        DataError: if two columns have the same name.
    """
    named = [name or f"column {i + 1}" for i, name in enumerate(names)]
    for name in named:
        if named.count(name) > 1 or name == ROW:
            raise DataError(
                f"{str(path)!r} has more than one column {name!r}. Give each its own name."
            )
    return named


def short(text: str, limit: int = 40) -> str:
    """Quote a cell for a message, cut and with control characters escaped."""
    return repr(text if len(text) <= limit else f"{text[: limit - 1]}…")


def listed(names: Sequence[str], limit: int = 12) -> str:
    """Enumerate quoted names, the first few where there are many."""
    shown = ", ".join(short(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit:,} more" if len(names) > limit else shown


def rows_named(rows: Iterable[object], limit: int = 3) -> str:
    """Name a few rows in words: ``row 4``, ``rows 4 and 9`` or ``rows 4, 9, 12 and 31 more``."""
    all_rows = [_plain(str(row)) for row in rows]
    shown, more = all_rows[:limit], len(all_rows) - limit
    if more > 0:
        return f"rows {', '.join(shown)} and {more:,} more"
    if len(shown) < 2:
        return f"row {shown[0]}" if shown else "no row"
    return f"rows {', '.join(shown[:-1])} and {shown[-1]}"


def _plain(id: str) -> str:
    return id if id.isprintable() and len(id) <= 40 else short(id)

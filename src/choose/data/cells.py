"""What all table readers share: limits, row numbers and the header."""

from __future__ import annotations

from collections.abc import Sequence
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

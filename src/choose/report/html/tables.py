"""Tables without the columns and rows in which nothing was measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from choose.report.words import DASH

# Words that a figure may hold: ``83.0 to 90.1``, ``2 of 3``.
_LETTERS = re.compile(r"\b(?!(?:to|of)\b)[^\W\d_]+")


class Kept(NamedTuple):
    """What is left of a table, which of its columns hold figures, and the names of what is not."""

    heads: list[str]
    rows: list[list[object]]
    figures: list[bool]
    missing: list[str]


def measured(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Kept:
    """Leave out columns and rows of dashes; the first column names the rows and stays.

    Where nothing is left there is nothing to name: the section says that it was not measured.
    """
    places = [i for i in range(1, len(heads)) if any(row[i] != DASH for row in rows)]
    known = [row for row in rows if any(row[i] != DASH for i in places)]
    if not known:
        return Kept([], [], [], [])
    missing = [str(head) for i, head in enumerate(heads) if i and i not in places]
    missing += [str(row[0]) for row in rows if row not in known]
    return Kept(
        [heads[i] for i in (0, *places)],
        [[row[i] for i in (0, *places)] for row in known],
        [False, *(all(_is_figure(row[i]) for row in known) for i in places)],
        missing,
    )


def _is_figure(cell: object) -> bool:
    """Return whether a cell holds a figure, a range or a dash, which line up on the right."""
    text = str(cell)
    return text == DASH or (any(map(str.isdigit, text)) and not _LETTERS.search(text))


def anchor(caption: str) -> str:
    """Return an id for a table from its caption, which we wrote."""
    return "table-" + "-".join(re.findall(r"[a-z0-9]+", caption.lower())[:8])

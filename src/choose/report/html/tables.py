"""Tables without the columns and rows in which nothing was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from choose.report.words import DASH


class Kept(NamedTuple):
    """What is left of a table, and the names of what is not."""

    heads: list[str]
    rows: list[list[object]]
    missing: list[str]


def measured(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Kept:
    """Leave out columns and rows of dashes; the first column names the rows and stays."""
    places = [i for i in range(1, len(heads)) if any(row[i] != DASH for row in rows)]
    known = [row for row in rows if any(row[i] != DASH for i in places)]
    missing = [str(head) for i, head in enumerate(heads) if i and i not in places]
    if known:
        missing += [str(row[0]) for row in rows if row not in known]
    return Kept(
        [heads[i] for i in (0, *places)], [[row[i] for i in (0, *places)] for row in known], missing
    )

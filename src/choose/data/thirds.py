"""The earliest and the latest third of the dated rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from choose.data.findings import FEW
from choose.data.timeline import DATED, FEWEST
from choose.types import Example


@dataclass(frozen=True, slots=True)
class Thirds:
    """Rows of the earliest and the latest third; every early row is older than every late one.

    `appeared` and `vanished` are labels with five rows or more in one third and none in the other.
    """

    early: list[Example]
    late: list[Example]
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]


def thirds_of(rows: Collection[Example]) -> Thirds | None:
    """Split the rows by time; None where too few of them have a date, or dates are too coarse."""
    dated = sorted((e for e in rows if e.timestamp is not None), key=_when)
    if len(dated) < max(DATED * len(rows), 3 * FEWEST):
        return None
    size = len(dated) // 3
    last, first = _when(dated[size])[0], _when(dated[-size - 1])[0]
    early = [e for e in dated[: size + 1] if _when(e)[0] < last]
    late = [e for e in dated[-size - 1 :] if _when(e)[0] > first]
    if min(len(early), len(late)) < FEWEST:
        return None
    return Thirds(early, late, _new(late, early), _new(early, late))


def _new(here: list[Example], there: list[Example]) -> tuple[str, ...]:
    known = {e.target for e in there}
    counts = Counter(e.target for e in here)
    return tuple(sorted(label for label, n in counts.items() if n >= FEW and label not in known))


def _when(example: Example) -> tuple[datetime, str]:
    assert example.timestamp is not None
    return example.timestamp, example.id

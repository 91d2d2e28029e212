"""The training pool and test rows of every trial, drawn once and shared."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from choose.data.scenarios import Drawn, Place, drawn, place_of
from choose.types import Dataset, Trial

# References to rows that are kept, of pools and test rows together: 64 MB at 8 bytes each. A study
# of 10,000 rows has about 200 places, so all of its pools fit.
LIMIT = 8_000_000


@dataclass
class Pools:
    """Draws the rows of a place on first use and keeps those used last.

    Planning, spending forecasts and the run share one object, so that each pool is drawn once.
    """

    dataset: Dataset
    limit: int = LIMIT
    _kept: OrderedDict[Place, Drawn] = field(default_factory=OrderedDict, repr=False)
    _size: int = 0

    def of(self, trial: Trial) -> Drawn:
        """Return the rows of a trial."""
        return self.at(place_of(trial, self.dataset))

    def at(self, place: Place) -> Drawn:
        """Return the rows of a place; the pool is a list of its own, so callers may reorder it."""
        rows = self._kept.get(place)
        if rows is None:
            rows = self._kept[place] = drawn(self.dataset, place)
            self._size += _size(rows)
            while self._size > self.limit and len(self._kept) > 1:
                self._size -= _size(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(place)
        return Drawn(list(rows.pool), rows.questions)


def _size(rows: Drawn) -> int:
    return len(rows.pool) + len(rows.questions)

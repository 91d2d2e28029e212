"""Cache the training pool and test rows of every trial."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from choose.data.scenarios import Split, SplitSpec, make_split, split_spec
from choose.types import Dataset, Trial

# References to rows that are kept, of pools and test rows together: 64 MB at 8 bytes each. A study
# of 10,000 rows has about 200 splits, so all of its pools fit.
LIMIT = 8_000_000


@dataclass
class Pools:
    """Draw a split on first use and cache those used last.

    Planning, spending forecasts and the run share one object, so that each split is drawn once.
    """

    dataset: Dataset
    limit: int = LIMIT
    _kept: OrderedDict[SplitSpec, Split] = field(default_factory=OrderedDict, repr=False)
    _size: int = 0

    def of(self, trial: Trial) -> Split:
        """Return the rows of a trial."""
        return self.at(split_spec(trial, self.dataset))

    def at(self, spec: SplitSpec) -> Split:
        """Return the split of a spec; the pool is a list of its own, so callers may reorder it."""
        rows = self._kept.get(spec)
        if rows is None:
            rows = self._kept[spec] = make_split(self.dataset, spec)
            self._size += _size(rows)
            while self._size > self.limit and len(self._kept) > 1:
                self._size -= _size(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(spec)
        return Split(list(rows.pool), rows.questions)


def _size(rows: Split) -> int:
    return len(rows.pool) + len(rows.questions)

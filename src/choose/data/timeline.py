"""Rows in the order of time: where it can be cut, and what lies before and after a cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from choose.data.pools import apart_from
from choose.types import Dataset, Example

# Rolling origins: each is asked the tenth of the rows that follows it.
CUTS = (0.5, 0.6, 0.7, 0.8)
WIDTH = 0.1

# Rows without a date are left out, but they must be few, or what is left says little of the rest.
DATED = 0.95
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Slice:
    """The dated rows in order, those strictly before a cut, and those that follow it."""

    rows: Sequence[Example]
    past: Sequence[Example]
    asked: Sequence[Example]


def timeline(dataset: Dataset) -> list[Example]:
    """Return the dated rows by time; with a test part, only rows that are learnt from."""
    if dataset.division == "held-out":
        rows = [dataset.examples[id] for id in dataset.folds[0].pool]
    else:
        rows = list(dataset.examples.values())
    return sorted((e for e in rows if e.timestamp is not None), key=_when)


def slice_at(dataset: Dataset, cut: float) -> Slice:
    """Return the rows before and after a cut; rows of the cut's own moment come after it."""
    rows = timeline(dataset)
    start = _when(rows[round(cut * len(rows))])[0]
    end = round((cut + WIDTH) * len(rows))
    last = _when(rows[end])[0] if end < len(rows) else None
    return Slice(
        rows,
        [e for e in rows if _when(e)[0] < start],
        [e for e in rows if start <= (when := _when(e)[0]) and (last is None or when < last)],
    )


def origins(dataset: Dataset) -> tuple[float, ...]:
    """Return the cuts that leave enough rows on either side; none where rows have no dates."""
    dated = len(timeline(dataset))
    total = len(dataset.folds[0].pool if dataset.division == "held-out" else dataset.examples)
    if dated < DATED * total or dated * WIDTH < FEWEST:
        return ()
    return tuple(cut for cut in CUTS if _enough(dataset, cut))


def _enough(dataset: Dataset, cut: float) -> bool:
    found = slice_at(dataset, cut)
    past = apart_from(found.past, {e.id for e in found.asked}, dataset.clusters)
    apart = {dataset.clusters.get(e.id, f"alone {e.id}") for e in found.asked}
    return min(len(past), len(apart)) >= FEWEST and len({e.target for e in past}) > 1


def _when(example: Example) -> tuple[datetime, str]:
    assert example.timestamp is not None
    return example.timestamp, example.id

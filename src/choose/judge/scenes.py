"""Tables of the scenarios that ask rows of their own, and figures on parts of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from choose.judge.answers import Table, table_of
from choose.judge.crossed import Mask, answered, whole_rows
from choose.judge.fits import common, weights_for
from choose.judge.intervals import two_way_interval
from choose.judge.paired import Difference, paired_difference
from choose.judge.panel import ARTEFACT, RETRAINING, Measured
from choose.judge.record import Interval
from choose.types import Floats, Scenario


def scene(candidate: Measured, wanted: Callable[[Scenario], bool]) -> Table | None:
    """Return a candidate's answers in the scenarios wanted, over their parts and repetitions."""
    if candidate.everywhere is None:
        return None
    runs = [run for run in candidate.scenes if wanted(run.trial.scenario)]
    return table_of(runs, candidate.everywhere)


def mean_on(table: Table, mask: Mask) -> tuple[Interval, int] | None:
    """Return the accuracy on some of the rows, and how many of them were asked."""
    base = answered(table.right) & mask
    if not base.any():
        return None
    kept = whole_rows(table.right, base) & base
    scores = table.right[kept]
    scores = scores[:, ~np.isnan(scores).any(axis=0)]
    found = two_way_interval(scores, table.rows.clusters_of(kept), table.rows.weights_of(kept))
    about = RETRAINING if scores.shape[1] > 1 else ARTEFACT
    interval = Interval(value=found.value, low=found.low, high=found.high, estimand=about)
    return interval, int(kept.sum())


def lost(
    before: Table, after: Table, mask: Mask | None = None, assumed: float = 0.0
) -> Difference | None:
    """Return how much accuracy `before` has over `after` on the rows that both were asked.

    `assumed` is variance to add for fits that were not varied.
    """
    first, second = common(before, after)
    if mask is not None:
        first, second = _only(first, mask), _only(second, mask)
    if not (answered(first) & answered(second)).any():
        return None
    weights = weights_for(first, second, before.rows)
    return paired_difference(first, second, before.rows.clusters, weights, assumed)


def recorded(found: Difference) -> Interval:
    """Return a paired difference as it stands in the record."""
    about = RETRAINING if max(found.repetitions) > 1 else ARTEFACT
    return Interval(value=found.value, low=found.low, high=found.high, estimand=about)


def _only(scores: Floats, mask: Mask) -> Floats:
    return np.where(mask[:, None], scores, np.nan)

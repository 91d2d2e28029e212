"""Accuracy where a candidate may leave its least confident answers to a person."""

from __future__ import annotations

from math import ceil

import numpy as np

from choose.judge.answers import CLEAN, Table, coded
from choose.judge.intervals import AGRESTI_COULL, two_way_interval
from choose.judge.metrics import UNUSABLE
from choose.judge.panel import ARTEFACT, RETRAINING
from choose.judge.record import Interval
from choose.judge.record_stability import CoveragePoint
from choose.types import Floats

COVERAGES = (0.8,)

# How accurate answers at the threshold are is read off this share of the rows on either side.
NEAR = 0.05


def selective(table: Table) -> tuple[CoveragePoint, ...]:
    """Return accuracy at fixed coverage; nothing for a candidate that gives no scores.

    Rows count the same here, since a share of them is answered.

    The threshold is set on the rows reported, which gains nothing: it is fixed by the share that
    is answered and not by what is right.
    """
    stated = _confidence(table)
    if stated is None:
        return ()
    stated, right = stated[table.kept][:, table.whole], table.block
    return tuple(_point(table, stated, right, coverage) for coverage in COVERAGES)


def _point(table: Table, stated: Floats, right: Floats, coverage: float) -> CoveragePoint:
    columns = [accuracy_rows(s, r, coverage) for s, r in zip(stated.T, right.T, strict=True)]
    found = two_way_interval(
        np.stack(columns, axis=1),
        table.rows.clusters_of(table.kept),
        table.rows.plain_weights_of(table.kept),
        AGRESTI_COULL,
    )
    about = RETRAINING if len(columns) > 1 else ARTEFACT
    low, high = max(found.low, 0.0), min(found.high, 1.0)
    return CoveragePoint(
        coverage=coverage,
        accuracy=Interval(value=found.value, low=low, high=high, estimand=about),
    )


def accuracy_rows(stated: Floats, right: Floats, coverage: float) -> Floats:
    """Return (n,) pseudo-values: their mean is the accuracy of the most confident rows.

    With c the coverage, a the accuracy above the threshold and t the accuracy at it, a row's
    influence is (right - t) / c if it is above, plus t - a. Rows with equal confidence at the
    threshold share the places that are left.

    Args:
        stated: (n,) confidence in the answer given.
        right: (n,) 1 where it was right, else 0.
        coverage: share of the rows that are answered.
    """
    n = len(stated)
    taken, order = ceil(coverage * n), np.argsort(-stated, kind="stable")
    threshold = stated[order[taken - 1]]
    above, level = stated > threshold, stated == threshold
    share = above + level * (taken - above.sum()) / level.sum()
    accuracy = float(share @ right / taken)
    reach = max(1, round(NEAR * n))
    at = float(right[order[max(0, taken - reach) : taken + reach]].mean())
    values: Floats = accuracy + share * (right - at) * n / taken + at - accuracy
    values += accuracy - values.mean()
    return values


def _confidence(table: Table) -> Floats | None:
    """Return (rows, repetitions) probabilities of the answers given, 0 where one is unusable."""
    stated = np.zeros(table.outputs.shape)
    for run in table.runs:
        scores = run.answers[CLEAN].scores
        if scores is None:
            return None
        place, codes = coded(run, CLEAN, table.rows)
        given = np.where(codes == UNUSABLE, 0, codes)
        found = np.exp(scores[np.arange(len(codes)), given])
        found = np.where((codes == UNUSABLE) | ~np.isfinite(found), 0.0, found)
        stated[place, table.draws.index(run.trial.draw)] = found
    return stated

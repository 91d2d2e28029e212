"""Below which confidence most of a candidate's answers are wrong."""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression

from choose.judge.scores.score_tables import CLEAN, MISSING, ScoreTable
from choose.judge.stats.intervals import wilson
from choose.judge.stats.two_way import Mask
from choose.schema.base import Interval
from choose.schema.scorecard import LowConfidence
from choose.types import Floats

# Fewer answers than this show no threshold.
FEWEST = 20


def stated_confidence(table: ScoreTable) -> Floats | None:
    """Return (rows, repetitions) the probability of the answer given; None without scores."""
    confidence = np.full(table.outputs.shape, np.nan)
    for run in table.runs:
        scores = run.answers[CLEAN].scores
        if scores is None:
            return None
        place = [table.rows.index[id] for id in run.asked[CLEAN]]
        confidence[place, table.draws.index(run.trial.draw)] = np.exp(scores.max(axis=1))
    return confidence


def low_confidence(table: ScoreTable) -> LowConfidence | None:
    """Return the confidence below which most answers are wrong, by each row's first answer.

    None where answers are no labels or have no confidence, and where no threshold is shown.
    """
    confidence = stated_confidence(table) if table.rows.labels else None
    if confidence is None:
        return None
    first = (table.outputs != MISSING).argmax(axis=1)
    place = np.arange(len(first))
    sure, right = confidence[place, first], table.outputs[place, first] == table.rows.targets
    known = ~np.isnan(sure)
    return threshold(sure[known], np.asarray(right[known], dtype=np.bool_))


def threshold(confidence: Floats, right: Mask) -> LowConfidence | None:
    """Return where the share of right answers, taken to rise with confidence, passes one half.

    Args:
        confidence: (n,) of each answer.
        right: (n,) whether it is right.

    Returns:
        None with fewer than `FEWEST` answers below, or where the 95 % interval (Wilson) of the
        share of these that is right reaches one half.
    """
    order = np.argsort(confidence, kind="stable")
    if not len(order):
        return None
    share = isotonic_regression(right[order].astype(np.float64)).x
    passed = int((share < 0.5).sum())
    below = float(confidence[order[passed]]) if passed < len(order) else 1.0
    under = confidence < below
    count, hits = int(under.sum()), int(right[under].sum())
    if count < FEWEST or wilson(hits, count)[1] >= 0.5:
        return None
    low, high = wilson(hits, count)
    return LowConfidence(
        below=below, rows=count, right=Interval(value=hits / count, low=low, high=high)
    )

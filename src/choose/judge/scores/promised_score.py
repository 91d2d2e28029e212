"""What a candidate that learned from part of the labels promises with all of them.

The share of errors that one doubling of the labels removes hardly changes from doubling to doubling
(a power law; Hestness et al. 2017, arXiv 1712.00409). It is estimated from the candidate's own
smaller pool, as far as its common rows tell, and from a prior: on 53 steps of curves of seven real
sets (100 to 1,000 rows; docs/methods/decision.md) it is 0.10 with a standard deviation of 0.08, and
changes from one step to the next by 0.043.
"""

from __future__ import annotations

from math import hypot, log2, sqrt
from typing import NamedTuple

import numpy as np

from choose.judge.scores.score_tables import WHOLE, CandidateScores
from choose.stats import Estimate
from choose.stats.two_way import row_means
from choose.types import Family

# Share of errors that a doubling removes: its mean, standard deviation, and change between steps.
RATE, RATE_SD, DRIFT = 0.10, 0.08, 0.045

# Half a 95 % band, in standard deviations.
Z = 1.96

# A prompt shows the same number of rows, however many there are to choose from.
FROM_FEW: tuple[Family, ...] = ("prompting",)
FEW_SD = 0.02


class Gain(NamedTuple):
    """An expected gain of a score, and its variance."""

    mean: float
    variance: float


def rows_read(candidate: CandidateScores) -> float:
    """Return how many rows a candidate learned from: only those that a fit cut short has read."""
    runs = candidate.main.runs if candidate.main else ()
    return candidate.pool * min((run.share_read for run in runs), default=1.0)


def promised_gain(candidate: CandidateScores, learned: int = 0) -> Gain:
    """Return what the labels add that a candidate has not learned from.

    Args:
        candidate: who answered some rows or none.
        learned: from how many rows it will have learned, where they are more than now.
    """
    pool = max(rows_read(candidate), learned)
    if candidate.main is None or not candidate.info.learns or not 0 < pool < candidate.whole:
        return Gain(0.0, 0.0)
    errors, doublings = 1 - float(np.nanmean(candidate.main.right)), log2(candidate.whole / pool)
    if candidate.info.family in FROM_FEW:
        return Gain(0.0, (errors * doublings * FEW_SD) ** 2)
    rate, sd = _rate(candidate)
    left = (1 - rate) ** doublings
    return Gain(errors * (1 - left), (errors * doublings * left / (1 - rate) * sd) ** 2)


def promised_score(candidate: CandidateScores, now: Estimate) -> Estimate:
    """Return the score promised with all labels; the 95 % band is of that `now` and the gain."""
    gain = promised_gain(candidate)
    assert now.low is not None
    assert now.high is not None
    value, wide = now.value + gain.mean, Z * sqrt(gain.variance)
    return Estimate(
        value=value,
        low=max(0.0, value - hypot(now.value - now.low, wide)),
        high=min(1.0, value + hypot(now.high - now.value, wide)),
        estimand="all-labels",
    )


def _rate(candidate: CandidateScores) -> tuple[float, float]:
    """Return the share of errors that the next doubling removes, and its standard deviation."""
    main = candidate.main
    smaller = [size for size in candidate.by_pool if size not in (candidate.pool, WHOLE)]
    mean, variance = RATE, RATE_SD**2
    if main is not None and smaller:
        before, now = row_means(candidate.sizes[max(smaller)].right), row_means(main.right)
        gains = (now - before)[~np.isnan(now - before)]
        errors = 1 - float(np.nanmean(before)) if len(gains) else 0.0
        if len(gains) > 1 and errors > 0:
            scale = errors * log2(candidate.pool / max(smaller))
            # One row more that changes either way: a step without a change is no certainty.
            noise = (float(gains.var()) + 1 / len(gains)) / len(gains) / scale**2
            seen = float(gains.mean()) / scale
            mean = (mean / variance + seen / noise) / (1 / variance + 1 / noise)
            variance = 1 / (1 / variance + 1 / noise)
    return min(max(mean, 0.0), 0.9), sqrt(variance + DRIFT**2)

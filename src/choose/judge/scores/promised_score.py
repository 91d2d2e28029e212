"""What a candidate that learned from part of the labels promises with all of them.

The share of errors that one doubling of the labels removes hardly changes from doubling to doubling
(a power law; Hestness et al. 2017, arXiv 1712.00409). It is estimated from the candidate's own
smaller pool, as far as its common rows tell, from those of the other candidates, and from a prior:
on nine real sets (250 to 4,000 rows; docs/methods/decision.md) it is 0.13 on average, differs from
set to set by 0.08 (standard deviation), within one by 0.07 from candidate to candidate, and by
0.045 from one step to the next.

Where nearly nothing is right, errors tell nothing of what one more doubling brings: a score is
promised to grow by half with each at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, log2, sqrt
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from choose.judge.scores.score_tables import WHOLE, CandidateScores, ScoreTable
from choose.stats import Estimate
from choose.stats.two_way import row_means
from choose.types import Family

# Share of errors that a doubling removes in a set: its mean, and standard deviation between sets;
# that of a step around its candidate's.
RATE, SETS_SD, DRIFT = 0.13, 0.08, 0.045

# By how much a doubling is expected to multiply a score at most.
MOST_GROWTH = 1.5

# Half a 95 % band, in standard deviations.
Z = 1.96

# A prompt shows the same number of rows, however many there are to choose from.
FEW_SD = 0.02


class Normal(NamedTuple):
    """A normal distribution: of the share of errors that a doubling removes, or of a gain."""

    mean: float
    variance: float


NONE, OF_SETS = Normal(0.0, 0.0), Normal(RATE, SETS_SD**2)

# By how much candidates of a family differ from the rate of their set: what is fine-tuned learns
# faster, and how much so differs most.
OF_FAMILY: Mapping[Family, Normal] = {
    "baseline": Normal(0.0, 0.05**2),
    "retrieval": Normal(-0.03, 0.05**2),
    "fine-tuning": Normal(0.05, 0.1**2),
}


def rows_read(candidate: CandidateScores) -> float:
    """Return how many rows a candidate learned from: only those that a fit cut short has read."""
    return _rows_read(candidate.pool, candidate.main)


def rates_by_others(candidates: Sequence[CandidateScores]) -> dict[str, Normal]:
    """Return by candidate the share that a doubling removes as the curves of the others tell it."""
    curves = dict[str, Normal]()
    for c in (c for c in candidates if c.info.learns and not c.info.floor):
        own = OF_FAMILY.get(c.info.family)
        if own and (seen := _seen_rate(c)):
            variance = seen.variance + own.variance + DRIFT**2
            curves[c.info.name] = Normal(seen.mean - own.mean, variance)
    found = {}
    for info in (c.info for c in candidates):
        own = OF_FAMILY.get(info.family, NONE)
        others = (rate for name, rate in curves.items() if name != info.name)
        of_set = _joined([OF_SETS, *others])
        found[info.name] = Normal(of_set.mean + own.mean, of_set.variance + own.variance)
    return found


def promised_gains(
    candidates: Sequence[CandidateScores], learned: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Normal]:
    """Return the `promised_gain` of each candidate, by name, as all curves tell it."""
    rates = rates_by_others(candidates)
    named = {c.info.name: c for c in candidates}
    return {n: promised_gain(c, rates[n], learned=learned.get(n, 0)) for n, c in named.items()}


def promised_gain(candidate: CandidateScores, rate: Normal, *, learned: int = 0) -> Normal:
    """Return what the labels add that a candidate has not learned from.

    Args:
        candidate: who answered some rows or none.
        rate: share of errors that a doubling removes, by all but its own curve.
        learned: from how many rows it will have learned, where they are more than now.
    """
    pool = max(rows_read(candidate), learned)
    if candidate.main is None or not candidate.info.learns or not 0 < pool < candidate.whole:
        return NONE
    score, doublings = float(np.nanmean(candidate.main.right)), log2(candidate.whole / pool)
    errors = 1 - score
    if candidate.info.family not in OF_FAMILY:
        return Normal(0.0, (errors * doublings * FEW_SD) ** 2)
    seen = _seen_rate(candidate)
    mean, variance = _joined([rate, seen]) if seen else rate
    kept = 1 - min(max(mean, 0.0), 0.9)
    left, sd = kept**doublings, sqrt(variance + DRIFT**2)
    most = score * (MOST_GROWTH**doublings - 1)
    return Normal(min(errors * (1 - left), most), (errors * doublings * left / kept * sd) ** 2)


def promised_score(candidate: CandidateScores, now: Estimate, *, rate: Normal) -> Estimate:
    """Return the score promised with all labels; the 95 % band is of that `now` and the gain."""
    gain = promised_gain(candidate, rate)
    assert now.low is not None
    assert now.high is not None
    value, wide = now.value + gain.mean, Z * sqrt(gain.variance)
    return Estimate(
        value=value,
        low=max(0.0, value - hypot(now.value - now.low, wide)),
        high=min(1.0, value + hypot(now.high - now.value, wide)),
        estimand="all-labels",
    )


def _rows_read(pool: int, table: ScoreTable | None) -> float:
    runs = table.runs if table else ()
    return pool * min((run.share_read for run in runs), default=1.0)


def _seen_rate(candidate: CandidateScores) -> Normal | None:
    """Return the share of errors that its last step removed a doubling, as its rows tell it."""
    main = candidate.main
    smaller = [size for size in candidate.by_pool if size not in (candidate.pool, WHOLE)]
    if main is None or not smaller:
        return None
    size = max(smaller)
    few = candidate.sizes[size]
    doublings = log2(rows_read(candidate) / _rows_read(size, few))
    before, now = row_means(few.right), row_means(main.right)
    gains = (now - before)[~np.isnan(now - before)]
    errors = 1 - float(np.nanmean(before)) if len(gains) else 0.0
    if len(gains) < 2 or errors <= 0 or doublings <= 0:
        return None
    # One row more that changes either way: a step without a change is no certainty.
    noise = (float(gains.var()) + 1 / len(gains)) / len(gains) / (errors * doublings) ** 2
    return Normal(float(gains.mean()) / (errors * doublings), noise)


def _joined(rates: Sequence[Normal]) -> Normal:
    """Return what independent estimates of a rate tell together."""
    weight = sum(1 / rate.variance for rate in rates)
    return Normal(sum(rate.mean / rate.variance for rate in rates) / weight, 1 / weight)

"""What a candidate that learned from part of the labels promises with all of them.

The share of errors that one doubling of the labels removes hardly changes from doubling to doubling
(a power law; Hestness et al. 2017, arXiv 1712.00409). It is estimated from the candidate's own
smaller pool, as far as its common rows tell, from those of the other candidates, and from a prior:
on real sets (docs/methods/decision.md; benchmarks/promises.py) it is 0.16 on average, differs from
set to set by 0.08 (standard deviation), from candidate to candidate as `OF_FAMILY` says, and from a
candidate to one of its steps by 0.02. After two doublings (`REACH`) a curve may stop as well as go
on: the mean gain lies between both, and the doubt holds what going on would add.

Where nearly nothing is right, errors tell nothing of what one more doubling brings: a score is
promised to grow by half with each of two at most, give or take twice what all would bring at most:
a LoRA went from 11 % right with 30 rows to 85 % with 300, and another from 2 % to 5 %.
"""

from collections.abc import Mapping, Sequence
from math import ceil, hypot, log2, sqrt
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from choose.judge.evidence import CandidateInfo
from choose.judge.scores.score_tables import WHOLE, CandidateScores, ScoreTable
from choose.stats import Estimate
from choose.stats.two_way import fits_a_row, row_means
from choose.types import Family

# Share of errors that a doubling removes in a set: its mean, and standard deviation between sets;
# that of a step around its candidate's.
RATE, SETS_SD, DRIFT = 0.16, 0.08, 0.02

# Standard deviation of the score between fits, as on stored answers of real sets. The 0.03 that is
# assumed elsewhere is for where a mistake is worse than a wide band.
FIT_SD = 0.017

# By how much a doubling is expected to multiply a score at most, the standard deviation of a gain,
# in such gains, and the doublings after which a curve may stop.
MOST_GROWTH, WIDEST, REACH = 1.5, 2.0, 2.0

# Parts of the labels at hand in which further ones are counted.
LABEL_STEPS = 20

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
    "fine-tuning": Normal(0.08, 0.1**2),
}


def rows_read(pool: int, table: ScoreTable | None) -> float:
    """Return rows of a pool by how often fits read them: half as often as planned is half of all.

    That is what a fit cut short counts as on a learning curve.
    """
    return pool * min((run.share_read for run in (table.runs if table else ())), default=1.0)


def rows_seen(pool: int, table: ScoreTable | None) -> int:
    """Return how many rows of a pool each fit has read at least once."""
    runs = table.runs if table else ()
    return round(pool * min((r.rows_read / max(1, r.trial.train_size) for r in runs), default=1.0))


def rates_by_others(candidates: Sequence[CandidateScores]) -> dict[str, Normal]:
    """Return by candidate the share that a doubling removes as the curves of the others tell it."""
    curves: dict[Family, dict[str, Normal]] = {}
    for c in (c for c in candidates if c.info.learns and not c.info.floor):
        own = _around_its_set(c.info)
        if own and (seen := _seen_rate(c)):
            of_set = Normal(seen.mean - own.mean, seen.variance + own.variance)
            curves.setdefault(c.info.family, {})[c.info.name] = of_set
    found = {}
    for info in (c.info for c in candidates):
        own = _around_its_set(info) or NONE
        others = [[r for n, r in of.items() if n != info.name] for of in curves.values()]
        # Curves of a family share rows and pools: together they tell as much as one.
        of_set = _joined([OF_SETS, *(_joined(of, alike=True) for of in others if of)])
        found[info.name] = Normal(of_set.mean + own.mean, of_set.variance + own.variance)
    return found


def promised_gains(
    candidates: Sequence[CandidateScores], learned: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Normal]:
    """Return the `promised_gain` of each candidate, by name, as all curves tell it."""
    rates = rates_by_others(candidates)
    floors = (c.main.right for c in candidates if c.main is not None and c.info.floor)
    least = max((float(np.nanmean(right)) for right in floors), default=0.0)
    return {
        name: promised_gain(c, rates[name], learned=learned.get(name, 0), floor=least)
        for c in candidates
        if (name := c.info.name)
    }


def promised_gain(
    candidate: CandidateScores, rate: Normal, *, learned: int = 0, floor: float = 0.0
) -> Normal:
    """Return what the labels add that a candidate has not learned from.

    Args:
        candidate: who answered some rows or none.
        rate: share of errors that a doubling removes, by all but its own curve.
        learned: from how many rows it will have learned, where they are more than now.
        floor: score of the best reference. Who is right less often has not learned yet what an
            answer looks like, and its score bounds no doubt.
    """
    pool = max(rows_read(candidate.pool, candidate.main), learned)
    if candidate.main is None or not candidate.info.learns or not 0 < pool < candidate.whole:
        return NONE
    return _gain_after(candidate, log2(candidate.whole / pool), rate, floor=floor)


def labels_for_gain(candidates: Sequence[CandidateScores], name: str, least: float) -> int | None:
    """Return how many labels, beyond those at hand, promise a candidate at least such a gain.

    None where as many again promise less. It has learned from all, or nearly all, that there are.
    """
    rate = rates_by_others(candidates)[name]
    one = next(candidate for candidate in candidates if candidate.info.name == name)
    for more in range(1, LABEL_STEPS + 1):
        if _gain_after(one, log2(1 + more / LABEL_STEPS), rate).mean >= least:
            return ceil(more / LABEL_STEPS * one.whole)
    return None


def _gain_after(
    candidate: CandidateScores, doublings: float, rate: Normal, *, floor: float = 0.0
) -> Normal:
    """Return what so many doublings of its labels add; see `promised_gain`."""
    score = float(np.nanmean(candidate.main.right)) if candidate.main else 0.0
    errors = 1 - score
    few = errors * doublings * FEW_SD
    if _around_its_set(candidate.info) is None:
        return Normal(0.0, few**2)
    seen = _seen_rate(candidate)
    mean, variance = _joined([rate, seen]) if seen else rate
    kept, sd = 1 - min(max(mean, 0.0), 0.9), sqrt(variance + DRIFT**2)
    near = min(doublings, REACH)
    most = max(score, floor) * (MOST_GROWTH**doublings - 1)
    soonest = score * (MOST_GROWTH**near - 1)
    goes_on, stops = min(errors * (1 - kept**doublings), most), errors * (1 - kept**near)
    gain = min((goes_on + stops) / 2, soonest)
    wide = errors * doublings * kept ** (doublings - 1) * sd
    return Normal(gain, min(wide, max(WIDEST * most, few)) ** 2 + (goes_on - gain) ** 2)


def promised_score(now: Estimate, gain: Normal) -> Estimate:
    """Return the score promised with all labels; the 95 % band is of that `now` and the gain."""
    assert now.low is not None
    assert now.high is not None
    value, wide = now.value + gain.mean, 1.96 * sqrt(gain.variance)
    return Estimate(
        value=value,
        low=max(0.0, value - hypot(now.value - now.low, wide)),
        high=min(1.0, value + hypot(now.high - now.value, wide)),
        estimand="all-labels",
    )


def _around_its_set(info: CandidateInfo) -> Normal | None:
    """Return how its rate differs from its set's; None of prompts, with passages or without."""
    return None if info.family == "retrieval" and info.reads else OF_FAMILY.get(info.family)


def _seen_rate(candidate: CandidateScores) -> Normal | None:
    """Return its rate as its last step tells it: as far as rows, fits and steps vary."""
    main = candidate.main
    smaller = [size for size in candidate.by_pool if size not in (candidate.pool, WHOLE)]
    if main is None or not smaller:
        return None
    size = max(smaller)
    few = candidate.sizes[size]
    doublings = log2(rows_read(candidate.pool, candidate.main) / rows_read(size, few))
    before, now = row_means(few.right), row_means(main.right)
    gains = (now - before)[~np.isnan(now - before)]
    errors = 1 - float(np.nanmean(before)) if len(gains) else 0.0
    if len(gains) < 2 or errors <= 0 or doublings <= 0:
        return None
    # One row more that changes either way: a step without a change is no certainty.
    rows = (float(gains.var()) + 1 / len(gains)) / len(gains)
    # Each pool but the whole one is drawn, so that another would score otherwise.
    fits = 1 / fits_a_row(few.right) + candidate.repeats / fits_a_row(main.right)
    variance = (rows + FIT_SD**2 * fits) / (errors * doublings) ** 2
    return Normal(float(gains.mean()) / (errors * doublings), variance + DRIFT**2)


def _joined(rates: Sequence[Normal], *, alike: bool = False) -> Normal:
    """Return what estimates of a rate tell together: independent ones, or as one if `alike`."""
    weight = sum(1 / rate.variance for rate in rates)
    mean = sum(rate.mean / rate.variance for rate in rates) / weight
    return Normal(mean, (len(rates) if alike else 1) / weight)

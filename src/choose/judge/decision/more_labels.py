"""What more labels would bring: training gains, and test rows that decide a comparison.

A comparison is decided if the costlier of two is shown to gain, by the margin as estimated, or
shown not to gain the margin. The chance that more rows show either is taken over the true
difference, given what was measured, and over the new rows (predictive power: Spiegelhalter,
Freedman and Blackburn 1986).
"""

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from choose.judge.decision.candidates import Candidates
from choose.judge.scores.joint_distribution import SPREAD
from choose.judge.scores.paired_comparison import compare, full_pool, other_pool
from choose.judge.scores.promised_score import rows_seen
from choose.judge.scores.score_tables import CandidateScores
from choose.stats.paired import Difference
from choose.types import Floats

# Half the width of a normal 95 % interval in standard errors; few repetitions widen an interval
# beyond its standard error, and here they count as if the error were that much larger.
Z = 1.96

# Chances of a decision for which the number of rows is given.
EVEN, LIKELY = 0.5, 0.8

# Pools of at most this share of another differ by more than the rows of a fold.
SMALLER = 0.75

# Beyond this multiple of the rows at hand, more rows are not advice.
FARTHEST = 20

# Numbers of rows that are tried, two per cent apart.
_STEP = 1.02


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelGain:
    """The gain of a candidate between a smaller training pool and the compared one.

    `fewer` and `labels` are the rows of these that its fits have read.
    """

    candidate: str
    fewer: int
    labels: int
    gained: Difference


def gain_from_labels(candidate: CandidateScores) -> LabelGain | None:
    """Return the gain since the largest measured pool that is `SMALLER` than the compared one."""
    labels = rows_seen(candidate.pool, candidate.main)
    by_rows = {rows_seen(size, table): table for size, table in candidate.sizes.items()}
    fewer = max((rows for rows in by_rows if rows <= SMALLER * labels), default=0)
    if candidate.main is None or not fewer or not candidate.info.learns:
        return None
    gained = compare(full_pool(candidate), other_pool(candidate, by_rows[fewer]))
    if gained is None:
        return None
    return LabelGain(candidate=candidate.info.name, fewer=fewer, labels=labels, gained=gained)


def steepest_gain(candidates: Candidates, names: tuple[str, ...]) -> LabelGain | None:
    """Return the largest gain among these that is certain and at least the margin.

    Those that had fewer labels are left out: for them, labels at hand come first.
    """
    gains = [
        r
        for one in map(candidates.scores.__getitem__, names)
        if rows_seen(one.pool, one.main) > SMALLER * one.whole
        and (r := gain_from_labels(one)) is not None
        and r.gained.low > 0
        and r.gained.value >= candidates.rule.margin
    ]
    return max(gains, key=lambda r: r.gained.value, default=None)


class RowsNeeded(NamedTuple):
    """Rows that decide a comparison with a chance of `EVEN`, and of `LIKELY`.

    `likely` is None where even `FARTHEST` times the rows at hand would not be enough.
    """

    even: int
    likely: int | None


def rows_to_decide(difference: Difference, margin: float) -> RowsNeeded | None:
    """Return how many test rows would decide a comparison, those at hand included.

    The difference is the lead of the costlier of two, `margin` the smallest lead that matters. None
    where discordance was not measured, where variance between runs, which rows do not reduce,
    makes up half of the error or more, and where the chance never reaches `EVEN`.
    """
    if difference.run_share >= 0.5 or difference.discordance <= 0:
        return None
    steps = np.arange(1, 2 + int(np.log(FARTHEST + 1) / np.log(_STEP)))
    times: Floats = np.power(_STEP, steps, dtype=np.float64)
    chances = chance_to_decide(difference, margin, times)

    def first(chance: float) -> int | None:
        reached = np.flatnonzero(chances >= chance)
        return ceil(difference.rows * float(times[reached[0]])) if len(reached) else None

    even = first(EVEN)
    return RowsNeeded(even, first(LIKELY)) if even is not None else None


def chance_to_decide(difference: Difference, margin: float, times: Floats) -> Floats:
    """Return (n,) the chance that `times` as many rows decide a comparison.

    The rows at hand are part of them. Means over rows vary normally around the lead of these very
    fits. The prior of that lead has mean 0 and the standard deviation `SPREAD`, plus the variance
    between runs.
    """
    half = (difference.high - difference.low) / 2
    error = (half / Z) ** 2
    by_runs, by_rows = difference.run_share * error, (1 - difference.run_share) * error
    shrinkage = (SPREAD**2 + by_runs) / (SPREAD**2 + error)
    new = 1 - 1 / times  # share of new rows
    center = difference.value * (1 - new + new * shrinkage)
    spread = new * np.sqrt(shrinkage * by_rows + by_rows / np.maximum(times - 1, 1e-9))
    halves = half * np.sqrt((1 - difference.run_share) / times + difference.run_share)
    shown = 1 - ndtr((np.maximum(margin, halves) - center) / spread)
    refuted = ndtr((margin - halves - center) / spread)
    return np.asarray(np.minimum(shown + refuted, 1.0))


def more_rows(difference: Difference, margin: float, labelled: int) -> RowsNeeded | None:
    """Return how many more rows to label; None where other steps would help more.

    As long as not both answered all of the `labelled` test rows, evaluating the rest comes first.
    """
    needed = rows_to_decide(difference, margin)
    if difference.rows < labelled or needed is None or needed.even <= difference.rows:
        return None
    likely = needed.likely - difference.rows if needed.likely is not None else None
    return RowsNeeded(needed.even - difference.rows, likely)

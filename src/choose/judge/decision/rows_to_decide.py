"""The comparison that decides a verdict, and how many more test rows would decide it.

A comparison is decided if the costlier of two is shown to gain, by the margin as estimated, or
shown not to gain the margin. The chance that more rows show either is taken over the true
difference, given what was measured, and over the new rows (predictive power: Spiegelhalter,
Freedman and Blackburn 1986).
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from choose.judge.decision.contenders import Contenders
from choose.judge.decision.rule import Selection, deciding_difference, deciding_rival
from choose.judge.scores.expected_loss import SPREAD, Z
from choose.judge.stats.paired import Difference
from choose.types import Floats

# Chances of a decision for which the number of rows is given.
EVEN, LIKELY = 0.5, 0.8

# Beyond this multiple of the rows at hand, more rows are not advice.
FARTHEST = 20

# Numbers of rows that are tried, two per cent apart.
_STEP = 1.02


class RowsNeeded(NamedTuple):
    """Rows that decide a comparison with a chance of `EVEN`, and of `LIKELY`.

    `likely` is None where even `FARTHEST` times the rows at hand would not be enough.
    """

    even: int
    likely: int | None


def rows_to_decide(difference: Difference, margin: float) -> RowsNeeded | None:
    """Return how many test rows would decide a comparison, those at hand included.

    None where discordance was not measured, where variance between runs, which rows do not reduce,
    makes up half of the error or more, and where the chance never reaches `EVEN`.

    Args:
        difference: the lead of the costlier of two.
        margin: the smallest lead that matters.
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
    """Return (n,) the chance that so many times the rows decide a comparison.

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
    if answered_too_few(difference, labelled) or needed is None or needed.even <= difference.rows:
        return None
    likely = needed.likely - difference.rows if needed.likely is not None else None
    return RowsNeeded(needed.even - difference.rows, likely)


def answered_too_few(difference: Difference, labelled: int) -> bool:
    """Return whether labelled rows are left that not both answered: these come before new ones."""
    return difference.rows < labelled


def lead_of_costlier(contenders: Contenders, selection: Selection) -> Difference | None:
    """Return the deciding difference as the lead of the costlier of the two."""
    difference = deciding_difference(contenders, selection)
    other = deciding_rival(contenders, selection)
    if difference is None or other is None:
        return None
    return difference if other in contenders.costlier(selection.interim) else difference.negated()

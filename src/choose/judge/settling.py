"""How many more test rows would settle the question, with which chance.

A contest is settled if the dearer of two is shown to gain, by the margin as estimated, or not to
gain the margin. Whether so many rows will show it is not known, since the difference is not: its
chance is taken over what the difference may be, given what was measured, and over what the rows
still to come may say of it (predictive power: Spiegelhalter, Freedman and Blackburn 1986).
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from choose.judge.growth import contest, opponent
from choose.judge.meanwhile import SPREAD, Z
from choose.judge.paired import Difference
from choose.judge.settle import Field, Settlement
from choose.types import Floats

# Chances of settling a question that are spoken of.
EVEN, LIKELY = 0.5, 0.8

# Beyond this multiple of the rows at hand, more rows are not advice.
FARTHEST = 20

# Numbers of rows that are tried, two per cent apart.
_STEP = 1.02


class RowsNeeded(NamedTuple):
    """Rows with which a question is settled in one case in two, and in four of five.

    `likely` is None where even `FARTHEST` times the rows at hand would not do.
    """

    even: int
    likely: int | None


def rows_to_settle(found: Difference, margin: float) -> RowsNeeded | None:
    """Return how many test rows would settle a contest, those at hand included.

    None where nothing was measured of how often rows differ, where retraining luck, which rows do
    not reduce, makes up half of the error or more, and where the chance is never even.

    Args:
        found: the lead of the dearer of two.
        margin: the smallest lead that matters.
    """
    if found.luck >= 0.5 or found.discordance <= 0:
        return None
    steps = np.arange(1, 2 + int(np.log(FARTHEST + 1) / np.log(_STEP)))
    times: Floats = np.power(_STEP, steps, dtype=np.float64)
    chances = chance_to_settle(found, margin, times)

    def first(chance: float) -> int | None:
        reached = np.flatnonzero(chances >= chance)
        return ceil(found.rows * float(times[reached[0]])) if len(reached) else None

    even = first(EVEN)
    return RowsNeeded(even, first(LIKELY)) if even is not None else None


def chance_to_settle(found: Difference, margin: float, times: Floats) -> Floats:
    """Return (n,) the chance that so many times the rows settle a contest.

    The rows at hand are part of them. What the rows say varies normally around the lead that these
    very fits have; that lead is, before anything was measured, around 0 with a standard deviation
    of `SPREAD` between candidates and the luck of the fits.
    """
    half = (found.high - found.low) / 2
    error = (half / Z) ** 2
    by_luck, by_rows = found.luck * error, (1 - found.luck) * error
    kept = (SPREAD**2 + by_luck) / (SPREAD**2 + error)
    new = 1 - 1 / times  # share of the rows that are still to come
    center = found.value * (1 - new + new * kept)
    spread = new * np.sqrt(kept * by_rows + by_rows / np.maximum(times - 1, 1e-9))
    halves = half * np.sqrt((1 - found.luck) / times + found.luck)
    shown = 1 - ndtr((np.maximum(margin, halves) - center) / spread)
    refuted = ndtr((margin - halves - center) / spread)
    return np.asarray(np.minimum(shown + refuted, 1.0))


def more_rows(found: Difference, margin: float, labelled: int) -> RowsNeeded | None:
    """Return how many more rows to label, or None where that is not what would help.

    Of the `labelled` test rows, those that were not asked of both come first.
    """
    needed = rows_to_settle(found, margin)
    at_hand = max(labelled, found.rows)
    if needed is None or needed.even <= at_hand:
        return None
    likely = needed.likely - at_hand if needed.likely is not None else None
    return RowsNeeded(needed.even - at_hand, likely)


def asked_too_few(found: Difference, margin: float, labelled: int) -> bool:
    """Return whether rows that are labelled, and were not asked of both, may well settle it."""
    needed = rows_to_settle(found, margin)
    return needed is not None and found.rows < needed.even <= labelled


def lead(field: Field, settlement: Settlement) -> Difference | None:
    """Return the contest on which the decision hangs, as the lead of the dearer of the two."""
    found, other = contest(field, settlement), opponent(field, settlement)
    if found is None or other is None:
        return None
    return found if other in field.dearer(settlement.meanwhile) else found.turned()

"""How many more test rows would settle the question, with which chance.

A contest is settled if the dearer of two is shown to gain, by the margin as estimated, or not to
gain the margin. Whether so many rows will show it is not known, since the difference is not: its
chance is taken over what the difference may be, given what was measured, and over what the rows
still to come may say of it (predictive power: Spiegelhalter, Freedman and Blackburn 1986).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from choose.judge.decision.contenders import Field
from choose.judge.decision.rule import SPREAD, Settlement, Z
from choose.judge.panel.families import Match, match
from choose.judge.stats.intervals import smallest_detectable_gain
from choose.judge.stats.paired import Difference
from choose.schema.diagnosis import Audit, ErrorOverlap, Failures
from choose.types import Family, Floats


def contest(field: Field, settlement: Settlement) -> Difference | None:
    """Return the difference on which the decision hangs: first rival, or nearest other."""
    other = opponent(field, settlement)
    return field.gain(other, settlement.meanwhile) if other else None


def opponent(field: Field, settlement: Settlement) -> str | None:
    """Return against whom the decision hangs."""
    others = settlement.rivals or tuple(
        sorted(
            (n for n in field.names if n != settlement.meanwhile),
            key=lambda n: -field.accuracies[n].value,
        )
    )
    return others[0] if others else None


@dataclass(frozen=True)
class Case:
    """A decided field, and what several gates need of it."""

    field: Field
    settlement: Settlement
    audit: Audit | None = None
    failures: Failures | None = None
    overlap: ErrorOverlap | None = None

    @property
    def name(self) -> str:
        """Return the candidate that is chosen, or used meanwhile."""
        return self.settlement.meanwhile

    @property
    def margin(self) -> float:
        """Return the smallest gain that matters where nothing sets two candidates apart in cost."""
        return self.field.rule.margin

    @cached_property
    def stake(self) -> float:
        """Return the smallest gain that matters in the contest that decides."""
        other = opponent(self.field, self.settlement)
        return self.field.margin(other, self.name) if other else self.margin

    @cached_property
    def detectable(self) -> float | None:
        """Return the gain that is found four times in five, in the contest that decides.

        Repetitions limit it as well as rows do.
        """
        return self._finds(with_luck=True)

    @cached_property
    def detectable_by_rows(self) -> float | None:
        """Return the gain that these rows would find if retraining brought no luck."""
        return self._finds(with_luck=False)

    def _finds(self, with_luck: bool) -> float | None:
        found = contest(self.field, self.settlement)
        if found is None:
            return None
        luck = found.error.second / found.largest**2 if with_luck else 0.0
        gain = smallest_detectable_gain(
            found.independent * found.rows, found.discordance, repetition_variance=luck
        )
        return gain * found.largest if gain is not None else None

    def versus(self, families: Sequence[Family], others: Sequence[Family]) -> Match | None:
        """Compare the best of some families with the best of others."""
        sides = [
            [m for m in self.field.order if m.info.family in part] for part in (families, others)
        ]
        return match(self.field.pairs, sides[0], sides[1])


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

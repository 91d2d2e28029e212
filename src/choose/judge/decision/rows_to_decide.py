"""The comparison that decides a verdict, and how many more test rows would decide it.

A comparison is decided if the costlier of two is shown to gain, by the margin as estimated, or
shown not to gain the margin. The chance that more rows show either is taken over the true
difference, given what was measured, and over the new rows (predictive power: Spiegelhalter,
Freedman and Blackburn 1986).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from choose.judge.decision.contenders import Contenders
from choose.judge.decision.rule import SPREAD, Selection, Z
from choose.judge.panel.family_comparison import FamilyComparison, compare_families
from choose.judge.stats.intervals import smallest_detectable_gain
from choose.judge.stats.paired import Difference
from choose.schema.diagnosis import Audit, ErrorOverlap, Failures
from choose.types import Family, Floats

# Chances of a decision for which the number of rows is given.
EVEN, LIKELY = 0.5, 0.8

# Beyond this multiple of the rows at hand, more rows are not advice.
FARTHEST = 20

# Numbers of rows that are tried, two per cent apart.
_STEP = 1.02


def deciding_difference(contenders: Contenders, selection: Selection) -> Difference | None:
    """Return the difference of the deciding rival over the interim candidate."""
    other = deciding_rival(contenders, selection)
    return contenders.gain(other, selection.interim) if other else None


def deciding_rival(contenders: Contenders, selection: Selection) -> str | None:
    """Return the first rival, else the most accurate other candidate."""
    others = selection.rivals or tuple(
        sorted(
            (n for n in contenders.names if n != selection.interim),
            key=lambda n: -contenders.accuracies[n].value,
        )
    )
    return others[0] if others else None


@dataclass(frozen=True)
class Case:
    """The decided contenders with the diagnosis, as gates and sentences need them."""

    contenders: Contenders
    selection: Selection
    audit: Audit | None = None
    failures: Failures | None = None
    overlap: ErrorOverlap | None = None

    @property
    def name(self) -> str:
        """Return the candidate that is adopted, or used in the interim."""
        return self.selection.interim

    @property
    def margin(self) -> float:
        """Return the smallest gain that matters between candidates of equal cost."""
        return self.contenders.rule.margin

    @cached_property
    def deciding_margin(self) -> float:
        """Return the smallest gain that matters in the comparison that decides."""
        other = deciding_rival(self.contenders, self.selection)
        return self.contenders.margin(other, self.name) if other else self.margin

    @cached_property
    def detectable(self) -> float | None:
        """Return the gain that the deciding comparison detects with 80 % power.

        The number of runs limits it as much as the number of rows.
        """
        return self._detects(run_variance=True)

    @cached_property
    def detectable_by_rows(self) -> float | None:
        """Return the gain that these rows would detect if all runs were alike."""
        return self._detects(run_variance=False)

    def _detects(self, run_variance: bool) -> float | None:
        found = deciding_difference(self.contenders, self.selection)
        if found is None:
            return None
        variance = found.error.second / found.largest**2 if run_variance else 0.0
        gain = smallest_detectable_gain(
            found.independent * found.rows, found.discordance, repetition_variance=variance
        )
        return gain * found.largest if gain is not None else None

    def versus(
        self, families: Sequence[Family], others: Sequence[Family]
    ) -> FamilyComparison | None:
        """Compare the best of some families with the best of others."""
        sides = [
            [m for m in self.contenders.order if m.info.family in part]
            for part in (families, others)
        ]
        return compare_families(self.contenders.pairs, sides[0], sides[1])


class RowsNeeded(NamedTuple):
    """Rows that decide a comparison with a chance of `EVEN`, and of `LIKELY`.

    `likely` is None where even `FARTHEST` times the rows at hand would not be enough.
    """

    even: int
    likely: int | None


def rows_to_decide(found: Difference, margin: float) -> RowsNeeded | None:
    """Return how many test rows would decide a comparison, those at hand included.

    None where discordance was not measured, where variance between runs, which rows do not reduce,
    makes up half of the error or more, and where the chance never reaches `EVEN`.

    Args:
        found: the lead of the costlier of two.
        margin: the smallest lead that matters.
    """
    if found.run_share >= 0.5 or found.discordance <= 0:
        return None
    steps = np.arange(1, 2 + int(np.log(FARTHEST + 1) / np.log(_STEP)))
    times: Floats = np.power(_STEP, steps, dtype=np.float64)
    chances = chance_to_decide(found, margin, times)

    def first(chance: float) -> int | None:
        reached = np.flatnonzero(chances >= chance)
        return ceil(found.rows * float(times[reached[0]])) if len(reached) else None

    even = first(EVEN)
    return RowsNeeded(even, first(LIKELY)) if even is not None else None


def chance_to_decide(found: Difference, margin: float, times: Floats) -> Floats:
    """Return (n,) the chance that so many times the rows decide a comparison.

    The rows at hand are part of them. Means over rows vary normally around the lead of these very
    fits. The prior of that lead has mean 0 and the standard deviation `SPREAD`, plus the variance
    between runs.
    """
    half = (found.high - found.low) / 2
    error = (half / Z) ** 2
    by_runs, by_rows = found.run_share * error, (1 - found.run_share) * error
    shrinkage = (SPREAD**2 + by_runs) / (SPREAD**2 + error)
    new = 1 - 1 / times  # share of new rows
    center = found.value * (1 - new + new * shrinkage)
    spread = new * np.sqrt(shrinkage * by_rows + by_rows / np.maximum(times - 1, 1e-9))
    halves = half * np.sqrt((1 - found.run_share) / times + found.run_share)
    shown = 1 - ndtr((np.maximum(margin, halves) - center) / spread)
    refuted = ndtr((margin - halves - center) / spread)
    return np.asarray(np.minimum(shown + refuted, 1.0))


def more_rows(found: Difference, margin: float, labelled: int) -> RowsNeeded | None:
    """Return how many more rows to label; None where other steps would help more.

    Of the `labelled` test rows, those that not both answered come first.
    """
    needed = rows_to_decide(found, margin)
    at_hand = max(labelled, found.rows)
    if needed is None or needed.even <= at_hand:
        return None
    likely = needed.likely - at_hand if needed.likely is not None else None
    return RowsNeeded(needed.even - at_hand, likely)


def answered_too_few(found: Difference, margin: float, labelled: int) -> bool:
    """Return whether labelled rows that not both answered yet may decide the comparison."""
    needed = rows_to_decide(found, margin)
    return needed is not None and found.rows < needed.even <= labelled


def lead_of_costlier(contenders: Contenders, selection: Selection) -> Difference | None:
    """Return the deciding difference as the lead of the costlier of the two."""
    found, other = deciding_difference(contenders, selection), deciding_rival(contenders, selection)
    if found is None or other is None:
        return None
    return found if other in contenders.costlier(selection.interim) else found.negated()

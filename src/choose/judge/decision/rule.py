"""The decision: which candidate is adopted, or used in the interim, and which are its rivals.

A candidate is adopted if it beats every cheaper one (lower bound of the gain above 0, estimate at
or above the margin) and no costlier one can beat it by the margin (upper bound of the gain below
the margin). At most one candidate satisfies both. It must pass every comparison, so their number
needs no correction: a wrong adoption needs an error in all of them. Otherwise the comparison is
undecided, never "equal".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, hypot, pi, sqrt
from typing import Literal, NamedTuple

from scipy.special import ndtr

from choose.judge.decision.contenders import Contenders
from choose.judge.scores.family_comparison import FamilyComparison, compare_families
from choose.judge.scores.paired_comparison import Pairs
from choose.judge.stats.paired import Difference
from choose.judge.stats.power import smallest_detectable_gain
from choose.schema.base import Interval
from choose.schema.diagnosis import Audit, ErrorOverlap, Failures
from choose.types import Family

# Standard deviation of true differences between candidates, as a fraction of the rows.
SPREAD = 0.1

# Half the width of a normal 95 % interval in standard errors; few repetitions widen an interval
# beyond its standard error, and here they count as if the error were that much larger.
Z = 1.96
Target = Literal["met", "missed", "open", "none"]


class NormalLaw(NamedTuple):
    """A normal law of a true difference."""

    mean: float
    sd: float

    def excess(self, margin: float) -> float:
        """Return the expected part of the difference that lies above the margin."""
        z = (self.mean - margin) / self.sd
        return float(self.sd * (exp(-z * z / 2) / sqrt(2 * pi) + z * ndtr(z)))

    def below(self, margin: float) -> float:
        """Return the chance that the difference is below the margin."""
        return float(ndtr((margin - self.mean) / self.sd))


def least_loss(
    pairs: Pairs,
    names: Sequence[str],
    accuracies: Mapping[str, Interval],
    margin: Callable[[str, str], float],
) -> str:
    """Return the candidate of least expected loss, the cheaper of equals.

    Args:
        pairs: differences between candidates.
        names: the candidates, cheapest first.
        accuracies: of the candidates, for those that share no row.
        margin: the smallest gain of the costlier of two that matters.
    """

    def loss(place: int) -> float:
        name = names[place]
        over = (
            law_of_difference(pairs, other, name, accuracies).excess(margin(other, name))
            for other in names
        )
        needless = (
            margin(name, c) * law_of_difference(pairs, name, c, accuracies).below(margin(name, c))
            for c in names[:place]
        )
        return max(over) + max(needless, default=0.0)

    return names[min(range(len(names)), key=loss)]


def law_of_difference(
    pairs: Pairs, a: str, b: str, accuracies: Mapping[str, Interval]
) -> NormalLaw:
    """Return the posterior law of accuracy of a minus b, shrunk toward 0 by the prior `SPREAD`."""
    if a == b:
        return NormalLaw(0.0, 1e-9)
    difference = pairs.difference(a, b)
    if difference is not None:
        value, error = difference.value, (difference.high - difference.low) / (2 * Z)
    else:
        value = accuracies[a].value - accuracies[b].value
        error = hypot(_error(accuracies[a]), _error(accuracies[b]))
    shrinkage = SPREAD**2 / (SPREAD**2 + error**2)
    return NormalLaw(shrinkage * value, max(sqrt(shrinkage) * error, 1e-9))


def _error(interval: Interval) -> float:
    assert interval.low is not None
    assert interval.high is not None
    return (interval.high - interval.low) / (2 * Z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which candidate is adopted or used in the interim, and what keeps the question open.

    Attributes:
        chosen: the adopted candidate, or None.
        interim: the candidate to use until more is known; the adopted one if there is one.
        rivals: candidates that keep the question open, the most accurate first.
        target: whether the interim candidate reaches the study's target.
        reachable: whether any candidate may reach it.
    """

    chosen: str | None
    interim: str
    rivals: tuple[str, ...]
    target: Target
    reachable: bool


def select(contenders: Contenders) -> Selection:
    """Adopt a candidate, or choose the one of least expected loss for the interim."""
    chosen = next((name for name in contenders.names if _adoptable(contenders, name)), None)
    interim = chosen or least_loss(
        contenders.pairs, _usable(contenders), contenders.accuracies, contenders.margin
    )
    target = contenders.rule.target
    reachable = target is None or any(
        (interval.high or 0) >= target for interval in contenders.accuracies.values()
    )
    return Selection(
        chosen=chosen,
        interim=interim,
        rivals=() if chosen else _rivals(contenders, interim),
        target=target_status(contenders.accuracies[interim], target),
        reachable=reachable,
    )


def _usable(contenders: Contenders) -> Sequence[str]:
    """Return the candidates for the interim: no constant answer if another is more accurate.

    With one common label a constant answer is often within the margin, but it never gives another.
    """
    constant = [n for n in contenders.names if contenders.panel[n].info.constant]
    floor = max((contenders.accuracies[n].value for n in constant), default=0.0)
    if all(contenders.accuracies[n].value <= floor for n in contenders.names):
        return contenders.names
    return [name for name in contenders.names if name not in constant]


def target_status(accuracy: Interval, target: float | None) -> Target:
    """Say whether the whole interval of an accuracy reaches a target."""
    if target is None:
        return "none"
    assert accuracy.low is not None
    assert accuracy.high is not None
    if accuracy.low >= target:
        return "met"
    return "missed" if accuracy.high < target else "open"


def _adoptable(contenders: Contenders, name: str) -> bool:
    beats = all(
        contenders.relation(name, cheaper) == "better" for cheaper in contenders.cheaper(name)
    )
    return beats and all(
        _cannot_gain(contenders, costlier, name) for costlier in contenders.costlier(name)
    )


def _cannot_gain(contenders: Contenders, a: str, b: str) -> bool:
    return contenders.relation(a, b) in ("equivalent", "worse", "not better")


def _rivals(contenders: Contenders, name: str) -> tuple[str, ...]:
    """Return what bars `name`: cheaper candidates not beaten, costlier ones not ruled out."""
    rivals = [n for n in contenders.cheaper(name) if contenders.relation(name, n) != "better"]
    rivals += [n for n in contenders.costlier(name) if not _cannot_gain(contenders, n, name)]
    rivals = rivals or [n for n in contenders.names if n != name]
    return tuple(sorted(rivals, key=lambda n: -contenders.accuracies[n].value))


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
        difference = deciding_difference(self.contenders, self.selection)
        if difference is None:
            return None
        variance = difference.error.second / difference.largest**2 if run_variance else 0.0
        gain = smallest_detectable_gain(
            difference.independent * difference.rows,
            difference.discordance,
            repetition_variance=variance,
        )
        return gain * difference.largest if gain is not None else None

    def versus(
        self, families: Sequence[Family], others: Sequence[Family]
    ) -> FamilyComparison | None:
        """Compare the best of some families with the best of others."""
        sides = [
            [m for m in self.contenders.order if m.info.family in part]
            for part in (families, others)
        ]
        return compare_families(self.contenders.pairs, sides[0], sides[1])

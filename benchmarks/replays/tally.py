"""Means over many decisions, with intervals that count sets and not decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t

from replays.grading import JUDGE, Choice, Grade
from replays.rules import RULES


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over decisions, each set weighing the same, with a 95 % interval over the sets.

    Decisions on one set share its rows and its fits, so they are one cluster. `low` and `high` are
    None where there are fewer than two sets; `value` is None over no decision.
    """

    value: float | None
    low: float | None
    high: float | None
    count: int

    def text(self, digits: int = 1) -> str:
        """Return it in points or per cent with half the width of its interval."""
        if self.value is None:
            return "-"
        shown = f"{100 * self.value:.{digits}f}"
        if self.high is None:
            return shown
        return f"{shown} ± {100 * (self.high - self.value):.{digits}f}"


def mean(values: Sequence[tuple[str, float]]) -> Mean:
    """Return the mean of (set, value) pairs."""
    by_set: dict[str, list[float]] = defaultdict(list)
    for name, value in values:
        by_set[name].append(value)
    means = [fmean(part) for part in by_set.values()]
    if not means:
        return Mean(None, None, None, 0)
    middle = fmean(means)
    if len(means) < 2:
        return Mean(middle, None, None, len(values))
    half = float(t.ppf(0.975, len(means) - 1)) * stdev(means) / sqrt(len(means))
    return Mean(middle, middle - half, middle + half, len(values))


@dataclass(frozen=True, slots=True)
class RuleTally:
    """What a rule costs, and what the judge costs on the same decisions.

    Attributes:
        applies: share of the decisions in which the rule can choose.
        judged: excess regret of the judge where the rule applies.
        more: by how much the rule's excess regret is above the judge's.
    """

    applies: float
    needless: Mean
    excess: Mean
    strict_excess: Mean
    regret: Mean
    judged: Mean
    more: Mean


@dataclass(frozen=True, slots=True)
class Tally:
    """Everything that is reported of some decisions."""

    decisions: int
    right: Mean
    abstained: Mean
    right_by_kind: dict[str, Mean]
    right_by_confidence: dict[str, Mean]
    rules: dict[str, RuleTally]

    def record(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


def tally(grades: Sequence[Grade]) -> Tally:
    """Count."""
    return Tally(
        decisions=len(grades),
        right=_over(grades, lambda g: g.right),
        abstained=_over(grades, lambda g: not g.recommends),
        right_by_kind=_split(grades, lambda g: g.kind),
        right_by_confidence=_split(grades, lambda g: g.confidence),
        rules={rule: _rule(grades, rule) for rule in (JUDGE, *RULES)},
    )


def _split(grades: Sequence[Grade], of: Callable[[Grade], str]) -> dict[str, Mean]:
    parts = sorted({of(grade) for grade in grades})
    return {p: _over([g for g in grades if of(g) == p], lambda g: g.right) for p in parts}


def _over(grades: Sequence[Grade], of: Callable[[Grade], float]) -> Mean:
    return mean([(grade.set, float(of(grade))) for grade in grades])


def _rule(grades: Sequence[Grade], rule: str) -> RuleTally:
    there = [grade for grade in grades if rule in grade.choices]

    def over(of: Callable[[Choice], float]) -> Mean:
        return _over(there, lambda g: of(g.choices[rule]))

    return RuleTally(
        applies=len(there) / max(len(grades), 1),
        needless=over(lambda c: c.needless),
        excess=over(lambda c: c.excess),
        strict_excess=over(lambda c: c.strict_excess),
        regret=over(lambda c: c.regret),
        judged=_over(there, lambda g: g.choices[JUDGE].excess),
        more=_over(there, lambda g: g.choices[rule].excess - g.choices[JUDGE].excess),
    )

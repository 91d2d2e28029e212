"""The true accuracies of a simulated study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from choose.stats.paired import smallest_detectable_gain
from simulation.evidence import flip_chance
from simulation.setting import Setting, SimulatedCandidate, grid

# The age of a row runs from -0.5 to 0.5; the decision is for a time half a period later.
NEXT = 0.75

AGES = (-0.4, -0.2, 0.0, 0.2, 0.4)


@dataclass(frozen=True)
class Truth:
    """The truth of one study.

    Attributes:
        names: cheapest first.
        value: expected accuracy by clean labels, after any drift: what a decision is about.
        measured: expected accuracy by the given labels in the period of the test rows: what
            intervals are about.
        decisive: whether the best leads the runner-up by at least twice the gain that the study
            can detect, and by at least the margin.
        margin: the smallest gain that matters.
        limited: whether label errors limit the best candidate: they are more frequent than its own,
            perfect answers would miss the target, or it reaches the target by true labels only.
        wrong: share of the labels that are wrong; None if unknown.
        families: of the candidates; the constant answer has none.
    """

    names: tuple[str, ...]
    value: dict[str, float]
    measured: dict[str, float]
    decisive: bool
    margin: float
    target: float | None
    limited: bool = False
    wrong: float | None = None
    families: Mapping[str, str] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """Return the highest accuracy."""
        return max(self.value.values())

    def cheaper(self, name: str) -> tuple[str, ...]:
        """Return the cheaper candidates."""
        return self.names[: self.names.index(name)]

    def false_winner(self, name: str) -> bool:
        """Return whether a cheaper one is within the margin, or any one better by more than it."""
        return self.needless(name) or self.excess(name) > 0

    def one(self, families: Iterable[str]) -> str | None:
        """Return the family to use of some, cheapest first; None where none beats the floor."""
        best = {
            family: max(own, key=lambda n: self.value[n])
            for family in families
            if (own := [n for n in self.names if self.families.get(n) == family])
        }
        top = max(best.values(), key=lambda n: self.value[n])
        found = next(
            f for f, n in best.items() if n == top or self.value[top] - self.value[n] <= self.margin
        )
        floors = (self.value[n] for n in self.names if n not in self.families)
        return found if self.value[best[found]] > max(floors, default=0.0) else None

    def false_family(self, name: str) -> bool:
        """Return whether another family is right: a cheaper one within the margin, or a better.

        Each family is represented by its best member. Its cost is that of its cheapest member
        within the margin of the best.
        """
        best, cheapest = self._family(name)
        cheaper = [n for n in self.cheaper(cheapest) if self._rivals(n, name)]
        near = any(self.value[n] > self.value[best] - self.margin for n in cheaper)
        return near or self.family_excess(name) > 0

    def family_excess(self, name: str) -> float:
        """Return the accuracy beyond the margin by which another family is better."""
        best = self._family(name)[0]
        others = [n for n in self.names if self._rivals(n, name)]
        ahead = [self.value[n] - self.value[best] - self.margin for n in others]
        return max(0.0, *ahead, 0.0)

    def _family(self, name: str) -> tuple[str, str]:
        """Return the best member of a candidate's family, and the cheapest one near it."""
        own = [n for n in self.names if self.families.get(n) == self.families.get(name)]
        best = max(own, key=lambda n: self.value[n])
        within = (n for n in own if self.value[n] > self.value[best] - self.margin)
        return best, next(within)

    def _rivals(self, other: str, name: str) -> bool:
        family = self.families.get(other)
        return family is not None and family != self.families.get(name)

    def not_better(self, name: str) -> bool:
        """Return whether a cheaper one is as good or better: no gain at all."""
        return any(self.value[other] >= self.value[name] for other in self.cheaper(name))

    def needless(self, name: str) -> bool:
        """Return whether a cheaper one is within the margin."""
        mine = self.value[name]
        return any(self.value[other] > mine - self.margin for other in self.cheaper(name))

    def regret(self, name: str) -> float:
        """Return the accuracy given up."""
        return self.best - self.value[name]

    def excess(self, name: str) -> float:
        """Return the accuracy given up beyond the margin."""
        ahead = [self.value[o] - self.value[name] - self.margin for o in self.names]
        return max(0.0, *ahead)


def truth_of(setting: Setting) -> Truth:
    """Compute the truth of a setting."""
    candidates = setting.candidates
    assert all(a.seconds <= b.seconds for a, b in pairwise(candidates))
    value = {c.name: _share(c, NEXT) if c.decline else _right(setting, c) for c in candidates}
    measured = {c.name: _measured(setting, c) for c in candidates}
    return Truth(
        names=tuple(c.name for c in candidates),
        value=value,
        measured=measured,
        decisive=_decisive(setting, value),
        margin=setting.margin,
        target=setting.target,
        limited=_limited(setting, max(measured.values()), max(value.values())),
        wrong=_wrong(setting),
        families={c.name: c.family for c in candidates if c.name != "majority"},
    )


def _wrong(setting: Setting) -> float:
    return float(grid()[1] @ flip_chance(setting, grid()[0]))


def _limited(setting: Setting, measured: float, right: float) -> bool:
    """Return whether label errors limit the best, by its accuracy on given and on true labels."""
    wrong, target = _wrong(setting), setting.target
    missed = target is not None and (target > 1 - wrong or measured < target <= right)
    return bool(wrong) and (missed or wrong > (1 - measured) / 2)


def _share(candidate: SimulatedCandidate, age: float) -> float:
    return float(grid()[1] @ candidate.right(candidate.decline * age))


def _measured(setting: Setting, candidate: SimulatedCandidate) -> float:
    if candidate.by_label:
        return _by_label(setting, candidate)
    difficulty, weights = grid()
    ages = AGES if candidate.decline else (0.0,)
    right = np.mean([candidate.right(candidate.decline * age) for age in ages], axis=0)
    if not setting.mislabelled:
        return float(weights @ right)
    flipped = flip_chance(setting, difficulty) * (1 - setting.taught)
    return float(weights @ (right * (1 - flipped) + (1 - right) * flipped / (setting.labels - 1)))


def _right(setting: Setting, candidate: SimulatedCandidate) -> float:
    """Return the accuracy on true labels; candidates may have learned systematic label errors."""
    if candidate.by_label:
        return _by_label(setting, candidate)
    if not setting.taught:
        return candidate.accuracy
    difficulty, weights = grid()
    misled, right = flip_chance(setting, difficulty) * setting.taught, candidate.right()
    return float(weights @ (right * (1 - misled) + (1 - right) * misled / (setting.labels - 1)))


def _by_label(setting: Setting, candidate: SimulatedCandidate) -> float:
    """Return the mean over labels, weighted as in the metric."""
    found = [float(grid()[1] @ candidate.right(-more)) for more in candidate.by_label]
    return float(setting.say @ found)


def _decisive(setting: Setting, value: dict[str, float]) -> bool:
    by_name = {c.name: c for c in setting.candidates}
    best, second = sorted(value, key=lambda name: -value[name])[:2]
    return value[best] - value[second] >= _needed(setting, by_name[best], by_name[second])


def _needed(setting: Setting, a: SimulatedCandidate, b: SimulatedCandidate) -> float:
    discordance = _discordance(setting, a, b)
    shares = [setting.folds_done.get(c.name, setting.folds) / setting.folds for c in (a, b)]
    rows = setting.rows * min(shares) / setting.cluster * setting.worth
    variance = sum(c.run_variance / max(c.seeds, 1) for c in (a, b))
    return decisive_from(rows, discordance, setting.margin, variance)


def _discordance(setting: Setting, a: SimulatedCandidate, b: SimulatedCandidate) -> float:
    """Return how often one of two fits is right where the other is not.

    For graded scores it is the most that the mean squared difference of two scores can be.
    """
    labels = a.by_label and b.by_label
    cases = list(zip(a.by_label, b.by_label, strict=True)) if labels else [(0.0, 0.0)]
    found = []
    for more, less in cases:
        p, q = a.right(-more), b.right(-less)
        found.append(float(grid()[1] @ (p * (1 - q) + q * (1 - p))))
    return float(setting.say @ found) if labels else found[0]


def decisive_from(rows: float, discordance: float, margin: float, variance: float = 0.0) -> float:
    """Return the gap from which a study is decisive: twice the detectable gain, and the margin."""
    found = smallest_detectable_gain(rows, discordance, repetition_variance=variance)
    return max(2 * found, margin) if found is not None else 1.0

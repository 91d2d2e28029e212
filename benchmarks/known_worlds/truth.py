"""What is true of a setting, whatever was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from choose.judge.intervals import smallest_detectable_gain
from known_worlds.latent import grid
from known_worlds.setting import Contestant, Setting
from known_worlds.simulate import flip_chance

# The age of a row runs from -0.5 to 0.5; what is decided for comes half a period later.
NEXT = 0.75
AGES = (-0.4, -0.2, 0.0, 0.2, 0.4)


@dataclass(frozen=True)
class Truth:
    """The truth of one study.

    Attributes:
        names: cheapest first.
        value: expected accuracy by clean labels, after any drift: what a decision is about.
        measured: expected accuracy by the labels at hand in the period asked: what intervals are
            about.
        decisive: whether the best leads the runner-up by at least twice the gain that the study
            can detect, and by at least the margin.
    """

    names: tuple[str, ...]
    value: dict[str, float]
    measured: dict[str, float]
    decisive: bool
    margin: float
    target: float | None

    @property
    def best(self) -> float:
        """Return the highest accuracy."""
        return max(self.value.values())

    def cheaper(self, name: str) -> tuple[str, ...]:
        """Return who costs less."""
        return self.names[: self.names.index(name)]

    def false_winner(self, name: str) -> bool:
        """Return whether a cheaper one is within the margin, or any one better by more than it."""
        return self.needless(name) or self.excess(name) > 0

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
        return max(0.0, self.regret(name) - self.margin)


def truth_of(setting: Setting) -> Truth:
    """Work out the truth."""
    contestants = setting.contestants
    assert all(a.seconds <= b.seconds for a, b in pairwise(contestants))
    value = {c.name: _share(c, NEXT) if c.decline else c.accuracy for c in contestants}
    return Truth(
        names=tuple(c.name for c in contestants),
        value=value,
        measured={c.name: _measured(setting, c) for c in contestants},
        decisive=_decisive(setting, value),
        margin=setting.margin,
        target=setting.target,
    )


def _share(contestant: Contestant, age: float) -> float:
    return float(grid()[1] @ contestant.right(contestant.decline * age))


def _measured(setting: Setting, contestant: Contestant) -> float:
    difficulty, weights = grid()
    ages = AGES if contestant.decline else (0.0,)
    right = np.mean([contestant.right(contestant.decline * age) for age in ages], axis=0)
    if not setting.mislabelled:
        return float(weights @ right)
    flipped = flip_chance(setting, difficulty)
    return float(weights @ (right * (1 - flipped) + (1 - right) * flipped / (setting.labels - 1)))


def _decisive(setting: Setting, value: dict[str, float]) -> bool:
    by_name = {c.name: c for c in setting.contestants}
    best, second = sorted(value, key=lambda name: -value[name])[:2]
    return value[best] - value[second] >= _needed(setting, by_name[best], by_name[second])


def _needed(setting: Setting, a: Contestant, b: Contestant) -> float:
    p, q = a.right(), b.right()
    discordance = float(grid()[1] @ (p * (1 - q) + q * (1 - p)))
    shares = [setting.folds_done.get(c.name, setting.folds) / setting.folds for c in (a, b)]
    rows = setting.rows * min(shares) / setting.cluster
    luck = sum(c.luck_variance / max(c.seeds, 1) for c in (a, b))
    return decisive_from(rows, discordance, setting.margin, luck)


def decisive_from(rows: float, discordance: float, margin: float, luck: float = 0.0) -> float:
    """Return the gap from which a study is decisive: twice what it detects, and the margin."""
    found = smallest_detectable_gain(rows, discordance, repetition_variance=luck)
    return max(2 * found, margin) if found is not None else 1.0

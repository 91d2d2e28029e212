"""Settings of simulated studies: the population of rows and candidates of known accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import copysign, inf, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

from choose.judge.evidence import CandidateInfo
from choose.types import Family

Floats = NDArray[np.float64]

Codes = NDArray[np.int64]

HARD_SHARE, HARD_MEAN, TAIL, SCALE = 0.25, 2.5, 4.0, 1.2

QUANTILES = 200

# Ability lies between these on the latent scale for any accuracy between 1 and 99.9 %.
LOWEST, HIGHEST = -15.0, 40.0

# Standard deviation of the noise of every answer, on the latent scale.
EACH = 0.5


def difficulties(rng: np.random.Generator, n: int) -> Floats:
    """Draw (n,) item difficulties."""
    hard = rng.random(n) < HARD_SHARE
    easy = SCALE * rng.standard_t(TAIL, n)
    return np.where(hard, rng.normal(HARD_MEAN, 1.0, n), easy)


@cache
def grid() -> tuple[Floats, Floats]:
    """Return difficulties and weights that represent the population."""
    q = (np.arange(QUANTILES) + 0.5) / QUANTILES
    values = np.concatenate([HARD_MEAN + ndtri(q), SCALE * stdtrit(TAIL, q)])
    share = np.repeat([HARD_SHARE, 1 - HARD_SHARE], QUANTILES)
    return values, share / QUANTILES


def right_by_difficulty(ability: float, spread: float, partial: float = 0.0) -> Floats:
    """Return the expected score at each difficulty of the grid: the chance of being right."""
    ahead = (ability - grid()[0]) / spread
    if not partial:
        return np.asarray(ndtr(ahead))
    # The mean of a normal variable, clipped to within `partial` of 0 and moved into [0, 1].
    reach = partial / spread
    found: Floats = (_ramp(ahead + reach) - _ramp(ahead - reach)) / (2 * reach)
    return found


def _ramp(z: Floats) -> Floats:
    """Return the mean of max(z + noise, 0) with standard normal noise."""
    found: Floats = z * ndtr(z) + np.exp(-(z**2) / 2) / sqrt(2 * pi)
    return found


def accuracy(ability: float, spread: float, partial: float = 0.0) -> float:
    """Return the expected accuracy, or score, over the population."""
    return float(grid()[1] @ right_by_difficulty(ability, spread, partial))


def ability_for(
    wanted: float, spread: float, chance: float = 0.0, depth: float = 0.0, partial: float = 0.0
) -> float:
    """Return the ability whose expected accuracy is `wanted`.

    Args:
        wanted: expected accuracy.
        spread: standard deviation of everything normal: own difficulty, fits, interaction.
        chance: how often a fit collapses.
        depth: by how much its ability falls then.
        partial: as of `SimulatedCandidate`.
    """

    def beyond(ability: float) -> float:
        mean = (1 - chance) * accuracy(ability, spread, partial)
        if chance:
            mean += chance * accuracy(ability - depth, spread, partial)
        return mean - wanted

    return float(brentq(beyond, LOWEST, HIGHEST, xtol=1e-5))


@dataclass(frozen=True, kw_only=True)
class SimulatedCandidate:
    """A candidate whose expected accuracy is known.

    Attributes:
        accuracy: expected over items and fits, in the period of the test rows.
        seconds: of a fit; sets the order of costs.
        seeds: repetitions; 0 where no seed can change an answer.
        run_spread: standard deviation of a fit's ability.
        own: standard deviation of how hard it finds each item.
        interaction: standard deviation of item by fit.
        collapse: chance that a fit collapses, and by how much its ability falls then.
        decline: ability lost over the period of the test rows.
        at: change of accuracy on smaller pools, by size as a share.
        noised: change of accuracy with part of the pool's labels made wrong, by that part.
        viewed: change of accuracy on perturbed questions, or None.
        by_label: difference of its ability on the rows of each label.
        partial: distance on the latent scale, to either side of a row's difficulty, over which its
            score grows from 0 to 1; 0 where answers are right or wrong.
        broken: share of its answers that score 0 whatever its ability.
        error: why every fit fails, or None.
    """

    name: str
    family: Family
    accuracy: float
    seconds: float
    seeds: int = 0
    run_spread: float = 0.0
    own: float = 1.0
    interaction: float = 0.0
    collapse: tuple[float, float] = (0.0, 0.0)
    decline: float = 0.0
    model: str | None = None
    at: Mapping[float, float] = field(default_factory=dict)
    noised: Mapping[float, float] = field(default_factory=dict)
    viewed: float | None = None
    by_label: tuple[float, ...] = ()
    partial: float = 0.0
    broken: float = 0.0
    error: str | None = None

    @property
    def info(self) -> CandidateInfo:
        """Return the candidate as evidence describes it."""
        return CandidateInfo(
            name=self.name,
            strategy=self.name,
            family=self.family,
            model=self.model,
            cheap=self.seconds < 10,
            seeded=self.seeds > 0,
            learns=self.family != "prompting",
            constant=self.name == "majority",
            floor=self.name == "majority",
        )

    @property
    def fixed_spread(self) -> float:
        """Return the standard deviation on the latent scale within one fit."""
        return sqrt(self.own**2 + self.interaction**2 + EACH**2)

    @property
    def spread(self) -> float:
        """Return the standard deviation on the latent scale over fits."""
        return sqrt(self.fixed_spread**2 + self.run_spread**2)

    @cached_property
    def ability(self) -> float:
        """Return the ability that gives its accuracy."""
        if self.accuracy in (0.0, 1.0):
            return copysign(inf, self.accuracy - 0.5)
        return self._ability_for(self.accuracy)

    def _ability_for(self, wanted: float) -> float:
        whole = wanted / (1 - self.broken)
        return ability_for(whole, self.spread, *self.collapse, partial=self.partial)

    def shifted(self, by: float) -> float:
        """Return the ability at which accuracy is higher by this much."""
        if not by:
            return self.ability
        wanted = min(max(self.accuracy + by, 0.02), 0.995)
        return self._ability_for(wanted)

    def right(self, decline: float = 0.0) -> Floats:
        """Return the chance of being right at each difficulty of the population's grid."""
        chance, depth = self.collapse
        ability = self.ability - decline
        found = (1 - chance) * right_by_difficulty(ability, self.spread, self.partial)
        if chance:
            found = found + chance * right_by_difficulty(ability - depth, self.spread, self.partial)
        return (1 - self.broken) * found

    @cached_property
    def run_variance(self) -> float:
        """Return the variance of a fit's accuracy over the population."""
        if not self.seeds:
            return 0.0
        nodes, weights = np.polynomial.hermite_e.hermegauss(9)
        weights = weights / weights.sum()
        chance, depth = self.collapse
        cases = [
            (w * share, self._score(self.ability + self.run_spread * z - fall))
            for z, w in zip(nodes, weights, strict=True)
            for share, fall in ((1 - chance, 0.0), (chance, depth))
            if share
        ]
        mean = sum(w * a for w, a in cases)
        return float(sum(w * (a - mean) ** 2 for w, a in cases))

    def _score(self, ability: float) -> float:
        """Return the expected score of one fit of this ability."""
        return (1 - self.broken) * accuracy(ability, self.fixed_spread, self.partial)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A study before it is run.

    Attributes:
        candidates: cheapest first.
        cluster: rows in a cluster, which share their difficulty.
        together: correlation between candidates of their fits' abilities in one repetition.
        mislabelled: share of the test rows whose label is wrong.
        hard_only: whether only hard items are mislabelled.
        taught: share of the wrong labels that follow a rule, which all candidates learn.
        folds_done: by name, folds finished before the budget was used up; all where not named.
        last_cut: by name, whether the last repetition stopped half way through the folds.
        scored: whether fast candidates give the probability of each label.
        costs: the ``[costs]`` of the study file.
        shares: of the rows, by label; the first has twice the rows of the last where not given.
        metric: what "right" means.
    """

    candidates: tuple[SimulatedCandidate, ...]
    rows: int
    labels: int = 4
    pool: int = 400
    folds: int = 1
    cluster: int = 1
    together: float = 0.0
    mislabelled: float = 0.0
    hard_only: bool = False
    taught: float = 0.0
    margin: float = 0.02
    target: float | None = None
    folds_done: Mapping[str, int] = field(default_factory=dict)
    last_cut: frozenset[str] = frozenset()
    scored: bool = False
    costs: Mapping[str, Any] = field(default_factory=dict)
    shares: tuple[float, ...] = ()
    metric: str = "accuracy"

    @property
    def graded(self) -> bool:
        """Return whether answers are texts with scores, not labels."""
        return any(c.partial for c in self.candidates)

    @property
    def share(self) -> Floats:
        """Return (labels,) the expected share of the rows."""
        found = np.array(self.shares) if self.shares else np.linspace(2.0, 1.0, self.labels)
        return np.asarray(found / found.sum(), dtype=np.float64)

    @property
    def say(self) -> Floats:
        """Return (labels,) the weight of each label in the metric."""
        even = np.full(self.labels, 1 / self.labels)
        return even if self.metric == "balanced" else self.share

    @property
    def worth(self) -> float:
        """Return the effective share of the rows under unequal weights (Kish)."""
        return float(1 / (self.say**2 / self.share).sum())

    @property
    def study(self) -> dict[str, Any]:
        """Return the goal and the costs as a study file states them."""
        goal: dict[str, Any] = {"margin": self.margin}
        if self.target is not None:
            goal["target"] = self.target
        if self.metric != "accuracy":
            goal["metric"] = self.metric
        return {"goal": goal, "costs": dict(self.costs)}

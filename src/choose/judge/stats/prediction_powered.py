"""The mean of people's ratings of few rows, made surer by a metric of all rows: PPI++.

Angelopoulos, Duchi and Zrnic (2023): the metric's mean over the unrated rows is corrected by how
far it is off on the rated ones. However biased the metric, the interval covers; with a weight that
is chosen for the least variance, it is no wider than that of the ratings alone, but for chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from choose.judge.stats.intervals import Estimate
from choose.judge.stats.two_way import BehrensFisher
from choose.types import Floats

# The fewest rated rows that an interval is made of.
FEWEST = 2

# Fewer rated rows, or groups of them, say too little to weigh a metric by.
FEWEST_WEIGHED = 5

# Differences of ratings, such as 0.3 - 0.2, have rounding errors: what varies less is alike.
_ALIKE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class PoweredMean:
    """A mean rating by PPI++.

    Attributes:
        value: the mean over all rows.
        error: distribution of its error.
        weight: of the metric, from 0 (the ratings alone) to 1.
        effective: how many ratings alone would be as sure.
    """

    value: float
    error: BehrensFisher
    weight: float
    effective: float

    def interval(self) -> Estimate:
        """Return the 95 % interval of differences from -1 to 1."""
        half = self.error.half_width()
        low, high = max(self.value - half, -1.0), min(self.value + half, 1.0)
        return Estimate(value=self.value, low=min(low, self.value), high=max(high, self.value))


def prediction_powered(
    ratings: Floats,
    metric: Floats,
    unrated: Floats,
    clusters: Sequence[str] | None = None,
    *,
    power: bool = True,
) -> PoweredMean:
    """Return the mean rating over rated and unrated rows.

    Args:
        ratings: (n,) people's ratings, or differences of them, of a random part of the rows.
        metric: (n,) what the metric gives the same rows.
        unrated: (m,) what it gives the other rows.
        clusters: (n + m,) cluster of each row, the rated ones first; None where all are alone.
        power: whether to use the metric at all.

    Raises:
        ValueError: if fewer than `FEWEST` rows are rated.
    """
    n, m = len(ratings), len(unrated)
    if n < FEWEST or len(metric) != n:
        raise ValueError(f"needs at least {FEWEST} ratings, each with its metric; got {n}")
    groups = len(set(clusters[:n])) if clusters is not None else n
    weighed = power and m > 1 and groups >= FEWEST_WEIGHED
    weight = _weight(ratings, metric, unrated) if weighed else 0.0
    # The mean costs a degree of freedom, and a weight that is fitted to the same rows another.
    freedom = max(groups - 1 - (0 < weight < 1), 1)
    rest, other = ratings - weight * metric, weight * unrated
    value = float(rest.mean()) + (float(other.mean()) if m else 0.0)
    parts = (rest - rest.mean()) / n, (other - other.mean()) / m if m else other
    variance = _variance(np.concatenate(parts), n, clusters, groups, freedom)
    alike, alone = 2.0 / (n + 2) ** 2, float(ratings.var(ddof=1)) / n
    return PoweredMean(
        value=value,
        # Where all ratings are alike, two imaginary ones keep the interval open.
        error=BehrensFisher(variance or alike, freedom),
        weight=weight,
        effective=n * alone / variance if variance and alone else float(n),
    )


def _variance(
    influence: Floats, n: int, clusters: Sequence[str] | None, groups: int, freedom: int
) -> float:
    """Return the variance of a sum of independent parts, of n rated rows and others; or 0."""
    m = len(influence) - n
    if clusters is None or len(set(clusters)) == n + m:
        rated, rest = float(influence[:n] @ influence[:n]), float(influence[n:] @ influence[n:])
        variance = rated * n / freedom + (rest * m / (m - 1) if m > 1 else 0.0)
    else:
        names, place = np.unique(np.asarray(clusters), return_inverse=True)
        sums = np.bincount(place, weights=influence, minlength=len(names))
        variance = float(sums @ sums) * groups / freedom
    return variance if variance > _ALIKE**2 else 0.0


def _weight(ratings: Floats, metric: Floats, unrated: Floats) -> float:
    """Return the weight of least variance, from 0 to 1."""
    spread = float(np.concatenate([metric, unrated]).var(ddof=1))
    if spread == 0:
        return 0.0
    together = float(np.cov(ratings, metric, ddof=1)[0, 1])
    return float(np.clip(together / ((1 + len(ratings) / len(unrated)) * spread), 0.0, 1.0))

"""The mean of people's ratings of few rows, made surer by a metric of all rows: PPI++.

Angelopoulos, Duchi and Zrnic (2023): the metric's mean over the unrated rows is corrected by how
far it is off on the rated ones. However biased the metric, the interval covers; with a weight that
is chosen for the least variance, it is no wider than that of the ratings alone, but for chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, sqrt, tanh

import numpy as np

from choose.judge.stats.intervals import Estimate
from choose.judge.stats.two_way import (
    FEW,
    BehrensFisher,
    moderated,
    two_way,
)
from choose.types import Floats

# Standard deviation of a difference between raters that is assumed of a single rater, and expected
# of two: a fifth of a point on a scale from 1 to 5.
RATER_SD = 0.05

# The fewest rated rows that an interval is made of.
FEWEST = 2

# Fewer rated rows, or groups of them, say too little to weigh a metric by.
FEWEST_WEIGHED = 5

# Fewer rows that all raters rated do not measure how raters differ.
FEW_ROWS = 10

# Differences of ratings, such as 0.3 - 0.2, have rounding errors: what varies less is alike.
_ALIKE = 1e-9

# A correlation is taken to be no nearer to 1 than this, so that it has an interval.
_NEAREST = 0.9999


@dataclass(frozen=True, slots=True, kw_only=True)
class PoweredMean:
    """A mean rating by PPI++.

    Attributes:
        value: the mean over all rows.
        error: distribution of its error.
        weight: of the metric, from 0 (the ratings alone) to 1.
        effective: how many ratings alone would be as sure, raters aside.
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

    def in_part(self, share: float, rows: int) -> PoweredMean:
        """Return the mean over `rows` of which only a share has ratings; the others have 0."""
        first = share**2 * self.error.first + self.value**2 * share * (1 - share) / max(rows, 1)
        error = BehrensFisher(
            first, self.error.df_first, share**2 * self.error.second, self.error.df_second
        )
        return PoweredMean(
            value=share * self.value, error=error, weight=self.weight, effective=self.effective
        )


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


def with_raters(mean: PoweredMean, by_rater: Floats) -> PoweredMean:
    """Add the variance between raters: other people would have rated otherwise.

    Raters count by their share of the rows: one who rated most of them decides most of the mean.

    Args:
        mean: over rows, each by the mean of its raters.
        by_rater: (rows, raters) differences, NaN where a rater did not rate a row.
    """
    raters = by_rater.shape[1]
    whole = by_rater[~np.isnan(by_rater).any(axis=1)]
    given = ~np.isnan(by_rater)
    shares = (given / given.sum(axis=1, keepdims=True)).mean(axis=0)
    uneven = float(shares @ shares)  # 1 / raters where all rated the same rows
    expected = RATER_SD**2 * uneven
    error = mean.error
    if raters < 2 or len(whole) < FEWEST:
        error = BehrensFisher(error.first, error.df_first, expected)
    else:
        parts = two_way(whole)
        between = parts.repetition * raters * uneven
        error = BehrensFisher(error.first, error.df_first, between, raters - 1)
        if raters < FEW or len(whole) < FEW_ROWS:
            error = moderated(error, expected)
    return PoweredMean(value=mean.value, error=error, weight=mean.weight, effective=mean.effective)


def correlation(x: Floats, y: Floats, clusters: Sequence[str] | None = None) -> Estimate | None:
    """Return Pearson's correlation with a 95 % interval; None where one side does not vary.

    The interval is that of Fisher's z with the variance of the influence function, since ratings
    are neither normal nor, in clusters, independent.
    """
    n = len(x)
    if n < 4 or np.ptp(x) < _ALIKE or np.ptp(y) < _ALIKE:
        return None
    a, b = ((side - side.mean()) / side.std() for side in (x, y))
    r = float((a * b).mean())
    influence = (a * b - r * (a**2 + b**2) / 2) / n
    if clusters is not None and len(set(clusters)) < n:
        names, place = np.unique(np.asarray(clusters), return_inverse=True)
        influence = np.bincount(place, weights=influence, minlength=len(names))
    groups = len(influence)
    bounded = max(-_NEAREST, min(_NEAREST, r))
    spread = sqrt(float(influence @ influence) * groups / max(groups - 1, 1)) / (1 - bounded**2)
    half = BehrensFisher(spread**2, max(groups - 1, 1)).half_width()
    z = atanh(bounded)
    return Estimate(value=r, low=min(tanh(z - half), r), high=max(tanh(z + half), r))


def raters_together(by_rater: Floats, clusters: Sequence[str] | None = None) -> Estimate | None:
    """Return how far one person's ratings follow the mean of the others', over rows with several.

    Args:
        by_rater: (rows, raters) differences; NaN where a person rated no difference.
        clusters: of these rows and perhaps of others after them.
    """
    votes = [(row, own[np.isfinite(own)]) for row, own in enumerate(by_rater)]
    both = [(row, own[0], own[1:].mean()) for row, own in votes if len(own) > 1]
    names = clusters and [clusters[row] for row, _, _ in both]
    first, others = np.array([pair[1:] for pair in both]).reshape(-1, 2).T
    return correlation(first, others, names)

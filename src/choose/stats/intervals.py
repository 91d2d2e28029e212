"""Intervals of one proportion and of one mean score."""

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtri

from choose.stats import Estimate
from choose.stats.two_way import FEW, cluster_residuals, independent_rows, moderated, two_way
from choose.types import Floats

# Two imaginary right and two imaginary wrong rows (Agresti and Coull 1998).
AGRESTI_COULL = (0.0, 0.0, 1.0, 1.0)


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a proportion; successes may be fractional."""
    z = float(ndtri(0.975))
    share, spread = successes / n, z * z / n
    center = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # At the edges rounding would leave the observed share just outside.
    low = 0.0 if successes == 0 else center - half
    return low, 1.0 if successes == n else center + half


def clopper_pearson(successes: int, n: int, *, error: float = 0.05) -> tuple[float, float]:
    """Return the exact interval of a proportion (Clopper and Pearson 1934); each end errs alike."""
    low = float(betaincinv(successes, n - successes + 1, error / 2)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - error / 2)) if successes < n else 1.0
    return low, high


def two_way_interval(
    scores: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    weights: npt.ArrayLike | None = None,
    pseudo: Sequence[float] | None = None,
    expected: float = 0.0,
    growth: float = 1.0,
) -> Estimate:
    """Return the mean of an (items, repetitions) matrix, with a 95 % interval for both as random.

    Args:
        scores: (n, S) or (n,) scores without gaps; the interval of scores in [0, 1] stays there.
        clusters: cluster of each row.
        weights: (n,) weights of the rows.
        pseudo: scores of imaginary rows that keep the interval open where all answers are alike;
            Agresti and Coull's for scores in [0, 1] unless given.
        expected: variance between repetitions known from other candidates; the estimate from two
            repetitions, which has one degree of freedom, is shrunk toward it.
        growth: factor of the variance from rows (see `growth_of_folds`).
    """
    y = np.asarray(scores, dtype=np.float64)
    unit = pseudo is None and bool(y.min() >= 0 and y.max() <= 1)
    parts = two_way(y, clusters, weights, AGRESTI_COULL if unit else pseudo or ())
    error = replace(parts.error, first=growth * parts.error.first)
    if expected and 1 < parts.repetitions < FEW:
        error = moderated(error, expected / parts.repetitions)
    half = error.half_width()
    low, high = parts.center - half, parts.center + half
    if unit:
        low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(value=parts.mean, low=low, high=high)


# By how much five folds of at most `FEW_LEARNT` training rows add to the variance from rows.
SHARED, FEW_LEARNT = 0.5, 240


def growth_of_folds(folds: Sequence[int], labelled: int, learnt: int) -> float:
    """Return the factor by which the variance of a cross-fitted accuracy exceeds that of its rows.

    Each row is tested by one fit and learnt by those of the other folds, so that the errors of two
    folds are not independent. No estimate of their covariance from one division is unbiased
    (Bengio and Grandvalet 2004), so its size is one measured on real sets (`benchmarks/folds.py`):
    half the variance of the rows up to 240 training rows, less in proportion beyond.

    `folds` are the rows that were tested in each fold, of all `labelled` rows, and `learnt` are the
    training rows of a fit.
    """
    tested = sum(folds)
    if not tested or not learnt:
        return 1.0
    between = 1 - sum(rows**2 for rows in folds) / tested**2
    # Of five equal folds, four fifths of all pairs of rows are of different folds.
    return 1 + SHARED * min(1.0, FEW_LEARNT / learnt) * tested / labelled * between / 0.8


# How alike the imaginary rows of a document are, as an intraclass correlation.
ALIKE = 0.1

# Imaginary differences are as large as those seen, beside this part of a row with one of 1.
UNSEEN = 0.1

# The skewness of so many clusters counts as much as that of the Beta distribution.
SKEW_TRUST = 30

# A squared skewness of this size, which would be seen in most samples without any, counts by half.
SKEW_NOISE = 0.25


def skewed_interval(differences: npt.ArrayLike, clusters: Sequence[str] | None = None) -> Estimate:
    """Return the mean of differences of scores with a 95 % interval that may be lopsided.

    A loss that a few documents have is skewed: a sample without them has a low mean and a low
    variance at once, so that symmetric intervals end too early. With a variance V and a third
    cumulant K of the mean, the variance is lower by d K/V where the mean is lower by d (Johnson
    1978), so that the distance d of a limit solves d^2 = t^2 (V + d K/V), as Wilson's does.

    Differences are from -1 to 1, an (items, repetitions) matrix or (n,); clusters are by row.
    """
    y = np.asarray(differences, dtype=np.float64)
    n, repetitions = (y := y[:, None] if y.ndim == 1 else y).shape
    unseen = UNSEEN * repetitions
    size = (unseen + float((y**2).sum())) / (unseen + float(np.abs(y).sum()))
    parts = two_way(y, clusters, pseudo=(-size, size))
    items, up, down = parts.items, 0.0, 0.0
    if n > 1 and (clusters is None or len(set(clusters)) > 1):
        # The imaginary rows would not come alone, but with others of their documents.
        beside = 0.0 if clusters is None else n / independent_rows(clusters) - 1
        items += 2 * size**2 * ALIKE * beside / (n + 2) ** 2
        up, down = _tails(y.mean(axis=1), clusters, size, items)
    error = replace(parts.error, first=items)
    half, variance = error.half_width(), error.variance

    def limit(cumulant: float) -> float:
        shift = half**2 * cumulant / (2 * variance**2)
        return shift + sqrt(shift**2 + half**2)

    low, high = max(parts.center - limit(down), -1.0), min(parts.center + limit(up), 1.0)
    return Estimate(value=parts.mean, low=low, high=high)


def _tails(
    rows: Floats, clusters: Sequence[str] | None, size: float, variance: float
) -> tuple[float, float]:
    """Return the third cumulants of a mean by which its upper and lower limits move outward.

    Gains and losses have one each: what is seen, beside that of a Beta distribution of clusters
    with the same mean and variance, which few clusters do not show.
    """
    groups = len(cluster_residuals(rows, clusters))
    trust = groups / (groups + SKEW_TRUST)
    third = []
    for sign in (1.0, -1.0):
        part = np.maximum(sign * rows, 0.0)
        shifts, mean = cluster_residuals(part, clusters), float(part.mean())
        own = groups / (groups - 1) * float(shifts @ shifts)
        seen = groups**2 / max((groups - 1) * (groups - 2), 1) * float((shifts**3).sum())
        spread = mean * (size - mean) + groups * own
        beta = 2 * (size - 2 * mean) * own**2 / spread if spread > 0 else 0.0
        third.append(sign * (trust * seen + (1 - trust) * beta))
    up, down = (sum(max(sign * k, 0.0) for k in third) for sign in (1.0, -1.0))
    squared = groups * (up - down) ** 2 / variance**3
    counts = squared / (squared + SKEW_NOISE)
    return counts * (up - trust * down), counts * (down - trust * up)

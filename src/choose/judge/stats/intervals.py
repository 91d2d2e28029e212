"""Intervals of one mean score, variance components, power, Holm and resampling weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from zlib import crc32

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from choose.judge.stats.metrics import Codes
from choose.judge.stats.two_way import FEW, moderated, two_way
from choose.types import Floats

# Two imaginary right and two imaginary wrong rows (Agresti and Coull 1998).
AGRESTI_COULL = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with a confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Standard deviations of one score by source; None where a source was not varied.

    `item` and `residual` are of a single score, `repetition` is of the mean over all items.
    """

    item: float | None
    repetition: float | None
    residual: float | None


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion; successes may be fractional.

    Raises:
        ValueError: unless 0 <= successes <= n and n > 0.
    """
    if not 0 <= successes <= n or n <= 0:
        raise ValueError(f"needs 0 <= successes <= n and n > 0, got {successes} and {n}")
    z = float(ndtri(0.5 + level / 2))
    share, spread = successes / n, z * z / n
    center = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # At the edges rounding would leave the observed share just outside.
    low = 0.0 if successes == 0 else center - half
    return low, 1.0 if successes == n else center + half


def two_way_interval(
    scores: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    weights: npt.ArrayLike | None = None,
    pseudo: Sequence[float] | None = None,
    level: float = 0.95,
    expected: float = 0.0,
) -> Estimate:
    """Return the mean of an (items, repetitions) matrix with an interval for both as random.

    Args:
        scores: (n, S) or (n,) scores without gaps; the interval of scores in [0, 1] stays there.
        clusters: cluster of each row.
        weights: (n,) weights of the rows.
        pseudo: scores of imaginary rows that keep the interval open where all answers are alike;
            Agresti and Coull's for scores in [0, 1] unless given.
        level: confidence level.
        expected: variance between repetitions known from other candidates; the estimate from two
            repetitions, which has one degree of freedom, is shrunk toward it.
    """
    y = np.asarray(scores, dtype=np.float64)
    unit = pseudo is None and bool(y.min() >= 0 and y.max() <= 1)
    parts = two_way(y, clusters, weights, AGRESTI_COULL if unit else pseudo or ())
    error = parts.error
    if expected and 1 < parts.repetitions < FEW:
        error = moderated(error, expected / parts.repetitions)
    half = error.half_width(level)
    low, high = parts.center - half, parts.center + half
    if unit:
        low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(value=parts.mean, low=low, high=high)


def variance_components(
    scores: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    weights: npt.ArrayLike | None = None,
) -> Components:
    """Return the standard deviations by source of an (items, repetitions) matrix.

    The usual estimators s_item^2 = (MSi - MSr)/S and s_rep^2 = (MSs - MSr)/n, floored at 0.
    """
    parts = two_way(scores, clusters, weights)
    n, repetitions = parts.rows, parts.repetitions
    if repetitions < 2:
        return Components(item=None, repetition=None, residual=None)
    item = max(0.0, (parts.items - parts.residual) * n)
    return Components(
        item=sqrt(item),
        repetition=sqrt(parts.repetition * repetitions),
        residual=sqrt(parts.residual * n * repetitions),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]


REPLICATES = 400


@dataclass(frozen=True)
class Resamples:
    """Random numbers of the resamples of rows and draws, the same for every candidate.

    Rows are resampled by the Bayesian bootstrap (Rubin 1981), whole clusters at once; draws by
    normal multipliers, since a bootstrap of three draws shows too little spread.

    Attributes:
        rows: number of test rows.
        clusters: cluster of each row, or None.
    """

    rows: int
    clusters: Sequence[str] | None = None

    @cached_property
    def row_weights(self) -> Floats:
        """Return (replicates, rows) positive weights."""
        rng = np.random.default_rng(0)
        if self.clusters is None:
            return rng.exponential(size=(REPLICATES, self.rows))
        names, place = np.unique(np.asarray(self.clusters), return_inverse=True)
        return rng.exponential(size=(REPLICATES, len(names)))[:, place]

    @cached_property
    def family_quantiles(self) -> Floats:
        """Return (replicates,) uniform numbers that select a family of curves."""
        places = (np.arange(REPLICATES) + 0.5) / REPLICATES
        return np.random.default_rng(1).permutation(places)

    def draw(self, name: int) -> Floats:
        """Return (replicates,) standard normal multipliers of a repetition."""
        return np.random.default_rng((2, name)).standard_normal(REPLICATES)

    def scale(self, df: float) -> Floats:
        """Return (replicates,) factors that turn normal errors into Student's."""
        factors: Floats = np.sqrt(df / np.random.default_rng(3).chisquare(df, REPLICATES))
        return factors

    def normal(self, *names: str) -> Floats:
        """Return (replicates,) standard normal numbers that depend on the names only."""
        return np.random.default_rng((4, crc32(" ".join(names).encode()))).standard_normal(
            REPLICATES
        )


def random_parts(rows: int, clusters: Sequence[str] | None, parts: int) -> Codes:
    """Return (rows,) a random part for each row, the same for all rows of a cluster."""
    names = np.arange(rows).astype(str) if clusters is None else np.asarray(clusters)
    distinct, place = np.unique(names, return_inverse=True)
    order = np.random.default_rng(len(distinct)).permutation(len(distinct)) % parts
    return np.asarray(order[place], dtype=np.int64)

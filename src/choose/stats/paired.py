"""The paired difference of two score matrices: estimate, interval, p-value and power."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf, nan, sqrt
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import bdtr, ndtri

from choose.stats import Estimate
from choose.stats.two_way import (
    FEW,
    BehrensFisher,
    Mask,
    answered,
    independent_rows,
    moderated,
    two_way,
    whole_rows,
)
from choose.types import Floats

Method = Literal[
    "McNemar mid-p", "clustered", "weighted", "paired t", "items x repetitions", "variances added"
]

MCNEMAR: Method = "McNemar mid-p"

# One imaginary row for either side (Bonett and Price 2012).
BONETT_PRICE = (-1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Estimate):
    """Mean score of a minus mean score of b, with the test and the parts of its error.

    Attributes:
        rows: rows that both answered.
        repetitions: repetitions used of a and of b.
        discordance: mean squared difference of a row's scores within a repetition, as a share of
            `largest` squared: where answers are right or wrong, how often two differ.
        largest: the largest difference of a row's scores.
        run_share: share of the error's variance due to repetitions; the rest is due to the rows.
        center: where the interval sits, a little nearer to 0 than the value.
        error: distribution of the error around the center.
        independent: effective rows per row (Kish), 1 without clusters and weights.
        scores: mean scores of a and of b, of which `value` is the difference.
    """

    low: float
    high: float
    p: float
    method: Method
    rows: int
    repetitions: tuple[int, int]
    discordance: float
    run_share: float
    center: float
    error: BehrensFisher
    independent: float = 1.0
    largest: float = 1.0
    scores: tuple[float, float] = (nan, nan)

    def bounds(self, level: float) -> tuple[float, float]:
        half = self.error.half_width(level)
        return max(self.center - half, -1.0), min(self.center + half, 1.0)

    def negated(self) -> Self:
        return replace(
            Estimate.negated(self),
            center=-self.center,
            repetitions=self.repetitions[::-1],
            scores=self.scores[::-1],
        )

    def estimate(self, estimand: str | None = None) -> Estimate:
        """Return the value with its interval alone, as it is written."""
        about, rows = estimand or self.estimand, self.row_set
        return Estimate(
            value=self.value, low=self.low, high=self.high, estimand=about, row_set=rows
        )


def mcnemar_midp(b: int, c: int) -> float:
    """Return McNemar's mid-p for b and c discordant pairs (Fagerland, Lydersen, Laake 2013).

    Only for two sides that no seed can change: repetitions are not independent pairs.
    """
    total, fewer = b + c, min(b, c)
    if total == 0:
        return 1.0
    up_to = float(bdtr(fewer, total, 0.5))
    point = up_to - (float(bdtr(fewer - 1, total, 0.5)) if fewer else 0.0)
    return min(1.0, 1.0 - point if b == c else 2 * up_to - point)


def paired_difference(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    weights: npt.ArrayLike | None = None,
    assumed: float = 0.0,
    expected: float = 0.0,
    *,
    graded: bool = False,
) -> Difference:
    """Compare two (items, repetitions) matrices of scores in [0, 1], NaN where not measured.

    The variance is that of the paired items plus each side's own from its repetitions, or that of
    common repetitions where it is larger. A side with one repetition is compared with every
    repetition of the other. Two sides with one repetition each get Bonett and Price's interval,
    and McNemar's mid-p if scores are 0 or 1 and rows independent and unweighted. Rows that a side
    did not answer in all repetitions used are left out.

    Args:
        a: (n, S) or (n,) scores.
        b: (n, S) or (n,) scores.
        clusters: cluster of each row.
        weights: (n,) weights of the rows.
        assumed: variance to add for repetitions that should have been varied and were not.
        expected: usual variance between repetitions, to which an estimate from two is shrunk.
        graded: whether scores lie between 0 and 1, so that imaginary rows differ as rows do.

    Raises:
        ValueError: if no row was answered by both.
    """
    x, y, complete, common = aligned(_columns(a), _columns(b))
    names = None if clusters is None else [clusters[i] for i in np.flatnonzero(complete).tolist()]
    w = None if weights is None else np.asarray(weights, dtype=np.float64)[complete]
    moments = _analyse(x, y, graded, common, names, w)
    repetitions = [n for n in (x.shape[1], y.shape[1]) if n > 1]
    if expected and repetitions and min(repetitions) < FEW:
        error = moderated(moments.error, expected * sum(1 / n for n in repetitions))
        moments = moments._replace(error=error)
    independent = 1.0 if names is None and w is None else independent_rows(names, w) / len(x)
    return replace(_difference(x, y, _assume(moments, assumed), w), independent=independent)


class _Moments(NamedTuple):
    mean: float
    center: float
    error: BehrensFisher
    method: Method


def _difference(x: Floats, y: Floats, moments: _Moments, w: Floats | None) -> Difference:
    half = moments.error.half_width()
    p = moments.error.p(moments.center)
    discordance, largest = _discordance(x, y, w)
    first, second = (float(np.average(side.mean(axis=1), weights=w)) for side in (x, y))
    if moments.method == MCNEMAR:
        p = mcnemar_midp(int((x > y).sum()), int((x < y).sum()))
    return Difference(
        value=moments.mean,
        low=max(moments.center - half, -1.0),
        high=min(moments.center + half, 1.0),
        p=p,
        method=moments.method,
        rows=len(x),
        repetitions=(x.shape[1], y.shape[1]),
        discordance=discordance,
        largest=largest,
        run_share=moments.error.second / moments.error.variance,
        center=moments.center,
        error=moments.error,
        scores=(first, second),
    )


def _assume(moments: _Moments, variance: float) -> _Moments:
    if not variance:
        return moments
    # Known by assumption, so it brings no degrees of freedom of its own.
    error = moments.error
    second = error.second + variance
    df = error.df_second * (second / error.second) ** 2 if error.second else inf
    return moments._replace(
        error=BehrensFisher(error.first, error.df_first, second, df), method="items x repetitions"
    )


def imaginary(parts: Iterable[Floats]) -> tuple[float, float]:
    """Return the two imaginary rows that keep the interval of graded differences open.

    They differ as a row that differs does: by the sum of squares over the sum of sizes, which is 1
    where answers are right or wrong. With a difference of 1, as of these, the interval of 100 rows
    would be a quarter too wide.
    """
    total = squares = 0.0
    for part in parts:
        total += float(np.abs(part).sum())
        squares += float((part**2).sum())
    size = squares / total if total else 1.0
    return size * BONETT_PRICE[0], size * BONETT_PRICE[1]


def _analyse(
    x: Floats, y: Floats, graded: bool, common: bool, names: Sequence[str] | None, w: Floats | None
) -> _Moments:
    # Repetition by repetition of one side, as all pairs at once may not fit into memory.
    pseudo = imaginary(x - column[:, None] for column in y.T) if graded else BONETT_PRICE
    if 1 not in (x.shape[1], y.shape[1]):
        return _two_sided(x, y, pseudo, common, names, w)
    parts = two_way(x - y, names, w, pseudo)
    moments = _Moments(parts.mean, parts.center, parts.error, "items x repetitions")
    if parts.repetitions > 1:
        return moments
    grouped = names is not None and len(set(names)) < len(names)
    binary = bool(np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all())
    if grouped or w is not None:
        return moments._replace(method="clustered" if grouped else "weighted")
    if not binary:
        return moments._replace(method="paired t")
    return moments._replace(method=MCNEMAR, error=BehrensFisher(parts.items, inf))


def _two_sided(
    x: Floats,
    y: Floats,
    pseudo: tuple[float, float],
    common: bool,
    names: Sequence[str] | None,
    w: Floats | None,
) -> _Moments:
    means = two_way(x.mean(axis=1) - y.mean(axis=1), names, w, pseudo)
    sides = [two_way(side, names, w) for side in (x, y)]
    own = [side.repetition for side in sides]
    spread = sum(v**2 / (side.repetitions - 1) for v, side in zip(own, sides, strict=True))
    df = sum(own) ** 2 / spread if spread else inf
    # Fits of two candidates share a repetition's draw at most, which correlates them positively;
    # should the common repetitions show a larger variance than the sides do, that one counts.
    shared = two_way(x - y, names, w).repetition if common else 0.0
    error = BehrensFisher(means.items, max(means.clusters - 1, 1), max(sum(own), shared), df)
    method: Method = "items x repetitions" if common else "variances added"
    return _Moments(means.mean, means.center, error, method)


def aligned(x: Floats, y: Floats) -> tuple[Floats, Floats, Mask, bool]:
    """Return both sides on the rows and repetitions that count, which rows, and if in common.

    Raises:
        ValueError: if no row was answered by both.
    """
    both = answered(x) & answered(y)
    complete = both & whole_rows(x, both) & whole_rows(y, both)
    if not complete.any():
        raise ValueError("no row was answered by both sides")
    left, right = ~np.isnan(x[complete]).any(axis=0), ~np.isnan(y[complete]).any(axis=0)
    common = left.shape == right.shape and bool((left == right).all())
    return x[complete][:, left], y[complete][:, right], complete, common


def _columns(scores: npt.ArrayLike) -> Floats:
    y = np.asarray(scores, dtype=np.float64)
    return y[:, None] if y.ndim == 1 else y


def _discordance(x: Floats, y: Floats, w: Floats | None) -> tuple[float, float]:
    apart = np.maximum(x.max(axis=1) - y.min(axis=1), y.max(axis=1) - x.min(axis=1))
    largest = float(apart.max()) or 1.0
    a, b = x / largest, y / largest
    own = y.shape[1] * (a**2).sum(axis=1) + x.shape[1] * (b**2).sum(axis=1)
    # The mean over all pairs of repetitions, without the pairs.
    squares = np.maximum(own - 2 * a.sum(axis=1) * b.sum(axis=1), 0.0) / (x.shape[1] * y.shape[1])
    return float(np.average(squares, weights=w)), largest


def smallest_detectable_gain(
    n: float, discordance: float, power: float = 0.8, repetition_variance: float = 0.0
) -> float | None:
    """Return the gain that a two-sided 5 % test on n paired rows detects (Connor 1987).

    Args:
        n: test rows.
        discordance: share of rows that exactly one of the two candidates gets right.
        power: probability of detecting the gain.
        repetition_variance: variance of the difference due to repetitions.

    Returns:
        The gain as a fraction, or None if not even one as large as the discordance is detected.
    """
    z, needed = float(ndtri(0.975)), float(ndtri(power))

    def shortfall(gain: float) -> float:
        null = sqrt(discordance / n + repetition_variance)
        true = sqrt(max(discordance - gain**2, 0.0) / n + repetition_variance)
        return gain - z * null - needed * true

    if n <= 0 or discordance <= 0 or shortfall(discordance) < 0:
        return None
    return float(brentq(shortfall, 0.0, discordance, xtol=1e-9))


def rows_needed(gain: float, discordance: float, power: float = 0.8) -> int:
    """Return the test rows that detect a gain with this power; Connor's formula inverted."""
    gain = min(max(gain, 1e-6), max(discordance, 1e-6))
    z, needed = float(ndtri(0.975)), float(ndtri(power))
    root = z * sqrt(discordance) + needed * sqrt(max(discordance - gain**2, 0.0))
    return int(np.ceil((root / gain) ** 2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]

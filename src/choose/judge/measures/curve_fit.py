"""Learning-curve families, their least-squares fits, the points fitted to, and their resamples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
import numpy.typing as npt

from choose.judge.scores.score_tables import CandidateScores, ScoreTable
from choose.judge.scores.scored_rows import ScoredRows
from choose.judge.stats.two_way import Mask
from choose.schema.scorecard import Refused
from choose.types import Floats


@dataclass(frozen=True, slots=True)
class CurveShape:
    """Accuracy ``a - b g(n)`` with b >= 0 and, where it has an asymptote, a <= 1.

    `shape` returns g as (rates, sizes) from (rates,) and (sizes,); sizes are multiples of the
    largest one measured.
    """

    name: str
    rates: Floats
    shape: Callable[[Floats, Floats], Floats]
    asymptote: bool = True


def _power(rates: Floats, sizes: Floats) -> Floats:
    curves: Floats = sizes[None, :] ** -rates[:, None]
    return curves


def _exponential(rates: Floats, sizes: Floats) -> Floats:
    curves: Floats = np.exp(-rates[:, None] * sizes[None, :])
    return curves


def _logarithm(rates: Floats, sizes: Floats) -> Floats:
    return np.repeat(-np.log2(sizes)[None, :], len(rates), axis=0)


# Slowest saturation first. exp3 is nearly flat from where the data end, the logarithm (what pow3
# becomes as its rate goes to 0) never bends: what a curve does next lies between the two.
CURVE_SHAPES = (
    CurveShape("exp3", np.geomspace(0.3, 30.0, 40), _exponential),
    CurveShape("pow3", np.geomspace(0.05, 2.0, 40), _power),
    CurveShape("logarithm", np.ones(1), _logarithm, asymptote=False),
)


@dataclass(frozen=True, slots=True)
class FittedCurves:
    """Curves of one family: (R,) asymptotes, drops and rates."""

    family: CurveShape
    a: Floats
    b: Floats
    rate: Floats

    def at(self, sizes: Floats) -> Floats:
        """Return (R, sizes) accuracies, clipped to 0 and 1."""
        drop = self.family.shape(self.rate, sizes)
        return np.clip(self.a[:, None] - self.b[:, None] * drop, 0.0, 1.0)


def fit_curves(
    family: CurveShape, sizes: Floats, accuracies: Floats, weights: Floats
) -> FittedCurves:
    """Return the weighted least-squares fits.

    Args:
        family: what is fitted.
        sizes: (k,) multiples of the largest size.
        accuracies: (R, k), one row a resample.
        weights: (k,) reciprocal variances.
    """
    g = family.shape(family.rates, sizes)
    w = weights / weights.sum()
    mean_y, mean_g = accuracies @ w, g @ w
    gy, gg = accuracies @ (g * w).T, (g * g) @ w
    spread = np.maximum(gg - mean_g**2, 1e-12)
    b = np.maximum((mean_g * mean_y[:, None] - gy) / spread, 0.0)
    a = mean_y[:, None] + b * mean_g
    if family.asymptote:
        over = a > 1.0
        b = np.where(over, np.maximum((mean_g - gy) / gg, 0.0), b)
        a = np.where(over, 1.0, a)
    # The squares of the accuracies are the same for every rate and are left out.
    loss = a * (a - 2 * mean_y[:, None]) + 2 * b * gy - 2 * a * b * mean_g + b * b * gg
    best = loss.argmin(axis=1)
    row = np.arange(len(accuracies))
    return FittedCurves(family, a[row, best], b[row, best], family.rates[best])


# Below these nothing is extrapolated: three parameters would be fitted to too little.
SIZES, DRAWS = 5, 3


@dataclass(frozen=True)
class CurvePoints:
    """Scores at ascending sizes; the last size is the one that is compared.

    Attributes:
        sizes: (k,) numbers of training rows.
        scores: for each size (rows, repetitions) without gaps, on the same rows.
        draws: for each size the names of the repetitions.
        drawn: whether the rows of the last size change with the repetition, as those of the
            smaller ones do; else all its repetitions have one pool.
        weights: (rows,) weights, or None where all count the same.
        place: (rows,) indices into all test rows, or None for all of them.
    """

    sizes: Floats
    scores: tuple[Floats, ...]
    draws: tuple[tuple[int, ...], ...]
    drawn: bool = True
    weights: Floats | None = None
    place: npt.NDArray[np.int64] | None = None

    @property
    def labels(self) -> int:
        """Return the largest size."""
        return int(self.sizes[-1])

    @property
    def accuracies(self) -> Floats:
        """Return the (k,) mean accuracies."""
        return np.array([self.mean(scores).mean() for scores in self.scores])

    def mean(self, scores: Floats) -> Floats:
        """Return the (repetitions,) weighted means of (rows, repetitions) scores."""
        means: Floats = np.average(scores, axis=0, weights=self.weights)
        return means

    @property
    def repeated(self) -> tuple[int, ...]:
        """Return the indices of the sizes whose repetitions have different training rows."""
        return tuple(range(len(self.sizes) - (not self.drawn)))

    @property
    def freedom(self) -> float:
        """Return the degrees of freedom of the draws' variance; nested pools are correlated."""
        repetitions = sum(len(self.draws[i]) - 1 for i in self.repeated)
        return 0.75 * repetitions


def points_of(candidate: CandidateScores) -> CurvePoints | Refused:
    """Return a candidate's points, or why no curve may be fitted to them."""
    if candidate.main is None:
        return "not-measured"
    if candidate.info.given:
        return "given"
    if not candidate.info.learns:
        return "learns-nothing"
    smaller = {n: t for n, t in sorted(candidate.sizes.items()) if t.whole.sum() >= DRAWS}
    tables = [*smaller.items(), (candidate.pool, candidate.main)]
    if len(tables) < SIZES:
        return "few-sizes"
    return _on_common_rows(tables, candidate.drawn, candidate.main.rows) or "few-draws"


def _on_common_rows(
    tables: list[tuple[int, ScoreTable]], drawn: bool, rows: ScoredRows
) -> CurvePoints | None:
    complete: Mask = np.asarray(
        np.stack([t.complete for _, t in tables]).all(axis=0), dtype=np.bool_
    )
    if not complete.any():
        return None
    whole = [
        np.asarray(~np.isnan(t.right[complete]).any(axis=0), dtype=np.bool_) for _, t in tables
    ]
    few = [w.sum() < DRAWS for w in whole[: len(whole) - (not drawn)]]
    if any(few) or not whole[-1].any():
        return None
    return CurvePoints(
        sizes=np.array([size for size, _ in tables], dtype=np.float64),
        scores=tuple(t.right[complete][:, w] for (_, t), w in zip(tables, whole, strict=True)),
        draws=tuple(
            tuple(d for d, k in zip(t.draws, w, strict=True) if k)
            for (_, t), w in zip(tables, whole, strict=True)
        ),
        drawn=drawn,
        weights=rows.weights_of(complete),
        place=np.flatnonzero(complete),
    )


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

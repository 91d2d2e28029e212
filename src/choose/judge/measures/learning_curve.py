"""Learning curves: least-squares fits of three shapes to resamples, and forecasts from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from zlib import crc32

import numpy as np
import numpy.typing as npt

from choose.judge.goal import Rule
from choose.judge.scores.score_tables import CandidateScores, ScoredRows, ScoreTable, StudyScores
from choose.schema.candidate_scorecard import CurveForecast, Needed
from choose.stats import Estimate
from choose.stats.two_way import Mask
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


# Slowest saturation first. exp3 is nearly flat from where the data end, the logarithm (what pow3
# becomes as its rate goes to 0) never bends: what a curve does next lies between the two.
CURVE_SHAPES = (
    CurveShape("exp3", np.geomspace(0.3, 30.0, 40), lambda rates, n: np.exp(-rates[:, None] * n)),
    CurveShape("pow3", np.geomspace(0.05, 2.0, 40), lambda rates, n: n ** -rates[:, None]),
    CurveShape(
        "logarithm",
        np.ones(1),
        lambda rates, n: np.broadcast_to(-np.log2(n), (len(rates), len(n))),
        asymptote=False,
    ),
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
        return int(self.sizes[-1])

    @property
    def accuracies(self) -> Floats:
        return np.array([self.mean(scores).mean() for scores in self.scores])

    def mean(self, scores: Floats) -> Floats:
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


def points_of(candidate: CandidateScores) -> CurvePoints | None:
    """Return a candidate's points; None where no curve may be fitted to them."""
    if candidate.main is None or candidate.info.given or not candidate.info.learns:
        return None
    smaller = {n: t for n, t in sorted(candidate.sizes.items()) if t.whole.sum() >= DRAWS}
    tables = [*smaller.items(), (candidate.pool, candidate.main)]
    if len(tables) < SIZES:
        return None
    return _on_common_rows(tables, candidate.drawn, candidate.main.rows)


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
        rng = np.random.default_rng(0)
        if self.clusters is None:
            return rng.exponential(size=(REPLICATES, self.rows))
        names, place = np.unique(np.asarray(self.clusters), return_inverse=True)
        return rng.exponential(size=(REPLICATES, len(names)))[:, place]

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


# Forecasts end at this multiple of the largest size.
REACH = 4.0
STEPS = 81

# Tuned on four real sets, tested on four others: the variance of a draw falls with about this power
# of the size, and curves deviate from every family by this much per doubling.
FALL, STRAY = 0.5, 0.005


def horizon(points: CurvePoints) -> Floats:
    """Return the sizes of a forecast, from the largest measured to `REACH` times it."""
    sizes: Floats = points.sizes[-1] * np.geomspace(1.0, REACH, STEPS)
    return sizes


def first_reached(points: CurvePoints, reached: npt.NDArray[np.bool_]) -> Floats:
    """Return (replicates,) the labels from which on each member has reached something, or inf.

    The columns of `reached` are the sizes of the `horizon`.
    """
    labels = horizon(points)
    return np.where(reached.any(axis=1), labels[reached.argmax(axis=1)], np.inf)


def needed(points: CurvePoints, reached: npt.NDArray[np.bool_], **what: float) -> Needed:
    """Sum up from how many labels on (replicates, sizes) members have reached something."""
    first = first_reached(points, reached)
    middle, low, high = (
        float(q) if np.isfinite(q) else None
        for q in np.quantile(first, (0.5, 0.025, 0.975), method="inverted_cdf")
    )
    probability, within = float(np.isfinite(first).mean()), int(REACH * points.labels)
    # Where it is reached in most members, the lower end is finite too.
    about = None
    if middle is not None:
        about = Estimate(value=middle, low=low, high=high, estimand="labels-needed")
    return Needed(within=within, probability=probability, labels=about, **what)


# Tuned like those of `curves`: a fit is trusted to this much a doubling below the largest size, and
# a family that misses the largest size by less than this is as good as any.
LOOSE, ALIKE = 0.01, 0.01

# Lower bound of the standard deviation of a draw.
STILL = 0.003


def members(points: CurvePoints, name: str, resamples: Resamples, labels: Floats) -> Floats:
    """Return (replicates, sizes) accuracies of rows like these at numbers of labels.

    Each is of a curve fitted to resampled rows and draws; those of all families are mixed.

    Args:
        points: what was measured.
        name: of the candidate, whose random numbers differ from those of others.
        resamples: random numbers, shared with the candidates that it is compared with.
        labels: (sizes,) to learn from.
    """
    sizes = points.sizes / points.sizes[-1]
    errors = _errors(points, sizes)
    weights = 1 / (errors**2 + (LOOSE * np.log2(sizes)) ** 2)
    missed = _missed(sizes, points.accuracies, weights) ** 2
    # Weights by likelihood would be sharper, and too sure: on simulated curves of exp3 and of a
    # late rise their bands covered 0.87, these 0.99.
    shares = 1 / (missed + errors[-1] ** 2 + errors[-2] ** 2 + ALIKE**2)
    resampled, beyond = _resampled(points, errors, name, resamples), labels / points.sizes[-1]
    curves = [fit_curves(family, sizes, resampled, weights).at(beyond) for family in CURVE_SHAPES]
    stray = STRAY * resamples.normal(name, "stray")[:, None] * np.maximum(np.log2(beyond), 0.0)
    each = np.clip(np.stack(curves) + stray, 0.0, 1.0)
    limits = np.cumsum(shares / shares.sum())[:-1]
    # (replicates,) uniform numbers that select a family of curves.
    places = np.random.default_rng(1).permutation((np.arange(REPLICATES) + 0.5) / REPLICATES)
    chosen = np.searchsorted(limits, places)
    return np.asarray(each[chosen, np.arange(REPLICATES)])


def _errors(points: CurvePoints, sizes: Floats) -> Floats:
    """Return the (k,) standard errors of the mean accuracies; one pool counts as one draw."""
    # The standard deviation of a draw at the largest size, pooled over all sizes.
    variances = [
        float(points.mean(points.scores[i]).var(ddof=1)) * sizes[i] ** FALL for i in points.repeated
    ]
    draw = max(sqrt(float(np.mean(variances))), STILL)
    counts = np.array([scores.shape[1] for scores in points.scores], dtype=np.float64)
    counts[len(points.repeated) :] = 1.0
    errors: Floats = draw * sizes ** (-FALL / 2) / np.sqrt(counts)
    return errors


def _missed(sizes: Floats, accuracies: Floats, weights: Floats) -> Floats:
    """Return by how much each family, fitted without the largest size, is off there."""
    before, last = sizes[:-1] / sizes[-2], sizes[-1:] / sizes[-2]
    fits = [
        fit_curves(family, before, accuracies[None, :-1], weights[:-1]) for family in CURVE_SHAPES
    ]
    return np.array([float(f.at(last)[0, 0]) - accuracies[-1] for f in fits])


def _resampled(points: CurvePoints, errors: Floats, name: str, resamples: Resamples) -> Floats:
    """Return (replicates, k) accuracies from resampled draws and rows."""
    scale, weights = resamples.scale(points.freedom), resamples.row_weights
    weights = weights if points.place is None else weights[:, points.place]
    weights = weights if points.weights is None else weights * points.weights
    columns = []
    for i, scores in enumerate(points.scores):
        means = points.mean(scores)
        if i in points.repeated:
            count = len(means)
            multipliers = np.stack([resamples.draw(d) for d in points.draws[i]], axis=1)
            error = multipliers @ (means - means.mean()) / np.sqrt(count * (count - 1))
        else:
            error = errors[i] * resamples.normal(name, "pool")
        columns.append(weights @ scores.mean(axis=1) / weights.sum(axis=1) + scale * error)
    return np.stack(columns, axis=1)


LIKELY = 0.5


def forecasts_of(scores: StudyScores, rule: Rule) -> dict[str, CurveForecast]:
    """Return by candidate how many labels it needs; all on one resampling of rows and draws."""
    resamples = Resamples(len(scores.rows.targets), scores.rows.clusters)
    return {c.info.name: _forecast(c, rule, resamples) for c in scores.scored}


def _forecast(candidate: CandidateScores, rule: Rule, resamples: Resamples) -> CurveForecast:
    name, points = candidate.info.name, points_of(candidate)
    if points is None:
        return CurveForecast(candidate=name, labels=candidate.pool)
    ahead = members(points, name, resamples, horizon(points))
    target, gained = rule.target, ahead - ahead[:, :1]
    return CurveForecast(
        candidate=name,
        labels=points.labels,
        target=None if target is None else needed(points, ahead >= target, accuracy=target),
        margin=needed(points, gained >= rule.margin, gain=rule.margin),
    )


def likely(needs: Needed | None) -> bool:
    """Return whether it is more likely than not that enough labels can be collected."""
    return needs is not None and needs.probability >= LIKELY

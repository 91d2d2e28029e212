"""Learning curves beyond the data: ensembles of fitted curves and the forecasts from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
import numpy.typing as npt

from choose.judge.goal import Rule
from choose.judge.measures.curve_fit import (
    CURVE_SHAPES,
    CurvePoints,
    FittedCurves,
    Resamples,
    fit_curves,
    points_of,
)
from choose.judge.scores.score_tables import CandidateScores, StudyScores
from choose.schema.base import Interval
from choose.schema.scorecard import CurveForecast, Needed, Refused
from choose.types import Floats

# Forecasts end at this multiple of the largest size.
REACH = 4.0
STEPS = 81

# Tuned on four real sets, tested on four others: the variance of a draw falls with about this power
# of the size, and curves deviate from every family by this much per doubling.
FALL, STRAY = 0.5, 0.005


@dataclass(frozen=True)
class Ensemble:
    """Fits of all families to resamples of one candidate's points.

    Attributes:
        points: what was fitted.
        fits: by family, one curve a resample.
        weights: (families,) shares that add up to 1.
        draw: standard deviation of one draw's accuracy at the largest size.
        name: the candidate, whose random numbers differ from those of others.
        resamples: shared random numbers.
    """

    points: CurvePoints
    fits: tuple[FittedCurves, ...]
    weights: Floats
    draw: float
    name: str
    resamples: Resamples

    def means(self, labels: Floats) -> Floats:
        """Return (families, replicates, sizes) accuracies averaged over draws."""
        sizes = np.asarray(labels, dtype=np.float64) / self.points.sizes[-1]
        tilt = STRAY * self.resamples.normal(self.name, "stray")[:, None]
        stray = tilt * np.maximum(np.log2(sizes), 0.0)
        curves: Floats = np.stack([fitted.at(sizes) for fitted in self.fits]) + stray
        return np.clip(curves, 0.0, 1.0)

    def members(self, labels: Floats) -> Floats:
        """Return (replicates, sizes) accuracies averaged over draws, families mixed."""
        return self._mix(self.means(labels))

    def _mix(self, each: Floats) -> Floats:
        chosen = np.searchsorted(np.cumsum(self.weights)[:-1], self.resamples.family_quantiles)
        mixed: Floats = each[chosen, np.arange(len(chosen))]
        return mixed


@dataclass(frozen=True)
class LabelsToReach:
    """When a mean accuracy is reached.

    Attributes:
        probability: that it is within `REACH` times the largest size.
        labels: the median number of labels, None if it is more likely not reached at all.
        low: of the 95 % interval.
        high: of the 95 % interval, None if it lies beyond the horizon of the forecast.
    """

    probability: float
    labels: float | None
    low: float | None
    high: float | None


def horizon(points: CurvePoints) -> Floats:
    """Return the sizes of a forecast, from the largest measured to `REACH` times it."""
    sizes: Floats = points.sizes[-1] * np.geomspace(1.0, REACH, STEPS)
    return sizes


def labels_to_reach(reached: npt.NDArray[np.bool_], labels: Floats) -> LabelsToReach:
    """Sum up from which size on each of (replicates, sizes) members has reached something."""
    first = np.where(reached.any(axis=1), labels[reached.argmax(axis=1)], np.inf)
    middle, low, high = (
        float(q) for q in np.quantile(first, (0.5, 0.025, 0.975), method="inverted_cdf")
    )
    return LabelsToReach(
        probability=float(np.isfinite(first).mean()),
        labels=middle if np.isfinite(middle) else None,
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
    )


# Tuned like those of `curves`: a fit is trusted to this much a doubling below the largest size, and
# a family that misses the largest size by less than this is as good as any.
LOOSE, ALIKE = 0.01, 0.01

# Lower bound of the standard deviation of a draw.
STILL = 0.003


def ensemble(points: CurvePoints, name: str, resamples: Resamples, rows: bool = False) -> Ensemble:
    """Fit a candidate's points.

    Args:
        points: what was measured.
        name: of the candidate.
        resamples: random numbers, shared with the candidates that it is compared with.
        rows: whether to resample test rows too, so that the curves are about rows like these.
    """
    sizes = points.sizes / points.sizes[-1]
    draw = _draw_deviation(points, sizes)
    errors = _errors(points, sizes, draw)
    weights = 1 / (errors**2 + (LOOSE * np.log2(sizes)) ** 2)
    missed = _missed(sizes, points.accuracies, weights) ** 2
    # Weights by likelihood would be sharper, and too sure: on simulated curves of exp3 and of a
    # late rise their bands covered 0.87, these 0.99.
    shares = 1 / (missed + errors[-1] ** 2 + errors[-2] ** 2 + ALIKE**2)
    resampled = _resampled(points, errors, name, resamples, rows)
    return Ensemble(
        points=points,
        fits=tuple(fit_curves(family, sizes, resampled, weights) for family in CURVE_SHAPES),
        weights=shares / shares.sum(),
        draw=draw,
        name=name,
        resamples=resamples,
    )


def _draw_deviation(points: CurvePoints, sizes: Floats) -> float:
    """Return the standard deviation of a draw at the largest size, pooled over all sizes."""
    variances = [
        float(points.mean(points.scores[i]).var(ddof=1)) * sizes[i] ** FALL for i in points.repeated
    ]
    return max(sqrt(float(np.mean(variances))), STILL)


def _errors(points: CurvePoints, sizes: Floats, draw: float) -> Floats:
    """Return the (k,) standard errors of the mean accuracies; one pool counts as one draw."""
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


def _resampled(
    points: CurvePoints, errors: Floats, name: str, resamples: Resamples, rows: bool
) -> Floats:
    """Return (replicates, k) accuracies from resampled draws and, if `rows`, resampled rows."""
    scale = resamples.scale(points.freedom)
    columns = []
    for i, scores in enumerate(points.scores):
        means = points.mean(scores)
        if i in points.repeated:
            count = len(means)
            multipliers = np.stack([resamples.draw(d) for d in points.draws[i]], axis=1)
            error = multipliers @ (means - means.mean()) / np.sqrt(count * (count - 1))
        else:
            error = errors[i] * resamples.normal(name, "pool")
        center = _by_rows(points, scores, resamples) if rows else means.mean()
        columns.append(center + scale * error)
    return np.stack(columns, axis=1)


def _by_rows(points: CurvePoints, scores: Floats, resamples: Resamples) -> Floats:
    weights = resamples.row_weights
    weights = weights if points.place is None else weights[:, points.place]
    weights = weights if points.weights is None else weights * points.weights
    means: Floats = weights @ scores.mean(axis=1) / weights.sum(axis=1)
    return means


LIKELY = 0.5


@dataclass(frozen=True)
class CurveForecasts:
    """The curves of a study's candidates on one resampling of rows and draws."""

    panel: StudyScores
    rule: Rule

    @cached_property
    def resamples(self) -> Resamples:
        """Return the resampling that all candidates share."""
        return Resamples(len(self.panel.rows.targets), self.panel.rows.clusters)

    @cached_property
    def points(self) -> Mapping[str, CurvePoints | Refused]:
        """Return by candidate what a curve may be fitted to, or why none may."""
        return {c.info.name: points_of(c) for c in self.panel.scored}

    @cached_property
    def general(self) -> Mapping[str, Ensemble]:
        """Return the curves that may be fitted, with rows resampled: about rows like these."""
        return {
            name: ensemble(points, name, self.resamples, rows=True)
            for name, points in self.points.items()
            if isinstance(points, CurvePoints)
        }

    @cached_property
    def ahead(self) -> Mapping[str, Floats]:
        """Return (replicates, sizes) accuracies over the `horizon` of each curve."""
        return {name: c.members(horizon(c.points)) for name, c in self.general.items()}

    @cached_property
    def forecasts(self) -> Mapping[str, CurveForecast]:
        """Return the record of every candidate that answered something."""
        return {c.info.name: self._forecast(c) for c in self.panel.scored}

    def _forecast(self, candidate: CandidateScores) -> CurveForecast:
        name = candidate.info.name
        points = self.points[name]
        if isinstance(points, str):
            return CurveForecast(candidate=name, labels=candidate.pool, refused=points)
        return CurveForecast(
            candidate=name,
            labels=points.labels,
            target=self._target(name, points),
            margin=self._margin(name, points),
        )

    def _target(self, name: str, points: CurvePoints) -> Needed | None:
        target = self.rule.target
        if target is None:
            return None
        reached = labels_to_reach(self.ahead[name] >= target, horizon(points))
        return needed(reached, points, accuracy=target)

    def _margin(self, name: str, points: CurvePoints) -> Needed:
        members = self.ahead[name]
        reached = labels_to_reach(members - members[:, :1] >= self.rule.margin, horizon(points))
        return needed(reached, points, gain=self.rule.margin)


def needed(reached: LabelsToReach, points: CurvePoints, **what: float) -> Needed:
    """Return the record of when something is reached."""
    labels = None
    if reached.labels is not None:
        labels = Interval(
            value=reached.labels,
            low=reached.low,
            high=reached.high,
            estimand="training rows, mean over draws, on rows like these",
        )
    return Needed(
        within=int(REACH * points.labels), probability=reached.probability, labels=labels, **what
    )


def likely(needs: Needed | None) -> bool:
    """Return whether it is more likely than not that enough labels can be collected."""
    return needs is not None and needs.probability >= LIKELY

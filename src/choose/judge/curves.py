"""Learning curves beyond the data: an ensemble of fits, and what may be said with it.

Each resample of the repetitions (and, where the question is about more than these rows, of the
rows) is fitted with every family. Families are mixed by how well each one, fitted without the
largest size, foretells that size: pow3 and exp3 alone bend too early on most of the real sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from choose.judge.curve_fits import FAMILIES, Fitted, fit
from choose.judge.curve_points import Points
from choose.judge.luck import Luck
from choose.types import Floats

# Nothing is said about more than this multiple of the largest size.
REACH = 4.0
STEPS = 81

# Tuned on four of the real sets, reported on the others (benchmarks/curves.py): the variance of a
# draw falls with about this power of the size; a fit is trusted to this much a doubling below the
# largest size, and strays by this much a doubling above it; and a family that misses the largest
# size by less than this is as good as any.
FALL, LOOSE, STRAY, ALIKE = 0.5, 0.01, 0.005, 0.01

# Smallest standard deviation of a draw that is believed.
STILL = 0.003

# A family below this weight has no say in whether families disagree.
VOICE = 0.1


@dataclass(frozen=True)
class Band:
    """Where something lies at several sizes; `apart` says where families exclude each other."""

    value: Floats
    low: Floats
    high: Floats
    apart: bool


@dataclass(frozen=True)
class Ensemble:
    """Fits of all families to resamples of one candidate's points.

    Attributes:
        points: what was fitted.
        fits: by family, one curve a resample.
        weights: (families,) shares that add up to 1.
        draw: standard deviation of one draw's accuracy at the largest size.
        name: the candidate, for luck that is its own.
        luck: the resampling.
    """

    points: Points
    fits: tuple[Fitted, ...]
    weights: Floats
    draw: float
    name: str
    luck: Luck

    def means(self, labels: Floats) -> Floats:
        """Return (families, replicates, sizes) accuracies averaged over draws."""
        sizes = np.asarray(labels, dtype=np.float64) / self.points.sizes[-1]
        tilt = STRAY * self.luck.own(self.name, "stray")[:, None]
        stray = tilt * np.maximum(np.log2(sizes), 0.0)
        return np.clip(np.stack([fitted.at(sizes) for fitted in self.fits]) + stray, 0.0, 1.0)

    @cached_property
    def chosen(self) -> Floats:
        """Return the (replicates,) numbers of the family that each member belongs to."""
        return np.searchsorted(np.cumsum(self.weights)[:-1], self.luck.pick)

    def members(self, labels: Floats) -> Floats:
        """Return (replicates, sizes) accuracies averaged over draws, families mixed."""
        return self.means(labels)[self.chosen, np.arange(len(self.chosen))]

    def band(self, labels: Floats) -> Band:
        """Return where one new draw's accuracy lies, with 95 %.

        Where families with a say exclude each other, it is the union of their bands.
        """
        sizes = np.asarray(labels, dtype=np.float64) / self.points.sizes[-1]
        noise = self.draw * sizes ** (-FALL / 2)
        each = self.means(labels) + noise * self._new_draw[:, None]
        mixed = each[self.chosen, np.arange(len(self.chosen))]
        value, (low, high) = np.median(mixed, axis=0), np.quantile(mixed, (0.025, 0.975), axis=0)
        lows, highs = np.quantile(each[self.weights >= VOICE], (0.025, 0.975), axis=1)
        apart = lows.max(axis=0) > highs.min(axis=0)
        low = np.where(apart, np.minimum(low, lows.min(axis=0)), low)
        high = np.where(apart, np.maximum(high, highs.max(axis=0)), high)
        return Band(
            value, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0), apart=bool(apart.any())
        )

    @property
    def _new_draw(self) -> Floats:
        return self.luck.own(self.name, "new draw") * self.luck.scale(_freedom(self.points))


@dataclass(frozen=True)
class Reach:
    """When a mean accuracy is reached.

    Attributes:
        probability: that it is within `REACH` times the largest size.
        labels: the median number of labels, None if it is more likely not reached at all.
        low: of the 95 % interval.
        high: of the 95 % interval, None where that lies beyond what may be said.
    """

    probability: float
    labels: float | None
    low: float | None
    high: float | None


def reach(curves: Ensemble, target: float) -> Reach:
    """Return how many labels the mean accuracy over draws needs to reach a target.

    For a statement about rows like these the ensemble must have been fitted with rows resampled.
    Where it is reached already, that is the largest size.
    """
    labels = horizon(curves.points)
    return when(curves.members(labels) >= target, labels)


def horizon(points: Points) -> Floats:
    """Return the sizes at which it is looked for a change, from the largest to `REACH` times it."""
    return points.sizes[-1] * np.geomspace(1.0, REACH, STEPS)


def when(reached: npt.NDArray[np.bool_], labels: Floats) -> Reach:
    """Sum up from which size on each of (replicates, sizes) members has reached something."""
    first = np.where(reached.any(axis=1), labels[reached.argmax(axis=1)], np.inf)
    middle, low, high = (
        float(q) for q in np.quantile(first, (0.5, 0.025, 0.975), method="inverted_cdf")
    )
    return Reach(
        probability=float(np.isfinite(first).mean()),
        labels=middle if np.isfinite(middle) else None,
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
    )


def ensemble(points: Points, name: str, luck: Luck, rows: bool = False) -> Ensemble:
    """Fit a candidate's points.

    Args:
        points: what was measured.
        name: of the candidate.
        luck: the resampling, shared with the candidates that it is compared with.
        rows: whether asked rows are resampled too, so that the curves are about rows like these.
    """
    sizes = points.sizes / points.sizes[-1]
    draw = _draw_deviation(points, sizes)
    errors = _errors(points, sizes, draw)
    weights = 1 / (errors**2 + (LOOSE * np.log2(sizes)) ** 2)
    missed = _missed(sizes, points.accuracies, weights) ** 2
    shares = np.exp(-(missed - missed.min()) / 2 / (errors[-1] ** 2 + errors[-2] ** 2 + ALIKE**2))
    resampled = _resampled(points, errors, name, luck, rows)
    return Ensemble(
        points=points,
        fits=tuple(fit(family, sizes, resampled, weights) for family in FAMILIES),
        weights=shares / shares.sum(),
        draw=draw,
        name=name,
        luck=luck,
    )


def _draw_deviation(points: Points, sizes: Floats) -> float:
    """Return the standard deviation of a draw at the largest size, pooled over all sizes."""
    variances = [
        float(points.mean(points.scores[i]).var(ddof=1)) * sizes[i] ** FALL for i in points.repeated
    ]
    return float(max(np.sqrt(np.mean(variances)), STILL))


def _errors(points: Points, sizes: Floats, draw: float) -> Floats:
    """Return the (k,) standard errors of the mean accuracies; one pool counts as one draw."""
    counts = np.array([scores.shape[1] for scores in points.scores], dtype=np.float64)
    counts[len(points.repeated) :] = 1.0
    found: Floats = draw * sizes ** (-FALL / 2) / np.sqrt(counts)
    return found


def _freedom(points: Points) -> float:
    """Return the degrees of freedom of the draws' variance; nested pools share some luck."""
    return 0.75 * sum(points.scores[i].shape[1] - 1 for i in points.repeated)


def _missed(sizes: Floats, accuracies: Floats, weights: Floats) -> Floats:
    """Return by how much each family, fitted without the largest size, is off there."""
    before, last = sizes[:-1] / sizes[-2], sizes[-1:] / sizes[-2]
    fits = [fit(family, before, accuracies[None, :-1], weights[:-1]) for family in FAMILIES]
    return np.array([float(f.at(last)[0, 0]) - accuracies[-1] for f in fits])


def _resampled(points: Points, errors: Floats, name: str, luck: Luck, rows: bool) -> Floats:
    """Return (replicates, k) accuracies with the luck of draws, and of rows if asked for."""
    scale = luck.scale(_freedom(points))
    columns = []
    for i, scores in enumerate(points.scores):
        means = points.mean(scores)
        if i in points.repeated:
            count = len(means)
            luck_of = np.stack([luck.draw(d) for d in points.draws[i]], axis=1)
            error = luck_of @ (means - means.mean()) / np.sqrt(count * (count - 1))
        else:
            error = errors[i] * luck.own(name, "pool")
        center = _by_rows(points, scores, luck) if rows else means.mean()
        columns.append(center + scale * error)
    return np.stack(columns, axis=1)


def _by_rows(points: Points, scores: Floats, luck: Luck) -> Floats:
    weights = luck.row_weights
    weights = weights if points.place is None else weights[:, points.place]
    weights = weights if points.weights is None else weights * points.weights
    found: Floats = weights @ scores.mean(axis=1) / weights.sum(axis=1)
    return found

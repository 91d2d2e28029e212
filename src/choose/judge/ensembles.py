"""One candidate's points, resampled and fitted with every family of curves.

Families are mixed by how well each one, fitted without the largest size, foretells that size: pow3
and exp3 alone bend too early on most of the real sets.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from choose.judge.curve_fits import FAMILIES, fit
from choose.judge.curve_points import Points
from choose.judge.curves import FALL, Ensemble
from choose.judge.luck import Luck
from choose.types import Floats

# Tuned like those of `curves`: a fit is trusted to this much a doubling below the largest size, and
# a family that misses the largest size by less than this is as good as any.
LOOSE, ALIKE = 0.01, 0.01

# Smallest standard deviation of a draw that is believed.
STILL = 0.003


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
    # Weights by likelihood would be sharper, and too sure: on simulated curves of exp3 and of a
    # late rise their bands covered 0.87, these 0.99.
    shares = 1 / (missed + errors[-1] ** 2 + errors[-2] ** 2 + ALIKE**2)
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
    return max(sqrt(float(np.mean(variances))), STILL)


def _errors(points: Points, sizes: Floats, draw: float) -> Floats:
    """Return the (k,) standard errors of the mean accuracies; one pool counts as one draw."""
    counts = np.array([scores.shape[1] for scores in points.scores], dtype=np.float64)
    counts[len(points.repeated) :] = 1.0
    found: Floats = draw * sizes ** (-FALL / 2) / np.sqrt(counts)
    return found


def _missed(sizes: Floats, accuracies: Floats, weights: Floats) -> Floats:
    """Return by how much each family, fitted without the largest size, is off there."""
    before, last = sizes[:-1] / sizes[-2], sizes[-1:] / sizes[-2]
    fits = [fit(family, before, accuracies[None, :-1], weights[:-1]) for family in FAMILIES]
    return np.array([float(f.at(last)[0, 0]) - accuracies[-1] for f in fits])


def _resampled(points: Points, errors: Floats, name: str, luck: Luck, rows: bool) -> Floats:
    """Return (replicates, k) accuracies with the luck of draws, and of rows if asked for."""
    scale = luck.scale(points.freedom)
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

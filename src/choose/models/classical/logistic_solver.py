"""Multinomial logistic regression for many rows, features or classes, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from choose.progress import report_progress
from choose.types import Floats

# Above one of these sizes a fit goes to `BoundedLogistic`: weights (features times classes), of
# which scikit-learn's solver holds some 30 copies in float64, and multiplications of a pass.
MAX_PLAIN_WEIGHTS = 5_000_000
MAX_PLAIN_PRODUCTS = 100_000_000

# Most weights; with more, the columns that fewest rows use are left out.
MAX_WEIGHTS = 40_000_000

# Most numbers in a block of logits, and in all pairs of the solver's memory together.
_BLOCK = 20_000_000
_MEMORY = 240_000_000

# scikit-learn's defaults: the largest gradient at the end, and the most passes.
_TOLERANCE, MAX_PASSES = 1e-4, 1_000

Weights = npt.NDArray[np.float32]


def is_large(features: Any, classes: int) -> bool:
    """Return whether a fit on (n, d) features, dense or sparse, needs `BoundedLogistic`."""
    entries = getattr(features, "nnz", features.shape[0] * features.shape[1])
    weights = classes * features.shape[1]
    return bool(weights > MAX_PLAIN_WEIGHTS or classes * entries > MAX_PLAIN_PRODUCTS)


class BoundedLogistic:
    """The fit of scikit-learn's LogisticRegression to the same tolerance, in single precision.

    Limited-memory BFGS (Liu and Nocedal 1989) whose number of pairs depends on the number of
    weights, so that 1,000 classes with 40,000 features take 2 GB instead of 10. It reports progress
    after every pass.
    """

    def __init__(self, C: float) -> None:
        self.C = C

    def fit(self, features: Any, targets: Sequence[str]) -> None:
        """Learn from (n, d) features, dense or sparse."""
        self.classes_, places = np.unique(np.asarray(targets), return_inverse=True)
        columns = _most_used(features, MAX_WEIGHTS // len(self.classes_))
        rows = features if columns is None else features[:, columns]
        # With two classes scikit-learn penalises the difference of their weights.
        binary = len(self.classes_) == 2
        loss = _Loss(rows, places, len(self.classes_), (1 + binary) / (self.C * len(targets)))
        solution = minimise(loss)
        if binary:
            solution = solution[:, 1:] - solution[:, :1]
        weights, self.intercept_ = solution[:-1].T, solution[-1].astype(np.float64)
        if columns is not None:
            kept, width = weights, features.shape[1]
            weights = np.zeros((len(kept), width), np.float32)
            weights[:, columns] = kept
        self.coef_ = weights

    def predict_proba(self, features: Any) -> Floats:
        """Return (n, classes) probabilities."""
        logits = np.asarray(features.astype(np.float32) @ self.coef_.T, np.float64)
        logits += self.intercept_
        if logits.shape[1] == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits


def _most_used(features: Any, most: int) -> npt.NDArray[np.int64] | None:
    """Return the columns with the most entries, in order, or None where all are few enough."""
    if features.shape[1] <= most:
        return None
    counts = np.asarray((features != 0).sum(axis=0)).ravel()
    columns: npt.NDArray[np.int64] = np.sort(np.argsort(-counts, kind="stable")[:most])
    return columns


class _Loss:
    """The mean log loss with an L2 penalty, of (d + 1, classes) weights; the intercepts last."""

    def __init__(
        self, features: Any, places: npt.NDArray[np.int64], classes: int, penalty: float
    ) -> None:
        self.rows, self.places = features.astype(np.float32), places
        self.shape, self.penalty = (features.shape[1] + 1, classes), penalty
        self.step = max(1, _BLOCK // classes)

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        """Return the loss and its gradient."""
        count, total = len(self.places), 0.0
        gradient = weights * np.float32(self.penalty)
        gradient[-1] = 0
        for first in range(0, count, self.step):
            rows, places = self.rows[first : first + self.step], self.places[first:][: self.step]
            chances = np.asarray(rows @ weights[:-1])
            chances += weights[-1]
            chances -= chances.max(axis=1, keepdims=True)
            own = np.arange(len(places)), places
            total -= float(chances[own].sum(dtype=np.float64))
            np.exp(chances, out=chances)
            sums = chances.sum(axis=1, dtype=np.float64)
            total += float(np.log(sums).sum())
            chances /= sums[:, None].astype(np.float32)
            chances[own] -= 1
            chances /= count
            gradient[:-1] += np.asarray(rows.T @ chances)
            gradient[-1] += chances.sum(axis=0)
        squares = sum(float(np.vdot(part, part)) for part in weights[:-1])
        return total / count + 0.5 * self.penalty * squares, gradient


class Loss(Protocol):
    """A function of weights to minimise."""

    shape: tuple[int, int]

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        """Return the loss and its gradient."""
        ...


def minimise(loss: Loss) -> Weights:
    """Return the weights at which the largest entry of the gradient is within the tolerance.

    Single precision may not get there. scipy's solver, in double precision, takes 1.4 to 3 times
    as long (3,000 rows with 77 labels; 1,000 rows with 48 labels each against the rest).
    """
    weights = np.zeros(loss.shape, np.float32)
    value, gradient = loss(weights)
    pairs = deque[tuple[Weights, Weights]](
        maxlen=int(np.clip(_MEMORY // (2 * weights.size), 2, 10))
    )
    passes = 0
    while passes < MAX_PASSES:
        if np.abs(gradient).max() <= _TOLERANCE:
            break
        direction = _direction(gradient, pairs)
        slope = float(np.vdot(direction, gradient))
        step = 1.0 if pairs else min(1.0, 1.0 / float(np.sqrt(-slope)))
        for _ in range(20):
            moved = weights + np.float32(step) * direction
            new_value, new_gradient = loss(moved)
            passes += 1
            report_progress(min(passes, MAX_PASSES - 1), MAX_PASSES, "logistic fit", at_most=True)
            rise = new_value - value - step * slope
            if new_value <= value + 1e-4 * step * slope:
                break
            # The least point of the parabola through what is known of this line.
            step *= float(np.clip(-step * slope / (2 * rise), 0.1, 0.5))
        else:
            break  # no lower loss in single precision
        direction *= np.float32(step)
        np.subtract(new_gradient, gradient, out=gradient)
        if float(np.vdot(direction, gradient)) > 0:
            pairs.append((direction, gradient))
        weights, value, gradient = moved, new_value, new_gradient
    return weights


def _direction(gradient: Weights, pairs: deque[tuple[Weights, Weights]]) -> Weights:
    """Return minus the gradient times the estimate of the inverse Hessian (two-loop recursion)."""
    direction = -gradient
    factors = []
    for moved, change in reversed(pairs):
        scale = 1.0 / float(np.vdot(moved, change))
        factor = scale * float(np.vdot(moved, direction))
        direction -= np.float32(factor) * change
        factors.append((scale, factor))
    if pairs:
        moved, change = pairs[-1]
        direction *= np.float32(float(np.vdot(moved, change)) / float(np.vdot(change, change)))
    for (moved, change), (scale, factor) in zip(pairs, reversed(factors), strict=True):
        direction += np.float32(factor - scale * float(np.vdot(change, direction))) * moved
    return direction

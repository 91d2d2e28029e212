"""Families of learning curves, fitted to many resamples at once.

For a fixed rate each family is linear in its asymptote and its drop, so the best fit is found in
closed form for every rate of a grid (variable projection, Golub and Pereyra 1973). There is no
start to choose and no fit that fails to converge, and all resamples share one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from choose.types import Floats


@dataclass(frozen=True, slots=True)
class Family:
    """Accuracy ``a - b g(n)`` with b >= 0 and, where it has an asymptote, a <= 1.

    `shape` returns g as (rates, sizes) from (rates,) and (sizes,); sizes are multiples of the
    largest one measured.
    """

    name: str
    rates: Floats
    shape: Callable[[Floats, Floats], Floats]
    asymptote: bool = True


def _power(rates: Floats, sizes: Floats) -> Floats:
    found: Floats = sizes[None, :] ** -rates[:, None]
    return found


def _exponential(rates: Floats, sizes: Floats) -> Floats:
    found: Floats = np.exp(-rates[:, None] * sizes[None, :])
    return found


def _logarithm(rates: Floats, sizes: Floats) -> Floats:
    return np.repeat(-np.log2(sizes)[None, :], len(rates), axis=0)


# Slowest saturation first. exp3 is nearly flat from where the data end, the logarithm (what pow3
# becomes as its rate goes to 0) never bends: what a curve does next lies between the two.
FAMILIES = (
    Family("exp3", np.geomspace(0.3, 30.0, 40), _exponential),
    Family("pow3", np.geomspace(0.05, 2.0, 40), _power),
    Family("logarithm", np.ones(1), _logarithm, asymptote=False),
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Curves of one family: (R,) asymptotes, drops and rates."""

    family: Family
    a: Floats
    b: Floats
    rate: Floats

    def at(self, sizes: Floats) -> Floats:
        """Return (R, sizes) accuracies, kept within 0 and 1."""
        drop = self.family.shape(self.rate, sizes)
        return np.clip(self.a[:, None] - self.b[:, None] * drop, 0.0, 1.0)


def fit(family: Family, sizes: Floats, accuracies: Floats, weights: Floats) -> Fitted:
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
    return Fitted(family, a[row, best], b[row, best], family.rates[best])

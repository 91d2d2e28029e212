"""Learning curves beyond the data: an ensemble of fits, and what may be said with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from choose.judge.curve_fits import Fitted
from choose.judge.curve_points import Points
from choose.judge.luck import Luck
from choose.types import Floats

# Nothing is said about more than this multiple of the largest size.
REACH = 4.0
STEPS = 81

# Tuned on four of the real sets, reported on the others (benchmarks/curves.py): the variance of a
# draw falls with about this power of the size, and curves stray from every family by this much a
# doubling.
FALL, STRAY = 0.5, 0.005

# A family below this weight has no say in whether families disagree.
VOICE = 0.1


class Band(NamedTuple):
    """Where something lies at several sizes; `apart` says whether families exclude each other."""

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
        found: Floats = np.stack([fitted.at(sizes) for fitted in self.fits]) + stray
        return np.clip(found, 0.0, 1.0)

    def members(self, labels: Floats) -> Floats:
        """Return (replicates, sizes) accuracies averaged over draws, families mixed."""
        return self._mix(self.means(labels))

    def _mix(self, each: Floats) -> Floats:
        chosen = np.searchsorted(np.cumsum(self.weights)[:-1], self.luck.pick)
        found: Floats = each[chosen, np.arange(len(chosen))]
        return found

    def band(self, labels: Floats) -> Band:
        """Return where one new draw's accuracy lies, with 95 %.

        Where families with a say exclude each other, it is the union of their bands.
        """
        sizes = np.asarray(labels, dtype=np.float64) / self.points.sizes[-1]
        noise = self.draw * sizes ** (-FALL / 2)
        each = self.means(labels) + noise * self._new_draw[:, None]
        mixed = self._mix(each)
        value, (low, high) = np.median(mixed, axis=0), np.quantile(mixed, (0.025, 0.975), axis=0)
        lows, highs = np.quantile(each[self.weights >= VOICE], (0.025, 0.975), axis=1)
        apart = lows.max(axis=0) > highs.min(axis=0)
        low = np.where(apart, np.minimum(low, lows.min(axis=0)), low)
        high = np.where(apart, np.maximum(high, highs.max(axis=0)), high)
        value, low, high = np.clip(np.stack([value, low, high]), 0.0, 1.0)
        return Band(value, low, high, bool(apart.any()))

    @property
    def _new_draw(self) -> Floats:
        scale = self.luck.scale(self.points.freedom)
        return self.luck.own(self.name, "new draw") * scale


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


def horizon(points: Points) -> Floats:
    """Return the sizes at which it is looked for a change, from the largest to `REACH` times it."""
    found: Floats = points.sizes[-1] * np.geomspace(1.0, REACH, STEPS)
    return found


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

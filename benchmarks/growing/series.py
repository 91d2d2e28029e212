"""Costs along one axis, how they grow, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import log
from typing import Any

# A solver takes a few more rounds for more rows, and clocks are not exact: linear within so much.
MOST_POWER = 1.15

# A repetition shares loading, embedding and judging with the others, so it must cost less than one.
MOST_SEED_POWER = 0.95

MOST_MB = 4_000.0


@dataclass(frozen=True, slots=True)
class Series:
    """What a candidate costs at points of an axis: labels, rows, classes or seeds."""

    candidate: str
    axis: str
    at: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def power(self) -> float:
        """Return p of cost ~ size^p over the upper half of the points, where starts weigh least.

        Half or fewer points would make it the slope of noise, so three are taken at least.
        """
        first = min(len(self.at) // 2, max(len(self.at) - 3, 0))
        if self.axis == "seeds":  # the start is what repetitions share
            first = 0
        xs = [log(x) for x in self.at[first:]]
        ys = [log(max(y, 1e-6)) for y in self.seconds[first:]]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum(
            (x - mean_x) ** 2 for x in xs
        )

    @property
    def most(self) -> float:
        """Return the power that is allowed."""
        return MOST_SEED_POWER if self.axis == "seeds" else MOST_POWER

    def record(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return {**asdict(self), "power": self.power, "target": self.most}


@dataclass(frozen=True, slots=True)
class Memory:
    """The largest memory of a study."""

    what: str
    rows: int
    peak_mb: float
    processor: float


def missed(found: Sequence[Series], memory: Sequence[Memory]) -> Iterator[str]:
    """Yield a sentence for each target that is missed."""
    for series in found:
        if series.power > series.most:
            yield (
                f"{series.candidate} against {series.axis}: power {series.power:.2f}, "
                f"at most {series.most} is allowed."
            )
    for each in memory:
        if each.peak_mb > MOST_MB:
            yield f"{each.what}: {each.peak_mb:,.0f} MB, at most {MOST_MB:,.0f} are allowed."

"""What to use until more is known: as little regret, and as little needless cost, as can be had.

The margin is the smallest gain that is worth the cost of a dearer candidate. So choosing one where
a cheaper one is within the margin loses the margin, and choosing one that is behind another by more
than the margin loses what it is behind beyond it. The candidate of least expected loss is used.
Both expectations are over what a difference may truly be: its measured value and error, drawn
towards 0 as far as that error exceeds how much candidates differ. On known worlds (tuned on their
``tune`` split) this halves the needless cost of taking the highest score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, hypot, pi, sqrt
from typing import NamedTuple

from scipy.special import ndtr

from choose.judge.pairs import Pairs
from choose.judge.record import Interval

# Standard deviation of true differences between candidates, as a fraction of the rows.
SPREAD = 0.1

# Half the width of a normal 95 % interval in standard errors; few repetitions widen an interval
# beyond its standard error, and here they count as if the error were that much larger.
Z = 1.96


class Law(NamedTuple):
    """A normal law of what a true difference may be."""

    mean: float
    sd: float

    def excess(self, margin: float) -> float:
        """Return the expected part of the difference that lies above the margin."""
        z = (self.mean - margin) / self.sd
        return float(self.sd * (exp(-z * z / 2) / sqrt(2 * pi) + z * ndtr(z)))

    def below(self, margin: float) -> float:
        """Return the chance that the difference is below the margin."""
        return float(ndtr((margin - self.mean) / self.sd))


def least_loss(
    pairs: Pairs,
    names: Sequence[str],
    accuracies: Mapping[str, Interval],
    margin: Callable[[str, str], float],
) -> str:
    """Return the candidate of least expected loss, the cheaper of equals.

    Args:
        pairs: differences between candidates.
        names: the candidates, cheapest first.
        accuracies: of the candidates, for those that share no row.
        margin: the smallest gain of the dearer of two that matters.
    """

    def loss(place: int) -> float:
        name = names[place]
        over = (
            law_of(pairs, other, name, accuracies).excess(margin(other, name)) for other in names
        )
        needless = (
            margin(name, c) * law_of(pairs, name, c, accuracies).below(margin(name, c))
            for c in names[:place]
        )
        return max(over) + max(needless, default=0.0)

    return names[min(range(len(names)), key=loss)]


def law_of(pairs: Pairs, a: str, b: str, accuracies: Mapping[str, Interval]) -> Law:
    """Return what accuracy of a minus b may truly be."""
    if a == b:
        return Law(0.0, 1e-9)
    found = pairs.difference(a, b)
    if found is not None:
        value, error = found.value, (found.high - found.low) / (2 * Z)
    else:
        value = accuracies[a].value - accuracies[b].value
        error = hypot(_error(accuracies[a]), _error(accuracies[b]))
    kept = SPREAD**2 / (SPREAD**2 + error**2)
    return Law(kept * value, max(sqrt(kept) * error, 1e-9))


def _error(interval: Interval) -> float:
    assert interval.low is not None
    assert interval.high is not None
    return (interval.high - interval.low) / (2 * Z)

"""The candidate of least expected loss: what is used while a comparison is open.

The true difference of two candidates is given a normal law: the measured one, shrunk toward 0 by a
prior. Using the costlier of two where it gains less than the margin loses the margin; using one
that is behind by more than the margin loses what lies beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, hypot, pi, sqrt
from typing import NamedTuple

from scipy.special import ndtr

from choose.judge.scores.paired_comparison import Pairs
from choose.schema.base import Interval

# Standard deviation of true differences between candidates, as a fraction of the rows.
SPREAD = 0.1

# Half the width of a normal 95 % interval in standard errors; few repetitions widen an interval
# beyond its standard error, and here they count as if the error were that much larger.
Z = 1.96


class NormalLaw(NamedTuple):
    """A normal law of a true difference."""

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
    among: Sequence[str] | None = None,
) -> str:
    """Return the candidate of least expected loss, the cheaper of equals.

    Args:
        pairs: differences between candidates.
        names: the candidates, cheapest first.
        accuracies: of the candidates, for those that share no row.
        margin: the smallest gain of the costlier of two that matters.
        among: those to choose from, such as the members of a family; all unless given.
    """

    def loss(name: str) -> float:
        over = (
            law_of_difference(pairs, other, name, accuracies).excess(margin(other, name))
            for other in names
        )
        needless = (
            margin(name, c) * law_of_difference(pairs, name, c, accuracies).below(margin(name, c))
            for c in names[: names.index(name)]
        )
        return max(over) + max(needless, default=0.0)

    return min((n for n in names if among is None or n in among), key=loss)


def law_of_difference(
    pairs: Pairs, a: str, b: str, accuracies: Mapping[str, Interval]
) -> NormalLaw:
    """Return the posterior law of accuracy of a minus b, shrunk toward 0 by the prior `SPREAD`."""
    if a == b:
        return NormalLaw(0.0, 1e-9)
    difference = pairs.difference(a, b)
    if difference is not None:
        value, error = difference.value, (difference.high - difference.low) / (2 * Z)
    else:
        value = accuracies[a].value - accuracies[b].value
        error = hypot(_error(accuracies[a]), _error(accuracies[b]))
    shrinkage = SPREAD**2 / (SPREAD**2 + error**2)
    return NormalLaw(shrinkage * value, max(sqrt(shrinkage) * error, 1e-9))


def _error(interval: Interval) -> float:
    assert interval.low is not None
    assert interval.high is not None
    return (interval.high - interval.low) / (2 * Z)

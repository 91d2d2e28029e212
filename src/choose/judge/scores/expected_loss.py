"""The choice of least expected loss: what is used while a comparison is open.

The true difference of two candidates is given a normal law: the measured one, shrunk toward 0 by a
prior. Using one that is behind by more than the margin loses what lies beyond the margin. Using
the costlier of two where it gains less than the margin loses `NEEDLESS` of the margin.
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


# What is lost by paying for a gain of less than the margin, as a share of the margin: from nothing
# to all of it, depending on the gain. Half gave up least on replayed and simulated studies.
NEEDLESS = 0.5


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
    names: Sequence[str],
    law: Callable[[str, str], NormalLaw],
    margin: Callable[[str, str], float],
) -> str:
    """Return the candidate of least expected loss, the cheaper of equals.

    Args:
        names: the candidates, cheapest first.
        law: of the true accuracy of the first of two minus that of the second.
        margin: the smallest gain of the costlier of two that matters.
    """

    def loss(place: int) -> float:
        name = names[place]
        over = (law(other, name).excess(margin(other, name)) for other in names if other != name)
        needless = (
            NEEDLESS * margin(name, cheaper) * law(name, cheaper).below(margin(name, cheaper))
            for cheaper in names[:place]
        )
        return max(over, default=0.0) + max(needless, default=0.0)

    return names[min(range(len(names)), key=loss)]


def law_of_difference(
    pairs: Pairs, a: str, b: str, accuracies: Mapping[str, Interval]
) -> NormalLaw:
    """Return the posterior law of accuracy of a minus b, shrunk toward 0 by the prior `SPREAD`."""
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

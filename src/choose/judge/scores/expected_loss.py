"""The choice of least expected loss: what is used while a comparison is open.

The true scores of all candidates have a joint law (`joint_law`). Using one that is behind by more
than the margin loses what lies beyond the margin. Using the costlier of two where it gains less
than the margin loses `NEEDLESS` of the margin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, pi, sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from choose.judge.scores.joint_law import JointLaw

# What is lost by paying for a gain of less than the margin, as a share of the margin: from nothing
# to all of it, depending on the gain. More costs accuracy on replayed decisions on real sets, and
# lets the family change more often as a budget grows; less is paid for nothing more often.
NEEDLESS = 0.2


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


def least_loss(law: JointLaw, names: Sequence[str], margin: Callable[[str, str], float]) -> str:
    """Return the candidate of least expected loss, the cheaper of equals.

    Args:
        law: of the true scores of these candidates, and perhaps of others.
        names: the candidates, cheapest first.
        margin: the smallest gain of the costlier of two that matters.
    """
    scores = law.points()[:, [law.names.index(name) for name in names]]
    least = np.array([[margin(a, b) if a != b else 0.0 for b in names] for a in names])

    def loss(place: int) -> float:
        lead = scores - scores[:, [place]]
        beyond = (lead - least[place]).max(axis=1)
        cheaper = slice(place)
        paid = NEEDLESS * least[place, cheaper] * (-lead[:, cheaper] < least[place, cheaper])
        return float(beyond.clip(0.0).mean() + paid.max(axis=1, initial=0.0).mean())

    return names[min(range(len(names)), key=loss)]


def law_of_difference(law: JointLaw, a: str, b: str) -> NormalLaw:
    """Return the law of the true score of a minus that of b."""
    first, second = law.names.index(a), law.names.index(b)
    both = law.covariance[np.ix_((first, second), (first, second))]
    variance = both[0, 0] + both[1, 1] - 2 * both[0, 1]
    return NormalLaw(float(law.mean[first] - law.mean[second]), max(sqrt(variance), 1e-9))

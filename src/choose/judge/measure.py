"""What an answer counts: each row the same, each label the same, or by what errors cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from choose.judge.metrics import Codes
from choose.types import Floats

Metric = Literal["accuracy", "balanced", "cost"]

# What an error costs that the study gives no cost of.
USUAL_COST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What "right" means in every figure of a study.

    Attributes:
        metric: ``accuracy``; ``balanced``, the mean of the labels' recalls (Brodersen et al. 2010);
            or ``cost``, by which an error leaves of a right answer what it does not cost, as a
            share of the dearest error that is named, or of 1 where none costs more.
        error_costs: by label, then by answer, what that error costs.
    """

    metric: Metric = "accuracy"
    error_costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def by_rows(self) -> bool:
        """Return whether figures are plain shares of rows."""
        return self.metric == "accuracy"

    def credit(self, labels: Sequence[str]) -> Floats | None:
        """Return (labels, labels + 1) what an answer to a row of a label counts, from 0 to 1.

        The last column is for unusable answers, which cost what the dearest error on that label
        does. None where errors count alike.
        """
        if self.metric != "cost":
            return None
        costs = np.full((len(labels), len(labels)), USUAL_COST)
        place = {label: i for i, label in enumerate(labels)}
        for label, by_answer in self.error_costs.items():
            for answer, cost in by_answer.items():
                if label in place and answer in place:  # an older study may know fewer labels
                    costs[place[label], place[answer]] = cost
        np.fill_diagonal(costs, 0.0)
        costs = np.concatenate([costs, costs.max(axis=1, keepdims=True)], axis=1)
        stated = (cost for row in self.error_costs.values() for cost in row.values())
        # Not the dearest of these labels: another study may have others, and the unit must stay.
        found: Floats = 1.0 - costs / max(USUAL_COST, *stated)
        return found

    def weights(self, targets: Codes, stated: Floats | None) -> Floats | None:
        """Return (n,) the weights of rows of these labels, given those that the data states."""
        return evened(targets, stated) if self.metric == "balanced" else stated


ACCURACY = Measure()


def evened(targets: Codes, stated: Floats | None = None) -> Floats | None:
    """Return (n,) weights by which every label that occurs has the same say; None if all do.

    An interval takes the weights for given, so part of what labels differ in passes for chance.
    """
    own = np.ones(len(targets)) if stated is None else stated
    said = np.bincount(targets, weights=own)
    occurs = said[said > 0]
    if stated is None and np.allclose(occurs, occurs[0]):
        return None
    found: Floats = own / said[targets] * own.sum() / len(occurs)
    return found

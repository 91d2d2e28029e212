"""The goal of a study: metric, margin, target, deployment and the version of the decision rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from choose.schema.scorecard import MONTHS
from choose.stats.metrics import Codes
from choose.types import Floats

# What an error costs that the study gives no cost of.
USUAL_COST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What "right" means in every figure of a study.

    Attributes:
        metric: ``accuracy``; ``balanced``, the mean of the labels' recalls (Brodersen et al. 2010);
            ``cost``: a right answer counts 1, an error 1 minus its cost relative to the most
            expensive error in `error_costs` (at least 1); or, for answers that are no labels, the
            headline metric of the task.
        error_costs: by label, then by answer, what that error costs.
    """

    metric: str = "accuracy"
    error_costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def by_rows(self) -> bool:
        """Return whether figures are plain shares of rows."""
        return self.metric == "accuracy"

    def credit(self, labels: Sequence[str]) -> Floats | None:
        """Return (labels, labels + 1) scores from 0 to 1 by true label and answer.

        The last column is for unusable answers, which cost as much as the most expensive error on
        that label. None if all errors count alike.
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
        # Not the maximum over these labels: the unit must not depend on which labels a study has.
        credits: Floats = 1.0 - costs / max(USUAL_COST, *stated)
        return credits

    def weights(self, targets: Codes, stated: Floats | None) -> Floats | None:
        """Return (n,) the weights of rows of these labels, given those that the data states."""
        return evened(targets, stated) if self.metric == "balanced" else stated


ACCURACY = Measure()


def evened(targets: Codes, stated: Floats | None = None) -> Floats | None:
    """Return (n,) weights that balance the labels; None if they are balanced already.

    Intervals treat the weights as fixed, so part of the variance between labels counts as chance.
    """
    own = np.ones(len(targets)) if stated is None else stated
    totals = np.bincount(targets, weights=own)
    occurs = totals[totals > 0]
    if stated is None and np.allclose(occurs, occurs[0]):
        return None
    balanced: Floats = own / totals[targets] * own.sum() / len(occurs)
    return balanced


# Raise whenever the same evidence can lead to another verdict.
RULE = "16"


# The smallest gain that matters where the study states none.
USUAL_MARGIN = 0.02


def margin_or_usual(stated: float | None) -> float:
    """Return the margin that a study states, which may be 0, or the usual one."""
    return USUAL_MARGIN if stated is None else stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a study states before it runs; fractions, so a margin of 0.02 is two points.

    Attributes:
        target: accuracy that must be reached, or None.
        measure: what "right" means in every figure.
        margin: the smallest gain that matters.
        minutes_per_label: what one more label takes, or None.
        hourly_rate: dollars for an hour of labelling, or None.
        usd_per_hour: dollars for an hour of the machine that answers, or None.
        volume: answers needed per month, or None.
        agreement: whose answers are taken for right ones; empty where they are known to be right.
        max_ms: milliseconds that an answer may take, or None.
        max_usd_per_1k: dollars that 1,000 answers may cost, or None.
        on_premises: whether no model may be named that another machine serves.
    """

    target: float | None = None
    measure: Measure = ACCURACY
    margin: float = USUAL_MARGIN
    minutes_per_label: float | None = None
    hourly_rate: float | None = None
    usd_per_hour: float | None = None
    volume: float | None = None
    agreement: str = ""
    max_ms: float | None = None
    max_usd_per_1k: float | None = None
    on_premises: bool = False
    version: str = RULE

    @property
    def answers(self) -> float | None:
        """Return the answers of a year."""
        return None if self.volume is None else MONTHS * self.volume

    def record(self) -> dict[str, Any]:
        return asdict(self)

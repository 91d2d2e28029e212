"""The goal of a study: metric, margin, target, deployment and the version of the decision rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from choose.schema.candidate_scorecard import MONTHS
from choose.stats.metrics import Codes
from choose.types import Floats


def evened(targets: Codes) -> Floats | None:
    """Return (n,) weights that balance the labels; None if they are balanced already.

    Intervals treat the weights as fixed, so part of the variance between labels counts as chance.
    """
    totals = np.bincount(targets).astype(np.float64)
    occurs = totals[totals > 0]
    if np.allclose(occurs, occurs[0]):
        return None
    balanced: Floats = 1.0 / totals[targets] * len(targets) / len(occurs)
    return balanced


# Raise whenever the same evidence can lead to another verdict.
RULE = "17"


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
        metric: what "right" means in every figure: ``accuracy``; ``balanced``, the mean of the
            labels' recalls (Brodersen et al. 2010); or, for answers that are no labels, the
            headline metric of the task.
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
    metric: str = "accuracy"
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
        return None if self.volume is None else MONTHS * self.volume

    @property
    def by_rows(self) -> bool:
        return self.metric == "accuracy"

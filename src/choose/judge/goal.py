"""The goal of a study: metric, margin, target, deployment and the version of the decision rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, Literal

import numpy as np

from choose.judge.stats.metrics import Codes
from choose.schema.score_names import noun_of
from choose.types import Floats

# The metrics of answers that are labels.
Metric = Literal["accuracy", "balanced", "cost"]

# A month in days: the mean of the Gregorian calendar.
DAYS = 30.436875


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Assumptions about use after the study; None is unknown and leaves dollars unknown.

    Attributes:
        value_per_right_answer: dollars that a right answer is worth more than a wrong one.
        volume_per_month: answers needed per month.
        horizon_months: over how long costs and value are added up.
        start: the day on which use begins, as an ISO date.
        engineer_rate: dollars for an hour of engineering.
        engineer_hours: hours to build, by candidate or by family; the candidate's own count first.
        new_labels: rows to be labelled before the build; those of the study are paid for.
        refresh_months: how often it is built again on newer data; None is never.
        refresh_labels: rows to be labelled for each refresh.
        refresh_hours: engineer hours of each refresh, as in `engineer_hours`.
        tasks: tasks that one base is to serve.
        machine_gb: memory of the machine whose hour is priced.
    """

    value_per_right_answer: float | None = None
    volume_per_month: float | None = None
    horizon_months: float | None = None
    start: str | None = None
    engineer_rate: float | None = None
    engineer_hours: Mapping[str, float] = field(default_factory=dict)
    new_labels: int = 0
    refresh_months: float | None = None
    refresh_labels: int | None = None
    refresh_hours: Mapping[str, float] = field(default_factory=dict)
    tasks: int | None = None
    machine_gb: float | None = None

    def refreshes(self, months: float) -> int:
        """Return the refreshes within so many months; none is due on the last day."""
        if self.refresh_months is None:
            return 0
        # A hair's breadth, so that 12 months of 30.4 days hold what 12 months hold.
        return max(ceil(months / self.refresh_months - 1e-9) - 1, 0)


UNSAID = Deployment()


def hours_of(hours: Mapping[str, float], name: str, family: str) -> float | None:
    """Return a candidate's hours, by its name or else its family; None where neither is given."""
    return hours.get(name, hours.get(family))


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

    @property
    def noun(self) -> str:
        """Return what a score is a percentage of: ``right``, ``mean recall``; or the metric."""
        return noun_of(self.metric)

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
RULE = "13"


# The smallest gain that matters where neither the study nor its prices say.
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
        margin_from: the source of the margin: stated, default, or derived from prices
            (see `margins`).
        minutes_per_label: what one more label takes, or None.
        hourly_rate: dollars for an hour of labelling, or None.
        qa_share: of the labels, that are given a second time to check them.
        usd_per_machine_hour: dollars for an hour of the machine that answers, or None.
        out_of_scope: the label of rows that none of the others fits, or None.
        deployment: what is known of the time after the study.
    """

    target: float | None = None
    measure: Measure = ACCURACY
    margin: float = USUAL_MARGIN
    margin_from: Literal["stated", "default", "derived"] = "stated"
    minutes_per_label: float | None = None
    hourly_rate: float | None = None
    qa_share: float = 0.0
    usd_per_machine_hour: float | None = None
    out_of_scope: str | None = None
    deployment: Deployment = UNSAID
    version: str = RULE

    def record(self) -> dict[str, Any]:
        """Return the rule as in the decision record."""
        return asdict(self)

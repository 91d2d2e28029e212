"""What the judge reads: the facts of finished trials, and nothing of how they came about."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from math import ceil
from typing import Any, Literal

import numpy as np

from choose.formatting import normalised
from choose.judge.stats.metrics import Codes
from choose.schema.costs import TokenPrices
from choose.types import Dataset, Family, Floats, Run

# A month in days: the mean of the Gregorian calendar.
DAYS = 30.436875


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a study says of the time after it; None is not said, and leaves dollars unknown.

    Attributes:
        value_per_right_answer: dollars that a right answer is worth more than a wrong one.
        volume_per_month: answers asked for in a month.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """The rows that are asked, in a fixed order.

    Attributes:
        ids: one id a row.
        targets: the label of each row.
        clusters: the group or near-duplicate cluster of each row; its own id where it stands alone.
        weights: the weight of each row, or empty where all count the same.
        conflicting: ids of asked rows whose text also stands in the data under another label.
        annotators: who gave each label, or empty where the data does not say.
        questions: the same for rows with the same text; empty where no annotator is known.
    """

    ids: tuple[str, ...]
    targets: tuple[str, ...]
    clusters: tuple[str, ...]
    weights: tuple[float, ...] = ()
    conflicting: frozenset[str] = frozenset()
    annotators: tuple[str | None, ...] = ()
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateInfo:
    """A candidate as planned.

    Attributes:
        model: what it prompts, tunes or embeds with, as a report names it; None without a model.
        cheap: whether a fit takes a second or so without a GPU.
        seeded: whether the seed can change an answer given the same pool.
        learns: whether examples or seed can change an answer at all.
        constant: whether every row gets the same answer.
        reference: whether a prompted model that understands the task must be better.
        billions: parameters of the model in billions where known; else read off its name.
        behind: the model and the server, where it is behind an endpoint.
        concurrency: requests that were in flight at once there.
        warning: what a reader must know of every figure of it.
        token_prices: of its endpoint, or None where it runs on the machine or is not priced.
        retires: the day from which its model cannot be had any more, or None if none is known.
    """

    name: str
    strategy: str
    family: Family
    model: str | None = None
    cheap: bool = True
    seeded: bool = False
    learns: bool = True
    constant: bool = False
    reference: bool = False
    billions: float | None = None
    behind: str | None = None
    concurrency: int | None = None
    warning: str | None = None
    token_prices: TokenPrices | None = None
    retires: date | None = None

    @property
    def remote(self) -> bool:
        """Return whether an endpoint answers, so that the machine's hour is not what it costs."""
        return self.token_prices is not None or (self.model or "").startswith("endpoint:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One study, measured.

    The repetition of a trial is its `draw`: candidates are paired on it. On a whole pool a draw
    only carries the seed; on a smaller one it also decides which rows are learnt from.

    Attributes:
        name: of the labelled set.
        rows: labelled rows in all, asked or learnt from.
        labels: the task's labels in order.
        division: ``held-out`` or ``cross-fit``.
        pool_rows: size of the whole pool of each fold; a trial with fewer rows was drawn.
        pool: the rows that are only learnt from; none where every row is asked (cross-fit).
        dated: labelled rows with a timestamp; None where nobody counted.
        runs: every finished or failed trial of the grid, in any order.
        findings: what the reading of the data found, most serious first.
        machine: what the study ran on.
    """

    name: str
    fingerprint: str
    rows: int
    labels: tuple[str, ...]
    division: str
    items: Items
    candidates: tuple[CandidateInfo, ...]
    pool_rows: tuple[int, ...]
    runs: tuple[Run, ...]
    pool: Items = Items(ids=(), targets=(), clusters=())
    dated: int | None = None
    findings: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)


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


# "Several billion parameters": below this, prompting poorly says little about prompting.
BILLIONS = 3.0
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(?:\d+x)?(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z0-9])")


def billions_of(info: CandidateInfo) -> float | None:
    """Return the model's parameters in billions, as known or as its name says; None if neither."""
    if info.billions is not None or info.model is None:
        return info.billions
    return billions_in(info.model)


def billions_in(name: str) -> float | None:
    """Return the parameters in billions that a model's name states, or None if it states none."""
    found = [float(count) / (1000 if unit in "mM" else 1) for count, unit in _SIZE.findall(name)]
    return max(found, default=None)


def strong(info: CandidateInfo) -> bool:
    """Return whether the model has several billion parameters.

    One behind an endpoint is taken to have them unless its name says less.
    """
    if info.model is not None and info.model.startswith("endpoint:"):
        return info.billions is None or info.billions >= BILLIONS
    size = billions_of(info)
    return size is not None and size >= BILLIONS


# Raise whenever the same evidence can lead to another verdict.
RULE = "8"

# The smallest gain that matters where neither the study nor its prices say.
USUAL_MARGIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a study states before it runs; fractions, so a margin of 0.02 is two points.

    Attributes:
        target: accuracy that must be reached, or None.
        measure: what "right" means in every figure.
        margin: the smallest gain that matters.
        margin_from: who says so: the study, nobody, or the prices of the study (see `margins`).
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
        """Return the rule as it stands in the decision record."""
        return asdict(self)


def items_of(dataset: Dataset, ids: tuple[str, ...]) -> Items:
    """Return what the judge may know of these rows: never their texts."""
    targets_of_text: dict[str, set[str]] = defaultdict(set)
    for example in dataset.examples.values():
        targets_of_text[normalised(example.text, punctuation=True)].add(example.target)
    asked = [dataset.examples[id] for id in ids]
    signed = any(e.annotator is not None for e in asked)
    return Items(
        ids=tuple(e.id for e in asked),
        targets=tuple(e.target for e in asked),
        clusters=tuple(dataset.clusters.get(e.id, e.id) for e in asked),
        conflicting=frozenset(
            e.id for e in asked if len(targets_of_text[normalised(e.text, punctuation=True)]) > 1
        ),
        annotators=tuple(e.annotator for e in asked) if signed else (),
        questions=tuple(normalised(e.text, punctuation=True) for e in asked) if signed else (),
    )

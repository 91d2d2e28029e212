"""`decision.json`, schema 1: everything a report says, and nothing it would have to compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from choose.judge.frozen import Interval as Interval
from choose.judge.frozen import Record as Record
from choose.judge.record_audit import Audit
from choose.judge.record_costs import Breakeven, Move
from choose.judge.record_costs import Cost as Cost
from choose.judge.record_curves import Forecast, RiseRecord
from choose.judge.record_failures import Failures, Overlap
from choose.judge.record_method import Method
from choose.judge.record_service import Service
from choose.judge.record_stability import CoveragePoint, NewClass, NoiseKindPoint, Origin

Kind = Literal[
    "adopt", "baseline-is-enough", "none-works", "collect-labels", "fix-labels", "too-close"
]
Confidence = Literal["high", "medium", "low"]


class LabelRecord(Record):
    """Precision, recall and support of one label, over all repetitions of a candidate."""

    label: str
    precision: float | None
    recall: float | None
    support: int


class Variance(Record):
    """Standard deviation of accuracy by source; a source that was not varied is null."""

    test_rows: float | None = None
    draw: float | None = None
    seed: float | None = None
    wording: float | None = None


class Overfit(Record):
    """Accuracy on rows that were learnt from against rows that were not."""

    train: float | None = None
    test: float | None = None
    gap: float | None = None


class NoisePoint(Record):
    """Accuracy at a rate of label noise added to the pool."""

    rate: float
    accuracy: Interval


class Noise(Record):
    """Sensitivity to added label noise: change of accuracy for each 10 points of it."""

    slope: Interval | None = None
    area: float | None = None
    breakdown: float | None = None
    curve: tuple[NoisePoint, ...] = ()
    kinds: tuple[NoiseKindPoint, ...] = ()


class ViewPoint(Record):
    """One view of the questions: answers kept, and kept while right, against the clean view."""

    view: str
    agreement: float
    accuracy: float
    consistent_and_correct: float
    rows: int


class Stability(Record):
    """What happens when the question or the world changes."""

    agreement: float | None = None
    temporal_drop: Interval | None = None
    new_class_recall: float | None = None
    old_class_loss: float | None = None
    origins: tuple[Origin, ...] = ()
    new_class: NewClass | None = None
    views: tuple[ViewPoint, ...] = ()


class CurvePoint(Record):
    """Accuracy at a number of labels."""

    labels: int
    value: float
    low: float | None = None
    high: float | None = None


class Scorecard(Record):
    """What was measured of one candidate."""

    candidate: str
    strategy: str
    family: str
    model: str | None = None
    rows: int = 0
    repetitions: int = 0
    accuracy: Interval | None = None
    macro_f1: Interval | None = None
    per_class: tuple[LabelRecord, ...] = ()
    variance: Variance = Variance()
    churn: float | None = None
    overfit: Overfit = Overfit()
    noise: Noise = Noise()
    stability: Stability = Stability()
    out_of_scope_recall: float | None = None
    format_valid: float | None = None
    calibration_error: float | None = None
    selective: tuple[CoveragePoint, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    cost: Cost = Cost()
    service: Service | None = None
    errors: tuple[str, ...] = ()


class Pair(Record):
    """The paired difference in accuracy of two candidates, a minus b."""

    a: str
    b: str
    difference: Interval
    p: float | None
    p_holm: float | None
    method: str
    rows: int
    declared: bool


class Gate(Record):
    """A condition of the verdict with the figure it was judged on."""

    name: str
    status: Literal["pass", "fail", "unknown"]
    evidence: str


class Rejected(Record):
    """Why a candidate was not recommended."""

    candidate: str
    why: str


class Crossing(Record):
    """The number of labels at which one candidate overtakes another."""

    a: str
    b: str
    labels: Interval | None
    probability: float | None


class Verdict(Record):
    """The decision, its confidence, and what would change it."""

    kind: Kind
    recommended: str | None
    use_meanwhile: str
    family: str | None
    confidence: Confidence
    probability_best: float | None = None
    expected_regret: float | None = None
    headline: str
    reasons: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()
    flips: tuple[str, ...] = ()
    next: tuple[str, ...] = ()


class DatasetRecord(Record):
    """The labelled set that was judged on.

    `learnt` is how many labels the compared fits learnt from, of `pool` that were there for it; the
    largest of the folds, and null in records of earlier versions.
    """

    name: str
    fingerprint: str
    rows: int
    test_rows: int
    labels: tuple[str, ...]
    division: str
    findings: tuple[str, ...] = ()
    learnt: int | None = None
    pool: int | None = None


class Decision(Record):
    """The whole decision record."""

    schema_version: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    choose: str
    rule: str
    dataset: DatasetRecord
    goal: Mapping[str, Any]
    verdict: Verdict
    gates: tuple[Gate, ...]
    scorecards: tuple[Scorecard, ...]
    pairs: tuple[Pair, ...]
    crossings: tuple[Crossing, ...] = ()
    failures: Failures | None = None
    overlap: Overlap | None = None
    forecasts: tuple[Forecast, ...] = ()
    rises: tuple[RiseRecord, ...] = ()
    breakeven: tuple[Breakeven, ...] = ()
    moves: tuple[Move, ...] = ()
    looks: int
    left_out: tuple[str, ...] = ()
    audit: Audit | None = None
    method: Method | None = None
    machine: Mapping[str, Any] = {}

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

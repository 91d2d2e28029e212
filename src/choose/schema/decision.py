"""`decision.json`, schema 1: the verdict with its evidence, and the comparison of two studies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field

from choose.schema.base import Interval, Record
from choose.schema.costs import Breakeven, Move
from choose.schema.curves import CurveForecast, RiseRecord
from choose.schema.diagnosis import Audit, ErrorOverlap, Failures
from choose.schema.scorecard import Scorecard


class PromptText(Record):
    """What a candidate says to its model; `setting` names the variant, "" for its own setting."""

    candidate: str
    setting: str
    text: str


class Look(Record):
    """A judging of these test rows on a grid that had not been judged before."""

    when: str
    rule: str


class Note(Record):
    """What `fits` fits of a candidate noted; numbers that differ between them are ranges."""

    candidate: str
    text: str
    fits: int


class Method(Record):
    """Prompts, repetitions, looks, and the study's settings as a study file (TOML).

    Attributes:
        prompts: of the candidates that ask a model in words, as installed in the same revision.
        draws: the repetitions, which carry both the seed and the rows that are drawn.
        looks: the earliest first.
        notes: of the fits behind the accuracies: calibration, cut texts, stopping, failed requests.
        settings: without folders of the machine and without passwords in addresses.
    """

    prompts: tuple[PromptText, ...] = ()
    draws: tuple[int, ...] = ()
    looks: tuple[Look, ...] = ()
    notes: tuple[Note, ...] = ()
    settings: str = ""


Kind = Literal[
    "adopt", "baseline-is-enough", "none-works", "collect-labels", "fix-labels", "too-close"
]

GateStatus = Literal["pass", "fail", "unknown"]
Confidence = Literal["high", "medium", "low"]


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
    status: GateStatus
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
    """The labelled set of the study.

    `learnt` is the number of training rows of the compared fits, out of a training pool of `pool`
    rows; the largest of the folds, and null in records of earlier versions.
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
    overlap: ErrorOverlap | None = None
    forecasts: tuple[CurveForecast, ...] = ()
    rises: tuple[RiseRecord, ...] = ()
    breakeven: tuple[Breakeven, ...] = ()
    moves: tuple[Move, ...] = ()
    looks: int
    left_out: tuple[str, ...] = ()
    audit: Audit | None = None
    method: Method | None = None
    machine: Mapping[str, Any] = {}

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Side(Record):
    """One of the two studies, and what it decided."""

    name: str
    fingerprint: str
    kind: Kind
    recommended: str | None
    use_meanwhile: str
    confidence: Confidence
    headline: str

    @property
    def pick(self) -> str:
        """Return who is to be used, for good or meanwhile."""
        return self.recommended or self.use_meanwhile


class CommonRows(Record):
    """The test rows that two studies have in common.

    Rows meet where text and label are the same, by id or, where ids moved, by a text that stands
    once in either study; `moved` counts the latter. `relabelled` rows bear the same id and text
    under another label, `reworded` rows the same id with another text; neither is compared.
    `new` rows are test rows of the second study only, `gone` ones of the first only. `by_text` is
    false where a study stored no texts, so that rows meet by id and label alone.
    """

    before: int
    after: int
    common: int
    moved: int
    relabelled: int
    reworded: int
    new: int
    gone: int
    by_text: bool


class Change(Record):
    """Something that was fixed before the run and differs; null where a study lacks it."""

    what: str
    before: str | None
    after: str | None


class Shift(Record):
    """A candidate in the second study against one in the first, on the test rows of both.

    `difference` is the second minus the first. `same_fits` says that both studies hold the very
    same fits with the same answers: then nothing is estimated, the difference is 0 and has no p.
    `shown` is what the interval shows against the margin of the second study, and `p_holm` is
    corrected for all candidates compared.
    """

    before: str
    after: str
    accuracy_before: float
    accuracy_after: float
    difference: Interval
    p: float | None
    p_holm: float | None = None
    method: str
    rows: int
    repetitions: tuple[int, int]
    same_fits: bool
    shown: Literal["better", "equivalent", "worse", "not better", "open"]

    @property
    def significant(self) -> bool:
        """Whether the candidate changed, at 5 % after Holm's correction over all candidates."""
        return self.p_holm is not None and self.p_holm < 0.05


class Versus(Record):
    """The whole comparison of two studies."""

    schema_version: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    choose: str
    before: Side
    after: Side
    verdict_changed: bool
    why: tuple[str, ...]
    rows: CommonRows
    shifts: tuple[Shift, ...]
    not_compared: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    labels_new: tuple[str, ...] = ()
    labels_gone: tuple[str, ...] = ()
    candidates_new: tuple[str, ...] = ()
    candidates_gone: tuple[str, ...] = ()
    margin: float

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation: its name, the expected and the actual value, and whether it is met."""

    name: str
    expected: str
    found: str
    met: bool

    @property
    def sentence(self) -> str:
        """Say both in one line."""
        return f"Expected {self.expected}, found {self.found}."

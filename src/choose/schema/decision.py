"""`decision.json`, schema 1: the verdict with its evidence, and the comparison of two studies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field

from choose.schema.base import Interval, Record
from choose.schema.costs import Breakeven, Move
from choose.schema.diagnosis import Audit, Disagreement, ErrorOverlap, Failures
from choose.schema.plan import LeftOut
from choose.schema.reading_documents import (
    DocumentDrill,
    LossSplit,
    ReadingErrors,
)
from choose.schema.scorecard import CurveForecast, RiseRecord, Scorecard
from choose.schema.standings import FamilyResult, RareLabel, Standing, Step
from choose.schema.text_scores import AnswerErrors, ComparedRow


class PromptText(Record):
    """What a candidate says to its model; `setting` names the variant, "" for its own setting."""

    candidate: str
    setting: str
    text: str


class Look(Record):
    """A judging of these test rows on a grid that had not been judged before."""

    when: str
    rule: str


# How notes on what a search compared and cost begin.
SEARCHED = "The search compared"


class Note(Record):
    """What `fits` fits of a candidate noted; numbers that differ between them are ranges."""

    candidate: str
    text: str
    fits: int

    @property
    def of_search(self) -> bool:
        """Return whether it says what a search for settings compared."""
        return self.text.startswith(SEARCHED)


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
    "adopt",
    "baseline-is-enough",
    "none-works",
    "nothing-compared",
    "collect-labels",
    "fix-labels",
    "fix-documents",
    "fix-retrieval",
    "too-close",
]

GateStatus = Literal["pass", "fail", "unknown"]
Confidence = Literal["high", "medium", "low"]


class Pair(Record):
    """The paired difference in accuracy of two candidates, a minus b.

    `selected` tells whether a and b are the best members of their families, chosen on these rows:
    the interval counts that choice, so it is not the one of the two candidates alone.
    """

    a: str
    b: str
    difference: Interval
    p: float | None
    p_holm: float | None
    method: str
    rows: int
    declared: bool
    selected: bool = False


class Gate(Record):
    """A condition of the verdict with the figure it was judged on."""

    name: str
    status: GateStatus
    evidence: str


class Rejected(Record):
    """Why a candidate was not recommended."""

    candidate: str
    why: str


class Verdict(Record):
    """The decision, its confidence, and what would change it.

    Attributes:
        answer: the answer to "prompt, retrieve or fine-tune?" in at most twelve words, about
            families and without a statistical term; empty in records of earlier versions.
        because: which member of the family, and why that one.
        interim_reason: why `use_meanwhile` is the one to use; empty where it is recommended.
        families: every family of the question, the chosen one first.
        settled: what the evidence shows, a sentence each.
        open: what it does not show yet, a sentence each.
        headline: `answer`, `because` and `interim_reason` in one text; in records of earlier
            versions a sentence of its own.
        steps: what to do next, the most valuable first; `next` holds their texts.
        rare: labels that accuracy hardly sees, the rarest first; empty where the metric sees them.
    """

    kind: Kind
    answer: str = ""
    because: str = ""
    interim_reason: str = ""
    families: tuple[FamilyResult, ...] = ()
    settled: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    rare: tuple[RareLabel, ...] = ()
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
    rows; the largest of the folds, and null in records of earlier versions. `personal` counts the
    rows whose text seems to hold personal data or a key; null where the texts were not read.
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
    personal: int | None = None


class Decision(Record):
    """The whole decision record.

    Attributes:
        answer_errors: of answers that are records.
        side_by_side: of answers that are texts: rows on which candidates differ, none that seems to
            hold personal data or a key.
        loss_splits: of candidates that read documents: what they lose, by cause.
        without_evidence: questions with an answer that no document is known to hold.
        reading_errors: why the best of them is wrong, row by row.
        document_drill: what candidates answer after facts in the documents changed; null without.
        personal: ids of the rows listed in this record whose text seems to hold personal data or a
            key; reports list these rows without their text.
        left_out: what was planned and not measured.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    choose: str
    rule: str
    dataset: DatasetRecord
    goal: Mapping[str, Any]
    verdict: Verdict
    gates: tuple[Gate, ...]
    scorecards: tuple[Scorecard, ...]
    standings: tuple[Standing, ...] = ()
    pairs: tuple[Pair, ...]
    failures: Failures | None = None
    overlap: ErrorOverlap | None = None
    disagreement: Disagreement | None = None
    answer_errors: AnswerErrors | None = None
    side_by_side: tuple[ComparedRow, ...] = ()
    loss_splits: tuple[LossSplit, ...] = ()
    without_evidence: tuple[str, ...] = ()
    reading_errors: ReadingErrors | None = None
    document_drill: DocumentDrill | None = None
    personal: tuple[str, ...] = ()
    forecasts: tuple[CurveForecast, ...] = ()
    rises: tuple[RiseRecord, ...] = ()
    breakeven: tuple[Breakeven, ...] = ()
    moves: tuple[Move, ...] = ()
    looks: int
    left_out: tuple[LeftOut, ...] = ()
    audit: Audit | None = None
    method: Method | None = None
    machine: Mapping[str, Any] = {}

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

"""`check.json`, schema 1: everything that the audit of a labelled set says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydantic import ConfigDict, Field

from choose.formatting import plural
from choose.schema.base import Interval, Record
from choose.schema.diagnosis import Audit
from choose.schema.plan import DetectableGains
from choose.schema.target_facts import AnswerFacts, RelevanceFacts, SetFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Rows that hold something of a kind."""

    kind: str
    rows: int


# As Unicode's names of characters begin; scripts that are written without spaces come first.
UNSPACED = ("Han", "Japanese", "Thai", "Lao", "Khmer", "Myanmar")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCount:
    """The rows of one label."""

    label: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The labels, the most common first, and how uneven they are.

    Attributes:
        counts: rows of each label.
        majority: the share of the most common one, which is what answering it always gets.
        effective: the number of equally common labels with the same entropy.
        few: labels with fewer than five rows.
    """

    counts: tuple[LabelCount, ...]
    majority: float
    effective: float
    few: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Words and characters of a text; words are what is between spaces.

    Attributes:
        words: the median.
        words_95: all but five texts of a hundred have at most so many.
        longest: the most words of a text.
        characters: the median.
        long: texts of more than 256 words, which models cut.
        short: texts of one word or none.
    """

    words: float
    words_95: float
    longest: int
    characters: float
    long: int
    short: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The rows of one language, or of one script if the language is unknown."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Languages:
    """Languages by rows, the most common first, and the rows that are too short to tell."""

    found: tuple[Language, ...]
    unknown: int

    @property
    def unspaced(self) -> bool:
        """Return whether most rows of a known script are written without spaces."""
        known = sum(language.rows for language in self.found)
        return 2 * sum(x.rows for x in self.found if x.name in UNSPACED) > known


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflicts:
    """Texts with several labels, their rows, and the rows that no candidate can answer right."""

    texts: int
    rows: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """How many rows repeat another row; a row counts once, under the closest likeness.

    Attributes:
        exact: the text is another row's to the letter.
        normalised: the words are, case, spaces and punctuation set aside.
        near: the cosine of the words, weighted by rarity, is at least 0.9.
        chain: size of the largest cluster of near-duplicates.
    """

    exact: int
    normalised: int
    near: int
    chain: int

    @property
    def all(self) -> int:
        """Return the rows of any likeness."""
        return self.exact + self.normalised + self.near


class MixChange(Record):
    """The total variation distance of two label mixes: the share of rows that changed label.

    `expected` is its mean where nothing has changed, by permutation; `p` tells the two apart.
    """

    distance: float
    expected: float
    p: float


class TextChange(Record):
    """How well a classifier tells the two sets apart (C2ST; Lopez-Paz and Oquab 2017).

    `auc` is out of fold: 0.5 means that it cannot, 1 that it always can.
    """

    auc: Interval
    p: float


Status = Literal["good", "look", "unknown"]

IssueKind = Literal[
    "leak", "conflict", "suspected label", "duplicate", "near-duplicate", "rare label", "personal",
    "unlike target", "mixed type", "not in text", "copied",
    "not in passage", "in question", "long answer", "not in documents",
]  # fmt: skip


class FieldFacts(Record):
    """A field of the records.

    Attributes:
        type: as what it is compared: text, number, date or list.
        filled: rows that have it.
        in_text: share of its values that occur in the text or the further input of their rows;
            null for a field that no row has.
        types: JSON types of its values with their rows, the most common first.
    """

    name: str
    type: str
    filled: int
    in_text: float | None
    types: tuple[tuple[str, int], ...]


class Unlike(Record):
    """Two rows that are asked nearly the same and whose targets differ; `score` compares these."""

    row: str
    other: str
    score: float


class TargetFacts(Record):
    """What targets hold that are records or texts.

    Attributes:
        rows: rows with a target.
        distinct: different targets.
        empty: records without a value, or empty sets; null where targets have no parts.
        words: median words of a target, `words_95` all but five of a hundred; or null.
        longest: characters of the longest target.
        copied: targets that are the text of their row.
        commonest: rows with the most common target that is not empty.
        fields: the fields of records, the most frequent first; none for texts.
        unseen: fields, or labels of sets, of the test file that no row to learn from has.
        known: share of a test file's targets, without empty ones, that training rows have; or null.
        unlike: rows with nearly the same input and unlike targets.
        answers, sets, relevance: of answers, sets of labels or relevant documents; else null.
    """

    rows: int
    distinct: int
    empty: int | None
    words: float | None
    words_95: float | None
    longest: int
    copied: int
    commonest: int
    fields: tuple[FieldFacts, ...]
    unseen: tuple[str, ...]
    known: float | None
    unlike: tuple[Unlike, ...]
    answers: AnswerFacts | None = None
    sets: SetFacts | None = None
    relevance: RelevanceFacts | None = None


class Line(Record):
    """One check of the data: its topic, its status, and the finding."""

    topic: str
    status: Status
    says: str


class Step(Record):
    """Something to do first.

    Attributes:
        points: accuracy, out of 1, that is at stake at most; 0 where it is not accuracy that is.
        question: the question that the step or its figures answer; empty if it is evident.
        command: what to type, without a prompt; null where nothing is to be typed.
        first: false for a step that need not be taken before a study.
    """

    says: str
    points: float
    question: str = ""
    command: str | None = None
    first: bool = True


class Drift(Record):
    """The earliest third of the dated rows against the latest.

    Of records, `labels` is the mix of the fields that they fill, and `appeared` and `vanished` are
    fields; of texts, it is the mix of their lengths.
    """

    early: int
    late: int
    early_from: date
    late_to: date
    labels: MixChange
    texts: TextChange | None
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]


class Issue(Record):
    """One row with one thing to look at; `other` is the row it repeats or contradicts."""

    row: str
    kind: IssueKind
    label: str
    suggested: str | None = None
    other: str | None = None
    says: str = ""


class Check(Record):
    """The audit; what could not be measured is null, as is what needs labels where there are none.

    `across` counts test rows that repeat a row to learn from, and is null where there is no test
    file: the division then keeps such rows on one side. `audited_in` is the folder of the study
    whose audit of the labels this is; null where the text baseline audited them. `personal` holds
    counts and nothing that was matched. `issues` names rows, never their texts.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    choose: str
    name: str
    fingerprint: str
    rows: int
    left_out: int
    kind: str = "classification"
    test_rows: int
    division: str
    headline: str
    first: tuple[Step, ...]
    lines: tuple[Line, ...]
    reach: DetectableGains
    balance: Balance | None
    within: Repeats
    across: Repeats | None
    conflicts: Conflicts | None
    targets: TargetFacts | None = None
    audit: Audit | None
    audited_in: str | None = None
    lengths: Lengths
    languages: Languages
    drift: Drift | None
    personal: tuple[Hint, ...]
    findings: tuple[str, ...]
    issues: tuple[Issue, ...]
    seconds: float

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def answers(self) -> str:
        """Return what the answers are: the number of labels, or else the kind of task."""
        return self.kind if self.balance is None else plural(len(self.balance.counts), "label")

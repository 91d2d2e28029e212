"""`check.json`, schema 1: everything that the audit of a labelled set says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydantic import ConfigDict, Field

from choose.formatting import plural
from choose.schema.base import Command, Interval, Record
from choose.schema.diagnosis import Audit
from choose.schema.plan import DetectableGains


class CorpusFacts(Record):
    """The documents that questions are answered from.

    Attributes:
        passages: of at most 100 words, whole sentences of one document.
        dated: documents with a date.
        repeated: documents with the text of an earlier one.
        copies: the ids of documents that have one text, for each such text.
        without: questions with an answer that no document is known to hold.
        reworded: questions whose document holds the answer in other words.
    """

    documents: int
    passages: int
    words: int
    dated: int
    repeated: int
    copies: tuple[tuple[str, ...], ...] = ()
    without: int
    reworded: int


class AnswerFacts(Record):
    """What the answers to the questions of a labelled set hold, as counts of rows.

    Attributes:
        unanswerable: without an answer; `few_unanswerable` says that these are some, but too few.
        several: with several accepted answers.
        passage: the field that holds what is read for an answer, or null.
        absent: of which no accepted answer occurs in the passage; null without one.
        in_question: whose answer occurs in the question.
        corpus: the documents that answers are in; null where there are none.
    """

    unanswerable: int
    few_unanswerable: bool
    several: int
    passage: str | None
    absent: int | None
    in_question: int
    corpus: CorpusFacts | None = None


class RelevanceFacts(Record):
    """What the relevant documents of questions are, where documents are ranked.

    Attributes:
        mean: relevant documents of a question on average; `most` at most.
        single: questions with a single one; `over` with more than the ranks that count.
        graded: questions with a grade other than 1.
        corpus: the documents.
    """

    mean: float
    most: int
    single: int
    over: int
    graded: int
    corpus: CorpusFacts


class SetFacts(Record):
    """What sets of labels hold.

    Attributes:
        counts: the rows with each label, the most frequent first.
        mean: labels of a row on average; `most` at most.
    """

    counts: tuple[tuple[str, int], ...]
    mean: float
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Rows that hold something of a kind."""

    kind: str
    rows: int


# As Unicode's names of characters begin; scripts that are written without spaces come first.
UNSPACED = ("Han", "Japanese", "Thai", "Lao", "Khmer", "Myanmar")

# The language that the default encoder was trained on, and the share of texts in others that is
# said; languages of less than `NAMED` of the rows are summed up: short texts are taken for others.
ENGLISH, FOREIGN, NAMED = "English", 0.3, 0.005

# Texts whose language is identified, and rows below which a label is rare.
SAMPLE, FEW = 5_000, 5


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
        few: labels with fewer than five rows.
    """

    counts: tuple[LabelCount, ...]
    majority: float
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
    def foreign(self) -> tuple[Language, ...]:
        """Return the languages that the default encoder lacks, if many texts are in them."""
        others = tuple(x for x in self.found if x.name != ENGLISH)
        rows = sum(x.rows for x in self.found) + self.unknown
        return others if sum(x.rows for x in others) >= FOREIGN * rows else ()

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

Topic = Literal[
    "size", "wrong-labels", "overlap", "conflicts", "balance",
    "fields", "types", "values", "labels", "sets", "copies", "contradictions",
    "answers", "passage", "in-the-question", "relevance", "documents",
    "evidence", "same-documents",
    "test-file", "duplicates", "time", "languages", "lengths", "personal-data", "rows", "reading",
]  # fmt: skip

StepCode = Literal[
    "secrets", "metric", "leaks", "conflicts", "doubted-labels", "rare-labels", "cross-validate",
    "more-rows", "contradictions", "mixed-types", "values", "copies", "rare-fields",
    "not-in-passage", "in-question", "not-in-documents", "same-documents",
]  # fmt: skip

IssueKind = Literal[
    "leak", "conflict", "suspected label", "duplicate", "near-duplicate", "rare label", "personal",
    "unlike target", "mixed type", "not in text", "copied",
    "not in passage", "in question", "not in documents", "reworded",
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


class FoundLabel(Record):
    """Of a label's rows, those that the baseline finds, and how often it says that label."""

    rows: int
    right: int
    said: int


class TargetFacts(Record):
    """What targets hold that are records or texts.

    Attributes:
        rows: rows with a target.
        empty: records without a value, or empty sets; null where targets have no parts.
        copied: targets that are the text of their row.
        fields: the fields of records, the most frequent first; none for texts.
        rare: fields that hardly any row has; `own_form` those whose values are mostly written in
            another form than the text's; `invented` those whose values nearly always occur in the
            text, and in the rows of `suspects` do not.
        slips: by field, the rows whose value is of a type that few rows have.
        unseen: fields, or labels of sets, of the test file that no row to learn from has.
        unlike: rows with nearly the same input and unlike targets.
        answers, sets, relevance: of answers, sets of labels or relevant documents; else null.
    """

    rows: int
    empty: int | None
    copied: int
    fields: tuple[FieldFacts, ...]
    rare: tuple[str, ...] = ()
    own_form: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    slips: Mapping[str, tuple[str, ...]] = {}
    unseen: tuple[str, ...]
    unlike: tuple[Unlike, ...]
    answers: AnswerFacts | None = None
    sets: SetFacts | None = None
    relevance: RelevanceFacts | None = None


class Line(Record):
    """One check of the data; the figures are in the fields of the audit."""

    topic: Topic
    status: Status


class Step(Record):
    """Something to do first.

    Attributes:
        points: accuracy, out of 1, that is at stake at most; 0 where it is not accuracy that is.
        rows: ids of the rows that are concerned, or the first of them.
        names: labels, fields or documents that are concerned.
        count: pairs or documents.
        sizes: differences that more test rows detect, by their number.
        command: what to type; null where nothing is to be typed.
        first: false for a step that need not be taken before a study.
    """

    code: StepCode
    points: float = 0.0
    rows: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    count: int = 0
    sizes: Mapping[int, float] = {}
    command: Command | None = None
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
    """One row with one thing to look at.

    `other` is the row it repeats or contradicts; `detail` a likeness, type, score or kind of
    personal data.
    """

    row: str
    kind: IssueKind
    label: str = ""
    suggested: str | None = None
    other: str | None = None
    detail: str = ""


class Check(Record):
    """The audit; what could not be measured is null, as is what needs labels where there are none.

    `across` counts test rows that repeat a row to learn from, and is null where there is no test
    file: the division then keeps such rows on one side. `audited_in` is the folder of the study
    whose audit of the labels this is; null where the text baseline audited them. `personal` holds
    counts and nothing that was matched. `issues` names rows, never their texts.

    Attributes:
        compare: the command that compares on these rows.
        test_file: usable rows of a test file; `grouped` of them share a group with a training row.
        broken_chain: whether the longest chain of near-duplicates is too long to keep together.
        alike: texts with several labels, if punctuation does not count.
        dominant: whether one label has most rows.
        hidden: labels that the metric hardly counts, the rarest first; `rarest` is how the text
            baseline does on that one.
        sampled: whether labels of a sample were audited.
        dated: rows with a date.
        unseen: labels of the test file that no training row has.
        group: a column that may say which rows belong together.
        notes, dropped, order_of_rows: how the rows were read, which were left out, and whether
            they are sorted, as `data` says it.
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
    compare: Command
    first: tuple[Step, ...]
    lines: tuple[Line, ...]
    reach: DetectableGains
    test_file: int | None = None
    grouped: int = 0
    broken_chain: bool = False
    alike: int = 0
    dominant: bool = False
    hidden: tuple[LabelCount, ...] = ()
    rarest: FoundLabel | None = None
    sampled: bool = False
    dated: int = 0
    unseen: tuple[str, ...] = ()
    group: str | None = None
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    order_of_rows: tuple[str, ...] = ()
    balance: Balance | None = None
    within: Repeats
    across: Repeats | None
    conflicts: Conflicts | None = None
    targets: TargetFacts | None = None
    audit: Audit | None = None
    audited_in: str | None = None
    lengths: Lengths
    languages: Languages
    drift: Drift | None
    personal: tuple[Hint, ...]
    issues: tuple[Issue, ...]
    seconds: float

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def answers(self) -> str:
        """Return what the answers are: the number of labels, or else the kind of task."""
        return self.kind if self.balance is None else plural(len(self.balance.counts), "label")

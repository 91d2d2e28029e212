"""`check.json`, schema 1: everything that the audit of a labelled set says."""

from collections.abc import Mapping
from math import inf
from typing import Literal, NamedTuple

from choose.formatting import plural
from choose.schema.base import Command, File, Record
from choose.schema.diagnosis import Audit
from choose.schema.plan import DetectableGains


class CorpusFacts(Record):
    """The documents that questions are answered from.

    Attributes:
        passages: of at most 100 words, whole sentences of one document.
        copies: the ids of documents with the text of an earlier one.
        touched: questions that one of these, or the earlier one, answers.
    """

    documents: int
    passages: int
    words: int
    copies: tuple[str, ...] = ()
    touched: int = 0


class Count(Record):
    """The rows with a label."""

    name: str
    rows: int


# Rows below which a label is rare.
FEW = 5

# Fewer questions without an answer than this teach no model when to give none.
FEWEST = 10

# One label has most rows from this share on.
MAJORITY = 0.6


class Balance(Record):
    """The labels, the most common first, and how uneven they are.

    Attributes:
        counts: rows of each label.
        majority: the share of the most common one, which is what answering it always gets.
        few: labels with fewer than five rows.
    """

    counts: tuple[Count, ...]
    majority: float
    few: tuple[str, ...]

    @property
    def dominant(self) -> bool:
        return self.majority >= MAJORITY


class Conflicts(Record):
    """Texts with several labels, their rows, and the rows that no candidate can answer right."""

    texts: int
    rows: int
    lost: int


class Repeats(Record):
    """How many rows repeat another row; a row counts once, under the closest likeness.

    Attributes:
        exact: the text is another row's to the letter.
        normalised: the words are, case, spaces and punctuation set aside.
        near: the cosine of the words, weighted by rarity, is at least 0.9.
    """

    exact: int
    normalised: int
    near: int

    @property
    def all(self) -> int:
        return self.exact + self.normalised + self.near


Status = Literal["good", "look", "unknown"]

Topic = Literal[
    "size", "wrong-labels", "conflicts", "balance", "fields", "labels", "answers", "documents",
    "evidence", "test-file", "duplicates", "languages", "rows", "reading",
]  # fmt: skip

StepCode = Literal[
    "metric", "leaks", "conflicts", "doubted-labels", "rare-labels", "contradictions", "values",
    "rare-fields", "not-in-passage", "not-in-documents", "same-documents",
]  # fmt: skip

IssueKind = Literal[
    "leak", "conflict", "suspected label", "duplicate", "near-duplicate", "rare label",
    "unlike target", "not in text", "not in passage", "not in documents", "reworded",
]  # fmt: skip


class FieldFacts(Record):
    """A field of the records.

    Attributes:
        type: as what it is compared: text, number, date or list.
        filled: rows that have it.
        in_text: share of its values that occur in the text or the further input of their rows;
            null for a field that no row has.
    """

    name: str
    type: str
    filled: int
    in_text: float | None


class TargetFacts(Record):
    """What targets hold that are records or texts.

    Attributes:
        rows: rows with a target.
        empty: records without a value, or empty sets; null where targets have no parts.
        fields: the fields of records, the most frequent first; none for texts.
        rare: fields that hardly any row has.
        unseen: fields, or labels of sets, of the test file that no row to learn from has.
        labels: of sets, each with its rows, the most frequent first.
        unanswerable: questions without an answer; null where none is asked.
        passage: the field that holds what is read for an answer, or null.
        corpus: the documents that answers are in, or that are ranked; null where there are none.
    """

    rows: int
    empty: int | None
    fields: tuple[FieldFacts, ...]
    rare: tuple[str, ...] = ()
    unseen: tuple[str, ...]
    labels: tuple[tuple[str, int], ...] = ()
    unanswerable: int | None = None
    passage: str | None = None
    corpus: CorpusFacts | None = None

    @property
    def few_unanswerable(self) -> bool:
        """Return whether too few have no answer to teach a model when to give none."""
        return 0 < (self.unanswerable or 0) < FEWEST


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
        command: what to type; null where nothing is to be typed.
    """

    code: StepCode
    points: float = 0.0
    rows: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    count: int = 0
    command: Command | None = None


class Issue(Record):
    """One row with one thing to look at.

    `other` is the row it repeats or contradicts; `detail` a likeness, type or score.
    """

    row: str
    kind: IssueKind
    label: str = ""
    suggested: str | None = None
    other: str | None = None
    detail: str = ""


class Check(File):
    """The audit; what could not be measured is null, as is what needs labels where there are none.

    `across` counts test rows that repeat a row to learn from, and is null where there is no test
    file: the division then keeps such rows on one side. `audited_in` is the folder of the study
    whose audit of the labels this is; null where the text baseline audited them. `issues` names
    rows, never their texts.

    Attributes:
        compare: the command that compares on these rows.
        test_file: usable rows of a test file.
        hidden: labels that the metric hardly counts, the rarest first.
        sampled: whether labels of a sample were audited.
        unseen: labels of the test file that no training row has.
        group: a column that may say which rows belong together.
        notes, dropped: how the rows were read, and which were left out, as `data` says it.
        foreign: share of texts with letters that English lacks.
    """

    name: str
    fingerprint: str
    rows: int
    left_out: int
    kind: str = "classification"
    test_rows: int
    division: str
    compare: Command
    first: tuple[Step, ...] = ()
    lines: tuple[Line, ...] = ()
    reach: DetectableGains
    test_file: int | None = None
    hidden: tuple[Count, ...] = ()
    sampled: bool = False
    unseen: tuple[str, ...] = ()
    group: str | None = None
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    balance: Balance | None = None
    within: Repeats
    across: Repeats | None
    conflicts: Conflicts | None = None
    targets: TargetFacts | None = None
    audit: Audit | None = None
    audited_in: str | None = None
    foreign: float
    issues: tuple[Issue, ...]
    seconds: float = 0.0

    def named(self, kind: IssueKind) -> tuple[Issue, ...]:
        return tuple(issue for issue in self.issues if issue.kind == kind)

    def rows_with(self, kind: IssueKind) -> tuple[str, ...]:
        return tuple(dict.fromkeys(issue.row for issue in self.named(kind)))

    @property
    def crosses(self) -> bool:
        """Return whether all rows, cross-validated, would show the margin that test rows do not."""
        reach = self.reach
        if self.test_file is not None or (reach.usual or 1.0) <= reach.margin:
            return False
        independent = reach.independent / max(reach.rows, 1) * self.rows
        return reach.rows < self.rows and independent >= (reach.margin_rows or inf)

    @property
    def answers(self) -> str:
        """Return what the answers are: the number of labels, or else the kind of task."""
        return self.kind if self.balance is None else plural(len(self.balance.counts), "label")


class Checked(NamedTuple):
    """The audit of a labelled set, and the texts of its rows, which the record does not hold."""

    record: Check
    texts: Mapping[str, str]

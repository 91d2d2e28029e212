"""Data types that all modules share: tasks, rows, answers, trials, runs, datasets."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from choose.corpus import Passage, Span
from choose.files import digest, digest_rows

Family = Literal["baseline", "prompting", "retrieval", "fine-tuning"]
Status = Literal["ok", "off-list", "refused", "empty", "cut", "malformed", "abstained"]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
FAMILIES: tuple[Family, ...] = ("baseline", "prompting", "retrieval", "fine-tuning")

# What a verdict can be.
Kind = Literal[
    "adopt",
    "baseline-is-enough",
    "none-works",
    "incomplete",
    "collect-labels",
    "fix-labels",
    "fix-documents",
    "fix-retrieval",
    "too-close",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A row to predict; `passages`, best first, are what a control gives to read, if it does."""

    id: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    passages: tuple[Passage, ...] | None = None

    @property
    def content(self) -> tuple[str, ...]:
        """Return what identifies the question: id, text, fields and passages, if there are any."""
        given = ("passages", *(p.id for p in self.passages)) if self.passages is not None else ()
        return (self.id, self.text, *_flat("fields", self.fields), *given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One labelled row: the target is a label, a set of labels or a record as JSON, or a text.

    `accepted` are further right answers. `evidence` are places in documents with the answer.
    `taught` is what a teacher answered, None where it was not asked. A row that is not `labelled`
    has the teacher's answer as its target, and is never a test row.
    """

    id: str
    text: str
    target: str
    fields: Mapping[str, str] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    evidence: tuple[Span, ...] = ()
    timestamp: datetime | None = None
    group: str | None = None
    source: str | None = None
    taught: str | None = None
    labelled: bool = True

    def item(self) -> Item:
        return Item(id=self.id, text=self.text, fields=self.fields)

    @property
    def input(self) -> str:
        """Return the whole input: the text and the further fields, one per line."""
        return "\n".join([self.text, *self.fields.values()])

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target, *self.accepted)

    @property
    def content(self) -> tuple[str, ...]:
        """Return what a strategy may learn from: three parts, then the others if there are any."""
        accepted = ("accepted", *self.accepted) if self.accepted else ()
        places = ("evidence", *(span.id for span in self.evidence)) if self.evidence else ()
        return (self.id, self.text, self.target, *_flat("fields", self.fields), *accepted, *places)


def _flat(name: str, values: Mapping[str, str]) -> tuple[str, ...]:
    return (name, *(part for pair in values.items() for part in pair)) if values else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the answers are, and how one is scored from 0 to 1; `choose.tasks` has the kinds.

    A kind names its usual scores in `own`, and gives them in `own_scores`.

    Attributes:
        kind: such as ``classification``.
        instruction: what to do, in the user's words.
        labels: in a fixed order; empty where answers are no labels.
        names: readable names of the labels.
        descriptions: by label, or by field of a record.
        headline: the usual score that counts.
        metric: a user's own (`choose.tasks.scoring.UserMetric`), which counts instead.
    """

    own: ClassVar[tuple[str, ...]] = ()
    instruction: str | None = None
    descriptions: Mapping[str, str] = field(default_factory=dict)
    metric: Any = None
    headline: str = ""
    kind: str = ""
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse labels of which not each has one name."""
        if len(self.names) != len(self.labels):
            raise ValueError("the task has not one name for each label")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the scores of an answer, the headline metric first."""
        usual = sorted(self.own, key=lambda name: name != self.headline)
        return (*(self.metric.scores if self.metric else ()), *usual)

    @property
    def digest(self) -> str:
        """Return what identifies everything that a strategy can see of the task."""
        return digest(self.facts())

    @property
    def scoring(self) -> str:
        """Return what identifies how answers are scored."""
        own = [asdict(self.metric)] if self.metric else []
        return digest([self.kind, *self.metrics, *self.scored_by(), *own])

    def scored_by(self) -> tuple[Any, ...]:
        """Return what else the usual scores depend on, as plain values."""
        return ()

    def score(self, output: str | None, targets: Sequence[str]) -> Mapping[str, float]:
        """Return each metric, in [0, 1], against the best right answer; 0 where output is None."""
        if output is None:
            return dict.fromkeys(self.metrics, 0.0)
        own = self.own_scores(output, targets)
        if self.metric is None:
            return own
        return {**self.metric.score(self.parts(output), [*map(self.parts, targets)]), **own}

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        """Return the scores `own` of an answer, each against its best target."""
        raise NotImplementedError

    def parts(self, text: str) -> Any:
        """Return an answer as a user's metric takes it; the text itself where it has no parts."""
        return text

    def problem_with(self, output: str) -> str | None:
        """Return why a text cannot be an answer, such as JSON that cannot be parsed; or None."""
        return None if output.strip() else "it is empty"

    def stratum(self, target: str) -> str:
        """Return the class of rows, for stratified divisions, that a target belongs to."""
        return target

    def classes(self, target: str) -> tuple[str, ...]:
        """Return what of a target may be new one day: its label, or the fields that it fills."""
        return ()

    def copied(self, target: str) -> tuple[str, ...]:
        """Return the texts of a target that an answer may have to copy from the input."""
        return ()

    def facts(self) -> dict[str, Any]:
        """Return the task as plain values for JSON, without documents: `read_task` reads them."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "corpus"}
        return {name: _plain(value) for name, value in known.items() if value not in (None, (), {})}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A strategy with its hyperparameters, models included, under a name.

    `taught` ones learn from the teacher's answers.
    """

    name: str
    strategy: str
    params: Mapping[str, Any] = field(default_factory=dict)
    taught: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How training pool and test rows are drawn.

    ``noise`` replaces targets of training rows; it swaps records or texts, and drops or adds a
    label of a set. ``inner`` cross-validates inside the pool. ``time`` tests on rows after a cut,
    after training on rows before it or on as many of any time; ``source`` on rows of a source,
    after training on those of others or on as many of all. ``new-class`` withholds rows of a label,
    or with a field. In ``inner``, ``time`` and ``source`` a trial's `fold` is one of `parts`.

    Attributes:
        rate: share of targets replaced.
        ask: most test rows of all parts together; 0 is no limit.
        parts: number of parts of the test rows; each is predicted by its own fit.
        cut: share of the rows, by time, before the test rows.
        learns_from: training rows from before the cut, or of other sources, or any except the test
            rows.
        label: the class or field withheld, or the source.
        examples: training rows of that class.
    """

    kind: Literal["standard", "noise", "time", "source", "new-class", "inner"] = "standard"
    rate: float = 0.0
    ask: int = 0
    parts: int = 1
    cut: float = 0.0
    learns_from: Literal["past", "others", "any"] = "past"
    label: str = ""
    examples: int = 0


STANDARD = Scenario()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers to n items, in the order of the items.

    Attributes:
        outputs: the answer as a text of the task's form, or None if it is unusable.
        status: ``ok``, or why the output is None.
        raw: what the model wrote, where `outputs` cannot show it; None for other items.
        scores: (n, labels) log-probabilities normalised over the labels, or None.
        confidence: (n,) in [0, 1], for answers that are no labels, or None.
        evidence: ids of rows or passages that were read for each item, nearest first, or None.
        tokens_in: (n,) input tokens with `tokens_cached` of a cached prefix, or None if unknown.
        tokens_out: (n,) output tokens.
        latency: (n,) seconds, or None if it was not measured.
    """

    outputs: tuple[str | None, ...]
    status: tuple[Status, ...]
    raw: tuple[str | None, ...] | None = None
    scores: Floats | None = None
    confidence: Floats | None = None
    evidence: tuple[tuple[str, ...], ...] | None = None
    tokens_in: Counts | None = None
    tokens_cached: Counts | None = None
    tokens_out: Counts | None = None
    latency: Floats | None = None

    def __len__(self) -> int:
        return len(self.outputs)

    @classmethod
    def from_scores(cls, labels: Sequence[str], scores: Floats, **facts: Any) -> Self:
        """Return the best label of each row of (n, labels) log-probabilities."""
        outputs = tuple(labels[i] for i in (scores.argmax(axis=1) if len(scores) else ()))
        status: tuple[Status, ...] = tuple("ok" for _ in outputs)
        return cls(outputs=outputs, status=status, scores=scores, **facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One fit and its predictions: everything that determines the answers.

    `taught`, `candidate`, `scenario`, `fold`, `draw` and `train_size` are its place in the grid;
    the digests (`weights`, `task`, `pool`, `questions`) identify what the strategy receives, and
    are part of the key. `seed` is 0 for strategies whose answers no seed can change: they are
    fitted once.
    """

    candidate: str
    strategy: str
    revision: int
    params: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""
    scenario: Scenario = STANDARD
    fold: int = 0
    draw: int = 0
    train_size: int = 0
    seed: int = 0
    weights: str = ""
    task: str
    pool: str = ""
    questions: str = ""
    taught: bool = False

    @property
    def key(self) -> str:
        """Return the key in the store, which does not depend on the candidate's name."""
        return digest(
            {
                "strategy": [self.strategy, self.revision, dict(self.params), self.weights],
                "data": [self.task, self.pool, self.questions],
                "seed": self.seed,
            }
        )


# The view of the rows as they are.
CLEAN = ("clean", 0)

# What a fit that time cut short says of itself: by the steps that it made of those planned.
SHARE_READ, ROWS_READ = "share of its rows that were read", "rows that were read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The answers and facts of one trial.

    `answers` and `asked` (row ids in the order of the answers) are by view and 0. `scores` are
    (n,) by view and 0, then by metric, where answers are no labels. `fit_seconds`,
    `predict_seconds` (clean rows), `reread_seconds` (an index of changed documents) and
    `seconds_alone` exclude gains from caches and shared work, `seconds_spent` does not.
    `artefact_mb` is the fitted model; `unasked` rows had no time left.
    `shortened` is what time has decided in the fit (see `decided_in_time`).
    """

    trial: Trial
    answers: Mapping[tuple[str, int], Answers] = field(default_factory=dict)
    asked: Mapping[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    scores: Mapping[tuple[str, int], Mapping[str, Floats]] = field(default_factory=dict)
    fit_seconds: float | None = None
    predict_seconds: float | None = None
    seconds_alone: float | None = None
    seconds_spent: float | None = None
    group_size: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    dtype: str | None = None
    artefact_mb: float | None = None
    reread_seconds: float | None = None
    notes: tuple[str, ...] = ()
    shortened: Mapping[str, float] = field(default_factory=dict)
    unasked: int = 0
    error: str | None = None

    @property
    def share_read(self) -> float:
        """Return the share of its training rows that the fit has read as often as planned."""
        return self.shortened.get(SHARE_READ, 1.0)

    @property
    def rows_read(self) -> int:
        """Return how many of its training rows the fit has read at least once."""
        return round(self.shortened.get(ROWS_READ, self.share_read * self.trial.train_size))

    def replaces(self, other: Self) -> bool:
        """Return whether it got as far as another run of its trial: rows read and answered."""
        rows = [len(run.asked.get(CLEAN, ())) for run in (self, other)]
        reached = rows[0] >= rows[1] and self.share_read >= other.share_read
        return other.error is not None or (self.error is None and reached)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """The ids of the training pool and of the test rows, in a fixed order."""

    pool: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Labelled rows with their division into folds.

    `division` is ``held-out`` (one fold) or ``cross-fit`` (every row is a test row once, of a fit
    that never saw it). `clusters` maps an id to its group or near-duplicate cluster. `findings`
    say what is remarkable in how rows were read and divided; `dropped` are those of rows and
    documents that were left out, which are not stored. `leaked` counts test rows that the
    training file held too; their copies there were left out. `teacher` names the column of answers
    that candidates learn from; empty without one.
    """

    name: str
    task: Task
    examples: Mapping[str, Example]
    folds: tuple[Fold, ...]
    division: Literal["held-out", "cross-fit"]
    clusters: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    leaked: int = 0
    teacher: str = ""

    @property
    def fingerprint(self) -> str:
        """Return the digest of the rows, of their division, and of documents if there are any."""
        rows = self.examples.values()
        every = [
            (*e.content, str(e.timestamp), e.group, *([e.source] if e.source else [])) for e in rows
        ]
        every += [("fold", *fold.questions) for fold in self.folds]
        if self.teacher:
            every += [("taught", e.taught, str(e.labelled)) for e in rows]
        documents = self.task.facts().get("documents")
        return digest_rows([*every, ("documents", documents)] if documents else every)

    @property
    def asked(self) -> tuple[str, ...]:
        return tuple(id for fold in self.folds for id in fold.questions)

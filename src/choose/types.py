"""The frozen nouns that every other module speaks in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from choose.files import digest, digest_rows

Family = Literal["baseline", "prompting", "retrieval", "fine-tuning"]


Status = Literal["ok", "off-list", "refused", "empty", "cut"]


Floats = npt.NDArray[np.float64]


Counts = npt.NDArray[np.int64]


FAMILIES: tuple[Family, ...] = ("baseline", "prompting", "retrieval", "fine-tuning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What a strategy may see of a question. It never holds the target."""

    id: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One labelled row."""

    id: str
    text: str
    target: str
    timestamp: datetime | None = None
    group: str | None = None
    annotator: str | None = None

    def item(self) -> Item:
        """Return the question without its answer."""
        return Item(id=self.id, text=self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is asked: the labels in a fixed order, how they read, and the metric.

    `names` are the labels as a person would read them, aligned with `labels`.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    descriptions: Mapping[str, str] = field(default_factory=dict)
    instruction: str | None = None
    kind: Literal["classification"] = "classification"

    def score(self, output: str | None, target: str) -> float:
        """Return 1.0 for the right label and 0.0 otherwise; an unusable output is wrong."""
        return float(output == target)

    @property
    def digest(self) -> str:
        """Identify everything about the task that a strategy can see."""
        return digest(
            [self.kind, self.labels, self.names, dict(self.descriptions), self.instruction]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A strategy with its hyperparameters, models included, under a name."""

    name: str
    strategy: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How the pool and the questions are drawn.

    ``inner`` asks the pool itself: each of its rows is answered by a fit on other rows of it.
    ``time`` asks the rows that follow a cut, after a fit on earlier rows or, to compare with, on
    as many rows of any time. ``new-class`` withholds a class and gives some of its rows back. In
    ``inner`` and ``time`` a trial's `fold` is one of `parts`, not a fold of the data's division.

    Attributes:
        noise: which labels replace which.
        rate: of label noise.
        rows: most rows that are learnt from, so that a pool is no larger than the one that is
            compared; 0 is no limit.
        ask: most rows that are asked, all parts together; 0 is no limit.
        parts: how many parts the asked rows are divided into, each asked of a fit of its own.
        cut: the share of the rows, by time, that come before the ones asked.
        learns_from: the rows before the cut, or any rows but those asked.
        label: the class withheld.
        examples: how many of its rows are given back.
    """

    kind: Literal["standard", "noise", "time", "new-class", "inner"] = "standard"
    noise: Literal["symmetric", "confused-pair", "class-dependent"] = "symmetric"
    rate: float = 0.0
    rows: int = 0
    ask: int = 0
    parts: int = 1
    cut: float = 0.0
    learns_from: Literal["past", "any"] = "past"
    label: str = ""
    examples: int = 0

    @property
    def name(self) -> str:
        """Return a short readable identity, for example ``noise symmetric 0.1``."""
        more = {
            "noise": f"{self.noise} {self.rate:g}",
            "time": f"{self.learns_from} {self.cut:g}",
            "new-class": f"{self.label} {self.examples}",
        }
        return " ".join([self.kind, *filter(None, [more.get(self.kind)])])


STANDARD = Scenario()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers to n items, one row an item, in the order of the items.

    Attributes:
        outputs: the label, or None where the answer is unusable.
        status: why an output is usable or not.
        scores: (n, labels) log-probabilities normalised over the labels, or None.
        evidence: ids retrieved for each item, nearest first, or None.
        tokens_in: (n,) tokens read, cached ones included, or None where nothing counts tokens.
        tokens_cached: (n,) the part of `tokens_in` that was served from a cached prefix.
        tokens_out: (n,) tokens written.
        latency: (n,) seconds an item, or None where it was not measured.
    """

    outputs: tuple[str | None, ...]
    status: tuple[Status, ...]
    scores: Floats | None = None
    evidence: tuple[tuple[str, ...], ...] | None = None
    tokens_in: Counts | None = None
    tokens_cached: Counts | None = None
    tokens_out: Counts | None = None
    latency: Floats | None = None

    def __len__(self) -> int:
        """Return the number of items answered."""
        return len(self.outputs)

    @classmethod
    def from_scores(cls, labels: Sequence[str], scores: Floats, **facts: Any) -> Answers:
        """Answer with the best label of each row of (n, labels) log-probabilities."""
        best = scores.argmax(axis=1) if len(scores) else []
        outputs = tuple(labels[i] for i in best)
        status: tuple[Status, ...] = tuple("ok" for _ in outputs)
        return cls(outputs=outputs, status=status, scores=scores, **facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Everything that decides what is learnt and what is asked: one fit.

    `candidate`, `scenario`, `fold`, `draw`, `train_size` and `noise` say where in the grid the
    trial stands; the digests say what a strategy really receives, and make up the key. `seed` is
    0 for strategies whose answers no seed can change, so that they are fitted once.
    """

    candidate: str
    strategy: str
    revision: int
    params: Mapping[str, Any]
    variant: str
    scenario: Scenario
    fold: int
    draw: int
    train_size: int
    seed: int
    weights: str
    task: str
    pool: str
    questions: str

    @property
    def key(self) -> str:
        """Return the primary key in the store; the candidate's name is not in it."""
        return digest(
            {
                "strategy": [self.strategy, self.revision, dict(self.params), self.weights],
                "data": [self.task, self.pool, self.questions],
                "seed": self.seed,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The facts of one trial; never a metric.

    `answers` and `asked` (the ids, in the order of the answers) are by view and repeat.
    `fit_seconds`, `predict_seconds` (of the clean rows) and `seconds_alone` (of all) are what the
    trial would have cost with nothing cached or shared, `seconds_spent` is what it did cost.
    `artefact_mb` is what a fit adds to keep, `base_mb` the weights it needs beside that.
    `unasked` counts clean questions that a deadline left. `error` is set, and `answers` empty,
    where it failed.
    """

    trial: Trial
    answers: Mapping[tuple[str, int], Answers] = field(default_factory=dict)
    asked: Mapping[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    fit_seconds: float | None = None
    predict_seconds: float | None = None
    seconds_alone: float | None = None
    seconds_spent: float | None = None
    group_size: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    dtype: str | None = None
    artefact_mb: float | None = None
    base_mb: float | None = None
    notes: tuple[str, ...] = ()
    unasked: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Which rows may be learnt from and which are asked; ids in a fixed order."""

    pool: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Labelled rows with their division into folds.

    `division` is ``held-out`` (one fold) or ``cross-fit`` (every row is asked once, by a fit that
    never saw it). `clusters` maps an id to its group or near-duplicate cluster; ids missing there
    stand alone. `findings` are what a careful reader should know, most serious first.
    """

    name: str
    task: Task
    examples: Mapping[str, Example]
    folds: tuple[Fold, ...]
    division: Literal["held-out", "cross-fit"]
    clusters: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Identify content and division together."""
        rows = [
            (e.id, e.text, e.target, str(e.timestamp), e.group, e.annotator)
            for e in self.examples.values()
        ]
        folds = [("fold", *fold.questions) for fold in self.folds]
        return digest_rows([*rows, *folds])

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the ids of all rows that are asked, fold by fold."""
        return tuple(id for fold in self.folds for id in fold.questions)

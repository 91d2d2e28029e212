"""What the judge reads of a study: rows, candidates and their runs."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Any

from choose.corpus import Span
from choose.formatting import normalised
from choose.schema.candidate_scorecard import TokenPrices
from choose.schema.plan import Searched
from choose.tasks.document_drill import Drill
from choose.types import Dataset, Family, Run, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """The rows of one part of the data (test rows or training pool), in a fixed order.

    Attributes:
        ids: one id a row.
        targets: the label of each row, or the text to answer.
        clusters: the group or near-duplicate cluster of each row; its own id where it is alone.
        conflicting: ids of rows whose input (text and further fields) also occurs with another
            target.
        fields: what each record fills; none where answers are labels.
        accepted: further right answers, of the rows that have some, by id.
        evidence: places in documents that hold the answer, of the rows that have some, by id.
    """

    ids: tuple[str, ...]
    targets: tuple[str, ...]
    clusters: tuple[str, ...]
    conflicting: frozenset[str] = frozenset()
    fields: tuple[frozenset[str], ...] = ()
    accepted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    evidence: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)

    def document_of(self, id: str) -> str:
        """Return the document of a row's first evidence; the row itself where none is known."""
        spans = self.evidence.get(id)
        return spans[0].document if spans else id


# What candidates name in place of a strategy whose answers existed before the study.
GIVEN = "given"


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateInfo:
    """A candidate as planned.

    Attributes:
        title: the name for readers; empty where its strategy states none.
        model: what it prompts, tunes or embeds with, as a report names it; None without a model.
        cheap: whether a fit takes a second or so without a GPU.
        seeded: whether the seed can change an answer given the same pool.
        learns: whether examples or seed can change an answer at all.
        constant: whether every row gets the same answer.
        floor: whether it is a reference that must be beaten, and never what to use.
        reads: whether it reads passages of documents.
        billions: parameters of the model in billions where known; else read off its name.
        behind: the model and the server, where it is behind an endpoint.
        warning: what a reader must know of every figure of it.
        token_prices: of its endpoint, or None where it runs on the machine or is not priced.
        usd_per_1k: dollars for 1,000 answers as stated or billed, where nothing else prices them.
        hosted: whether another machine serves its model.
        teaches: whether candidates learn from its answers.
        taught: whether it learns from the teacher's answers in place of labels.
        starts: the candidate whose prompt it starts from, to choose a better one; or empty.
        ends: whether its model ends, so that it is a reference and never named.
    """

    name: str
    strategy: str
    family: Family
    title: str = ""
    model: str | None = None
    cheap: bool = True
    seeded: bool = False
    learns: bool = True
    constant: bool = False
    floor: bool = False
    reads: bool = False
    billions: float | None = None
    behind: str | None = None
    warning: str | None = None
    token_prices: TokenPrices | None = None
    usd_per_1k: float | None = None
    hosted: bool = False
    teaches: bool = False
    taught: bool = False
    starts: str = ""
    ends: bool = False

    @property
    def given(self) -> bool:
        """Return whether its answers existed before the study, which knows nothing of its fit."""
        return self.strategy == GIVEN

    @property
    def remote(self) -> bool:
        """Return whether an endpoint answers, so that the machine's hour is not what it costs."""
        return self.token_prices is not None or (self.model or "").startswith("endpoint:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One study, measured.

    The repetition of a trial is its `draw`: candidates are paired on it. On a whole pool a draw
    only carries the seed; on a smaller one it also selects the training rows.

    Attributes:
        name: of the labelled set.
        rows: number of labelled rows, test rows and training pool together.
        labels: the task's labels in order.
        division: ``held-out`` or ``cross-fit``.
        pool_rows: size of the whole pool of each fold; a trial with fewer rows was drawn.
        taught_rows: rows of each pool that a teacher answered; none without one.
        pool: training rows that are never test rows; none in a cross-fit study.
        runs: every finished or failed trial of the grid, in any order.
        findings: problems in the data, most serious first.
        unseen: labels of which no training row was there for the test rows, and how many these are.
        leaked: test rows that the training file held too, where they were left out.
        machine: what the study ran on.
        task: what the answers are; None in studies without one, whose answers are labels.
        drill: facts that were exchanged in the documents after training, if any were.
        searched: the passages that all candidates searched, if those are not all.
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
    findings: tuple[str, ...] = ()
    unseen: Mapping[str, int] = field(default_factory=dict)
    leaked: int = 0
    machine: Mapping[str, Any] = field(default_factory=dict)
    task: Task | None = None
    drill: Drill | None = None
    taught_rows: tuple[int, ...] = ()
    searched: Searched | None = None

    @property
    def targets(self) -> dict[str, str]:
        """Return the given label of every row, test row or training pool, by id."""
        parts = (self.items, self.pool)
        return {id: t for part in parts for id, t in zip(part.ids, part.targets, strict=True)}


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
    sizes = [float(count) / (1000 if unit in "mM" else 1) for count, unit in _SIZE.findall(name)]
    return max(sizes, default=None)


def strong(info: CandidateInfo) -> bool:
    """Return whether the model has several billion parameters.

    One behind an endpoint, or of which answers were given, is taken to have them unless its name
    says less.
    """
    size = billions_of(info)
    if info.given or (info.model is not None and info.model.startswith("endpoint:")):
        return size is None or size >= BILLIONS
    return size is not None and size >= BILLIONS


def row_set(ids: Collection[str]) -> str:
    """Return the number of rows with a digest of their ids in any order (see `Estimate`)."""
    return f"{len(ids)}:{sum(map(id_hash, ids)) & 0xFFFFFFFF:08x}"


def id_hash(id: str) -> int:
    """Return a hash of a row's id, the same in every process; sums of them name sets of rows."""
    digest = blake2s(id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def items_of(dataset: Dataset, ids: tuple[str, ...]) -> Items:
    """Return what the judge may know of these rows: never their texts."""
    inputs = {e.id: normalised(e.input, punctuation=True) for e in dataset.examples.values()}
    targets_of_input: dict[str, set[str]] = defaultdict(set)
    for example in (e for e in dataset.examples.values() if e.labelled):
        targets_of_input[inputs[example.id]].add(example.target)
    rows = [dataset.examples[id] for id in ids]
    fields = (
        ()
        if dataset.task.labels
        else tuple(frozenset(dataset.task.classes(e.target)) for e in rows)
    )
    return Items(
        ids=tuple(e.id for e in rows),
        targets=tuple(e.target for e in rows),
        clusters=tuple(dataset.clusters.get(e.id, e.id) for e in rows),
        conflicting=frozenset(e.id for e in rows if len(targets_of_input[inputs[e.id]]) > 1),
        fields=fields,
        accepted={e.id: e.accepted for e in rows if e.accepted},
        evidence={e.id: e.evidence for e in rows if e.evidence},
    )

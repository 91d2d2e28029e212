"""The real sets on disk, as datasets."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from choose.data.stratify import strata_of, stratified_order
from choose.schema.study_sections import TaskSection
from choose.tasks.extraction import as_text, extraction_from
from choose.tasks.labels import task_from
from choose.types import Dataset, Example, Fold, Task
from replay.candidates import KINDS, RECORD_KINDS, Kind

LABEL_SETS = ("trec6", "sst2", "fin_phrasebank", "tweet_emotion", "cuad_clauses")


@dataclass(frozen=True)
class Columns:
    """Where a set of records has the record, and which further columns are part of the input."""

    record: str
    fields: tuple[str, ...] = ()


RECORD_SETS: Mapping[str, Columns] = {
    "restaurant8k": Columns("target", ("requested",)),
    "nlupp_banking": Columns("slots"),
}

SETS = (*LABEL_SETS, *RECORD_SETS)

PARTS = ("train", "test")


def kinds_of(name: str) -> Mapping[str, Kind]:
    """Return the candidates of a set, by name."""
    return RECORD_KINDS if name in RECORD_SETS else KINDS


@dataclass(frozen=True)
class Source:
    """A set with its official split, and the SHA-256 of each of its files."""

    name: str
    task: Task
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    hashes: dict[str, str]

    def sample(self, first: int, last: int) -> tuple[str, ...]:
        """Return the ids of test rows `first` to `last` of a stratified order, as in the file."""
        chosen = set(self._order[first:last])
        return tuple(row.id for row in self.test if row.id in chosen)

    @cached_property
    def _order(self) -> tuple[str, ...]:
        strata = strata_of(self.task, self.test)
        return stratified_order(list(strata), strata, "asked")

    def dataset(self, asked: Sequence[str]) -> Dataset:
        """Return the dataset with these test rows."""
        fold = Fold(pool=tuple(row.id for row in self.train), questions=tuple(asked))
        return Dataset(
            name=self.name,
            task=self.task,
            examples={row.id: row for row in (*self.train, *self.test)},
            folds=(fold,),
            division="held-out",
        )

    @cached_property
    def words(self) -> float:
        """Return the mean number of words in a test row."""
        return sum(len(row.text.split()) for row in self.test) / len(self.test)

    @property
    def classes(self) -> int:
        """Return the number of labels; 0 where answers are records."""
        return len(self.task.labels)

    @property
    def metric(self) -> str | None:
        """Return the metric of scores in [0, 1]; None where an answer is right or wrong."""
        return None if self.task.labels else self.task.metrics[0]


def read(data: Path, name: str) -> Source:
    """Read a set from its folder."""
    of_records = name in RECORD_SETS
    paths = {part: data / name / f"{part}.{'jsonl' if of_records else 'csv'}" for part in PARTS}
    if of_records:
        columns = RECORD_SETS[name]
        train, test = (_records(path, part, columns) for part, path in paths.items())
        task: Task = extraction_from(train, test, TaskSection())
    else:
        train, test = (_labelled(path, part) for part, path in paths.items())
        task = task_from(train)
    return Source(
        name=name,
        task=task,
        train=train,
        test=test,
        hashes={path.name: sha256(path.read_bytes()).hexdigest() for path in paths.values()},
    )


def _labelled(path: Path, part: str) -> tuple[Example, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    return tuple(
        Example(id=f"{part}{i}", text=text, target=label) for i, (text, label) in enumerate(rows)
    )


def _records(path: Path, part: str, columns: Columns) -> tuple[Example, ...]:
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return tuple(
        Example(
            id=f"{part}{i}",
            text=row["text"],
            target=as_text(row[columns.record]),
            fields={name: str(row[name]) for name in columns.fields},
        )
        for i, row in enumerate(rows)
    )

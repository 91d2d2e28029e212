"""The real sets on disk, as datasets."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from choose.data.stratify import stratified_order
from choose.tasks.labels import task_from
from choose.types import Dataset, Example, Fold

SETS = ("trec6", "sst2", "fin_phrasebank", "tweet_emotion", "cuad_clauses")

PARTS = ("train", "test")


@dataclass(frozen=True)
class Source:
    """A set with its official split, and the SHA-256 of each of its files."""

    name: str
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    hashes: dict[str, str]

    def sample(self, first: int, last: int) -> tuple[str, ...]:
        """Return the ids of test rows `first` to `last` of a stratified order, as in the file."""
        chosen = set(self._order[first:last])
        return tuple(row.id for row in self.test if row.id in chosen)

    @cached_property
    def _order(self) -> tuple[str, ...]:
        targets = {row.id: row.target for row in self.test}
        return stratified_order(list(targets), targets, "asked")

    def dataset(self, asked: Sequence[str]) -> Dataset:
        """Return the dataset with these test rows."""
        fold = Fold(pool=tuple(row.id for row in self.train), questions=tuple(asked))
        return Dataset(
            name=self.name,
            task=task_from(self.train),
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
        """Return the number of labels."""
        return len({row.target for row in self.train})


def read(data: Path, name: str) -> Source:
    """Read a set from its folder."""
    paths = {part: data / name / f"{part}.csv" for part in PARTS}
    return Source(
        name=name,
        train=_rows(paths["train"], "train"),
        test=_rows(paths["test"], "test"),
        hashes={path.name: sha256(path.read_bytes()).hexdigest() for path in paths.values()},
    )


def _rows(path: Path, part: str) -> tuple[Example, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    return tuple(
        Example(id=f"{part}{i}", text=text, target=label) for i, (text, label) in enumerate(rows)
    )

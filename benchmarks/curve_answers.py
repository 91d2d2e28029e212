"""Right and wrong answers of cheap candidates on the real sets, at nested pool sizes.

A replication takes a pool of at most 3,000 rows and 500 test rows at random. A quarter of the
pool stands for the labels that a team has: smaller pools are drawn from it and everything else
stands for the labels that it might still collect.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np

from choose.data.stratify import ordered
from choose.types import Example, Item, Task
from choose_baseline import LogisticHead, Tfidf

SETS = (
    "banking77",
    "convabuse",
    "cuad_clauses",
    "fin_phrasebank",
    "gh_issues",
    "sst2",
    "trec6",
    "tweet_emotion",
)
CANDIDATES = ("tfidf", "probe")
POOL, TEST, CHARACTERS, DRAWS = 3000, 500, 400, 3

# Embedding is slow on a processor, so that the pools of all replications of `probe` come from the
# same rows.
EMBEDDED = {"train": POOL, "test": 2 * TEST}

# Fractions of the quarter of the pool that curves are fitted to.
FRACTIONS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)


@dataclass(frozen=True)
class Fits:
    """Whether each test row was answered rightly, by what was learnt from.

    Attributes:
        sizes: labels in the smaller pools, the quarter last.
        inside: (sizes - 1, draws, rows) pools drawn from the quarter.
        drawn: (sizes, draws, rows) pools drawn from the whole pool, nested within a draw.
        quarter: (rows,) the whole quarter.
        full: (rows,) the whole pool.
        labels: rows in the whole pool.
    """

    sizes: tuple[int, ...]
    inside: np.ndarray
    drawn: np.ndarray
    quarter: np.ndarray
    full: np.ndarray
    labels: int


def read(data: Path, name: str, candidate: str) -> tuple[list[Example], list[Example]]:
    """Return training and test rows of a set, texts cut at 400 characters."""
    train, test = (_rows(data / name / f"{part}.csv", part) for part in EMBEDDED)
    if candidate == "probe":
        random = Random(name)
        train = random.sample(train, min(EMBEDDED["train"], len(train)))
        test = random.sample(test, min(EMBEDDED["test"], len(test)))
    return train, test


def _rows(path: Path, part: str) -> list[Example]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"][:CHARACTERS], row["label"]) for row in csv.DictReader(file)]
    return [Example(id=f"{part}{i}", text=text, target=t) for i, (text, t) in enumerate(rows)]


def fits(data: Path, cache: Path, name: str, candidate: str, replication: int) -> Fits:
    """Return a replication's answers, from the cache where they are there."""
    path = cache / f"{name}-{candidate}-{replication}.npz"
    if path.exists():
        return Fits(**{k: _plain(v) for k, v in np.load(path).items()})
    found = _measure(*read(data, name, candidate), cache, candidate, replication)
    cache.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **vars(found))
    return found


def _plain(value: np.ndarray) -> object:
    if value.ndim == 0:
        return int(value)
    return tuple(value.tolist()) if value.dtype.kind == "i" else value


def _measure(
    train: list[Example], test: list[Example], cache: Path, candidate: str, replication: int
) -> Fits:
    random = Random(f"curves-{replication}")
    pool = random.sample(train, min(POOL, len(train)))
    asked = random.sample(test, min(TEST, len(test)))
    learner = _Learner(candidate, cache, asked)
    by_id = {row.id: row for row in pool}
    targets = {row.id: row.target for row in pool}
    quarter = ordered(targets, targets, 1000 + replication)[: len(pool) // 4]
    sizes = tuple(max(round(f * len(quarter)), 2) for f in FRACTIONS)

    def right(ids: Sequence[str]) -> np.ndarray:
        return learner.right([by_id[id] for id in ids])

    within = [ordered(quarter, targets, draw) for draw in range(DRAWS)]
    across = [ordered(targets, targets, draw) for draw in range(DRAWS)]
    return Fits(
        sizes=sizes,
        inside=np.array([[right(order[:n]) for order in within] for n in sizes[:-1]]),
        drawn=np.array([[right(order[:n]) for order in across] for n in sizes]),
        quarter=right(quarter),
        full=right(list(targets)),
        labels=len(pool),
    )


class _Learner:
    """Fits one kind of candidate to rows and says which of the asked ones it gets right."""

    def __init__(self, candidate: str, cache: Path, asked: Sequence[Example]) -> None:
        self.candidate, self.cache, self.asked = candidate, cache, asked
        self.targets = np.array([row.target for row in asked])

    def right(self, rows: Sequence[Example]) -> np.ndarray:
        return self._answers(rows) == self.targets

    def _answers(self, rows: Sequence[Example]) -> np.ndarray:
        labels = tuple(sorted({row.target for row in rows}))
        if self.candidate == "tfidf":
            model = Tfidf(seed=0, characters=False)
            model.fit(Task(labels=labels, names=labels), rows)
            items = [Item(id=row.id, text=row.text) for row in self.asked]
            return np.array(model.predict(items).outputs)
        head = LogisticHead(C=10.0)
        head.fit(vectors(self.cache, rows), [row.target for row in rows])
        found = head.probabilities(vectors(self.cache, self.asked)).argmax(axis=1)
        return np.array(head.seen)[found]


_VECTORS: dict[str, np.ndarray] = {}


def vectors(cache: Path, rows: Sequence[Example]) -> np.ndarray:
    """Return (n, d) embeddings of rows, read from the cache or embedded and kept there."""
    if not _VECTORS:
        for path in cache.glob("embedded-*.npz"):
            stored = np.load(path)
            _VECTORS.update(zip(stored["keys"].tolist(), stored["vectors"], strict=True))
    keys = [_key(row.text) for row in rows]
    new = {key: row.text for key, row in zip(keys, rows, strict=True) if key not in _VECTORS}
    if new:
        _embed(cache, new)
    return np.stack([_VECTORS[key] for key in keys]).astype(np.float64)


def _key(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _embed(cache: Path, texts: dict[str, str]) -> None:
    from choose.models.embeddings import embed
    from choose.models.weights.spec import DEFAULT_ENCODER

    found = embed(list(texts.values()), DEFAULT_ENCODER)
    _VECTORS.update(zip(texts, found, strict=True))
    cache.mkdir(parents=True, exist_ok=True)
    name = sha256("".join(texts).encode()).hexdigest()[:12]
    np.savez_compressed(
        cache / f"embedded-{name}.npz",
        keys=np.array(list(texts)),
        vectors=found.astype(np.float16),
    )

"""Baselines of labels and sets of labels: majority, tfidf, probe, knn.

Those of texts are in `texts`, of records in `records`, of rankings in `rankings`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from choose.engines.embeddings import load_encoder
from choose.engines.weights.resolve import weights_digest
from choose.engines.weights.spec import DEFAULT_ENCODER
from choose.models.retrieval.passage_search import Retriever, load_retriever
from choose.models.saving import Learnt, read_learnt, write_learnt
from choose.models.tfidf_and_logistic import (
    FLOOR,
    MOST_WEIGHTS,
    STRENGTHS,
    Sample,
    TfidfFeatures,
    best_set,
    best_sets,
    choose_strength,
    example_f1s,
    head_for,
    head_from,
    members_of,
    sample_rows,
    set_answers,
)
from choose.tasks.multilabel import Multilabel
from choose.types import Answers, Counts, Example, Family, Floats, Item, Task

# The kinds of tasks that these answer.
KINDS = ("classification", "multilabel")

# Most rows on which C and k are chosen; all rows train what is chosen.
STRENGTH_ROWS, NEIGHBOUR_ROWS = 1_000, 2_000

# Numbers of neighbours; the first is that of pools in which all are equal.
NEIGHBOURS = (5, 1, 3, 10, 15, 25, 40)

# By how much a neighbour's vote shrinks with its distance: e-fold in a fifth of cosine.
SHARPNESS = 5.0


class Baseline:
    """The base of strategies without a language model.

    Another one states `title`, `good_for` and `needs`, gives `fit` and `predict`, and has a line
    among the entry points of pyproject.toml. `learnt` names the attributes that `fit` sets, each
    with what restores it: `np.asarray` for an array, `tuple`, `dict` or `int` for what JSON holds.
    """

    family: ClassVar[Family] = "baseline"
    revision: ClassVar[int] = 1
    kinds: ClassVar[tuple[str, ...]] = KINDS
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    learnt: ClassVar[Learnt] = {}

    # What sets of labels may hold; empty where each row has one label.
    choices: tuple[str, ...] = ()

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def save(self, folder: Path) -> None:
        write_learnt(folder, self)

    def load(self, folder: Path) -> None:
        read_learnt(folder, self)


class Majority(Baseline):
    """Answer the most common label of the pool for every item, or the set of the best mean F1."""

    title: ClassVar[str] = "always the same answer"
    good_for: ClassVar[str] = "the score that any other candidate must beat"
    needs: ClassVar[str] = "labels"
    constant: ClassVar[bool] = True
    floor: ClassVar[bool] = True
    always_compared: ClassVar[bool] = True
    learnt: ClassVar[Learnt] = {"labels": tuple, "choices": tuple, "row": np.asarray}

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Count the labels; ties go to the first in the task's order."""
        self.labels, self.choices = labels_and_choices(task)
        if self.choices:
            members = members_of(self.choices, [example.target for example in examples])
            equal = np.full(len(examples), 1 / max(len(examples), 1))
            self.row = best_set(members, equal)[None].astype(np.float64)
            return
        counts = Counter(example.target for example in examples)
        shares = (
            np.array([[counts[label] for label in task.labels]]) / max(len(examples), 1) + FLOOR
        )
        self.row = np.log(shares / shares.sum())

    def predict(self, items: Sequence[Item]) -> Answers:
        if self.choices:
            return set_answers(self.choices, np.repeat(self.row > 0, len(items), axis=0))
        return Answers.from_scores(self.labels, np.repeat(self.row, len(items), axis=0))


class Tfidf(Baseline):
    """TF-IDF of words, word pairs and character n-grams under logistic regression."""

    title: ClassVar[str] = "words + logistic regression"
    good_for: ClassVar[str] = "labels that go with certain words, in any language"
    needs: ClassVar[str] = "labelled rows; no model"
    revision: ClassVar[int] = 6
    always_compared: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "words-only": {"characters": False},
        "regularised": {"C": 1.0},
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"C": (1e-6, 1e6)}
    # The n-grams, their IDF and their weights; no row of the pool.
    learnt: ClassVar[Learnt] = {"features": TfidfFeatures.restored, "head": head_from}

    def __init__(self, *, seed: int, C: float = 10.0, characters: bool = True) -> None:
        self.seed, self.C, self.characters = seed, C, characters

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        names = ["words", *["characters"] * self.characters]
        most = MOST_WEIGHTS // len(task.labels or labels_and_choices(task)[1])
        self.features = TfidfFeatures(*names, most=most)
        matrix = self.features.fit([example.text or " " for example in examples])
        self.head = head_for(task, self.C)
        self.head.fit(matrix, [example.target for example in examples])

    def predict(self, items: Sequence[Item]) -> Answers:
        return self.head.answers(self.features([item.text for item in items]))


class Encoded(Baseline):
    """The base of what has a frozen sentence encoder."""

    encoder: str

    def weights(self) -> str:
        return weights_digest(self.encoder)

    def prepare(self) -> None:
        load_retriever(self.encoder)


class Probe(Encoded):
    """A frozen sentence encoder under logistic regression (a linear probe).

    Of labels, `C` is chosen in the fit: the value from 1 to 100 that gives labels of held-out
    training rows the highest likelihood; 10 stays unless another is better by more than a standard
    error. At most 1,000 rows are compared. Sets of labels, and pools of fewer than ten rows a
    label, have 10.
    """

    title: ClassVar[str] = "embeddings + logistic regression"
    good_for: ClassVar[str] = "labels that go with meaning; few labelled rows"
    needs: ClassVar[str] = "labelled rows; an encoder (the default reads English)"
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "regularised": {"C": 1.0},
        "free": {"C": 100.0},
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"C": (1e-6, 1e6)}

    revision: ClassVar[int] = 3
    learnt: ClassVar[Learnt] = {"head": head_from}

    cached: float = 0.0

    def __init__(
        self, *, seed: int, encoder: str = DEFAULT_ENCODER, C: float | None = None
    ) -> None:
        self.seed, self.encoder, self.C = seed, encoder, C

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.cached = 0.0
        features, C = self._embed([e.text for e in examples]), self.C
        targets = [e.target for e in examples]
        if C is None and task.labels:
            some = sample_rows(task, examples, STRENGTH_ROWS)
            own = [targets[place] for place in some.places]
            C = choose_strength(features[some.places], own, some.clusters)
        self.head = head_for(task, C or STRENGTHS[0])
        self.head.fit(features, targets)

    def predict(self, items: Sequence[Item]) -> Answers:
        return self.head.answers(self._embed([item.text for item in items]))

    def facts(self) -> Mapping[str, Any]:
        return {"cached_seconds": self.cached}

    def _embed(self, texts: Sequence[str]) -> Any:
        encoder = load_encoder(self.encoder)
        self.cached += encoder.cached_seconds(texts)
        return encoder.embed(texts)


class Knn(Encoded):
    """A vote of the nearest labelled neighbours: `retrieval` without its language model.

    A vote counts e-fold less with each fifth of cosine behind the nearest. `k` is chosen in the
    fit: the number from 1 to 40 with which most of (at most 2,000) training rows get their label
    from the others; near-duplicates and rows of one group do not vote for one another there.
    """

    title: ClassVar[str] = "nearest neighbours"
    good_for: ClassVar[str] = "many labels, labels that come and go: a new row counts at once"
    needs: ClassVar[str] = "labelled rows; an encoder (the default reads English)"
    revision: ClassVar[int] = 2
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"k=1": {"k": 1}, "k=15": {"k": 15}}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"k": (1, 1_000)}
    # The pool itself, texts and labels, with its vectors.
    learnt: ClassVar[Learnt] = {
        "labels": tuple,
        "choices": tuple,
        "retriever": Retriever.restored,
        "near": int,
    }

    def __init__(self, *, seed: int, encoder: str = DEFAULT_ENCODER, k: int | None = None) -> None:
        self.seed, self.encoder, self.k = seed, encoder, k

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.labels, self.choices = labels_and_choices(task)
        self.retriever = Retriever(self.encoder, examples)
        self.near = self.k or self._chosen(sample_rows(task, examples, NEIGHBOUR_ROWS))

    def _chosen(self, some: Sample) -> int:
        """Return the number of neighbours that answers these rows best, of equals the first."""
        if not len(some.places):
            return NEIGHBOURS[0]
        vectors = self.retriever.state()[1]["vectors"][some.places]
        cosines = np.round(vectors @ vectors.T, 5)
        cosines[some.clusters[:, None] == some.clusters] = -np.inf
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : max(NEIGHBOURS)]
        cosines = np.take_along_axis(cosines, nearest, axis=1)
        targets = [self.retriever.examples[place].target for place in some.places]
        if self.choices:
            members = members_of(self.choices, targets)
        codes = self._codes(targets)
        scores = []
        for k in NEIGHBOURS:
            near, weights = nearest[:, :k], weighed(cosines[:, :k])
            if self.choices:
                scores.append(example_f1s(best_sets(members[near], weights), members).mean())
            else:
                scores.append((self._shares(codes[near], weights).argmax(axis=1) == codes).mean())
        return NEIGHBOURS[int(np.argmax(scores))]

    def _codes(self, targets: Sequence[str]) -> Counts:
        """Return (n,) the place of each label; nothing of sets."""
        place = {label: number for number, label in enumerate(self.labels)}
        return np.array([place[t] for t in targets if place], dtype=np.int64)

    def _shares(self, codes: Counts, weights: Floats) -> Floats:
        votes = np.full((len(codes), len(self.labels)), FLOOR)
        for neighbour, weight in zip(codes.T, weights.T, strict=True):
            votes[np.arange(len(codes)), neighbour] += weight
        return votes / votes.sum(axis=1, keepdims=True)

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with the label that has most votes among the most similar rows.

        Of sets it is the one that comes nearest to theirs, by mean F1.
        """
        found = self.retriever.search(items, self.near)
        evidence = tuple(tuple(n.example.id for n in near) for near in found)
        rows = []
        for near in found:
            weights = weighed(np.array([[n.similarity for n in near]]))
            targets = [n.example.target for n in near]
            if self.choices:
                rows.append(best_set(members_of(self.choices, targets), weights[0]))
            else:
                rows.append(self._shares(self._codes(targets)[None], weights)[0])
        shares = np.reshape(rows, (len(items), len(self.labels or self.choices)))
        if self.choices:
            return set_answers(self.choices, shares, evidence=evidence)
        return Answers.from_scores(self.labels, np.log(shares), evidence=evidence)

    def facts(self) -> Mapping[str, Any]:
        return {"cached_seconds": self.retriever.cached_seconds}


def weighed(cosines: Floats) -> Floats:
    """Return the (n, k) shares of neighbours in a vote; those with a cosine of -inf have none."""
    if not cosines.size:
        return cosines
    nearest = cosines.max(axis=1, keepdims=True)
    weights = np.exp(SHARPNESS * (cosines - np.where(np.isfinite(nearest), nearest, 0.0)))
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), FLOOR)


def labels_and_choices(task: Task) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels that are answers, and those that sets may hold; one of them is empty."""
    return task.labels, task.choices if isinstance(task, Multilabel) else ()

"""The cheap baselines with settings chosen by cross-validation inside the training pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from choose.models.classical.inner_selection import (
    TOO_SMALL,
    Choice,
    InnerFolds,
    SetFolds,
    choose_setting,
    inner_folds,
    inner_folds_of_sets,
)
from choose.models.classical.label_set_head import (
    best_sets,
    example_f1s,
    held_out_scores,
    held_out_sets,
)
from choose.models.classical.logistic_solver import held_out_path, row_coordinates
from choose.models.saving import FACTS, read_json, write_fitted
from choose.models.tfidf_logistic import FLOOR, TfidfFeatures
from choose.models.weights.spec import DEFAULT_ENCODER
from choose.tasks.multilabel import Multilabel
from choose.types import Answers, Example, Floats, Item, Task
from choose_strategies.baselines import Knn, Probe, Tfidf, fitted_head, labels_and_choices, named

# Most rows on which settings are compared; all rows train what is chosen.
TFIDF_ROWS, ENCODED_ROWS = 1_500, 4_000

# Values of C, ascending, and that of `tfidf` and `probe`.
STRENGTHS, USUAL_C = (1.0, 3.0, 10.0, 30.0, 100.0), 10.0

# Sets of labels take a fit a label, so fewer rows and folds are compared.
SET_ROWS, SET_FOLDS = 1_000, 3


class TunedTfidf(Tfidf):
    """`tfidf` with the kinds of n-grams and C chosen on the training rows.

    The choice is among words with pairs of words, characters and both, each with several C, by
    five-fold cross-validation inside the pool. The settings of `tfidf` stay unless others are
    better by more than a standard error. In pools of more than 1,500 rows a sample is compared.
    """

    choice: Choice | None

    title: ClassVar[str] = "tuned words + logistic regression"
    good_for: ClassVar[str] = "as tfidf, with n-grams and C chosen in the training rows"
    takes: ClassVar[str] = "up to 20 times the training of tfidf, under a millisecond an answer"
    revision: ClassVar[int] = 2
    always_compared: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {}

    # The first is that of `tfidf`.
    FEATURES: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("words", "characters"),
        ("words", "longer characters"),
        ("words",),
        ("longer characters",),
    )

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Choose the settings on inner folds, then learn from the whole pool."""
        (self.labels, self.choices), self.choice = labels_and_choices(task), None
        texts, targets = [e.text or " " for e in examples], [e.target for e in examples]
        folds, C, self.note = folds_for(task, examples, TFIDF_ROWS), USUAL_C, TOO_SMALL
        parts, matrices = _vectorised(texts, self.FEATURES) if folds else ({}, {})
        if folds is None or not all(name in parts for name in self.FEATURES[0]):
            # Where texts have no term in common there is nothing to choose either.
            self.features = TfidfFeatures(*self.FEATURES[0])
            matrix = self.features.fit(texts)
        else:
            names, C = self._choose(folds, matrices)
            self.features = TfidfFeatures.joined([parts[name] for name in names])
            matrix = _side_by_side([matrices[name] for name in names])
        self.head = fitted_head(C, self.choices, matrix, targets)

    def facts(self) -> Mapping[str, Any]:
        """Return a note on what was chosen."""
        return {"notes": [self.note]}

    def save(self, folder: Path) -> None:
        """Write the n-grams, their IDF and their weights; no row of the pool."""
        facts, arrays = self.features.state()
        head, weights = self.head.state()
        facts |= {**named(self.labels, self.choices), "head": head, "note": self.note}
        write_fitted(folder, self, facts, {**arrays, **weights})

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy that was saved."""
        super().load(folder)
        self.note, self.choice = _read_note(folder), None

    def _choose(
        self, folds: InnerFolds | SetFolds, matrices: Mapping[str, Any]
    ) -> tuple[tuple[str, ...], float]:
        """Return the vectorisers and C; products of all rows with all are computed once."""
        products = {
            name: (rows := matrix[folds.places]) @ rows.T for name, matrix in matrices.items()
        }
        levels: dict[tuple[tuple[str, ...], float], Any] = {}
        for names in self.FEATURES:
            if all(name in products for name in names):
                whole = sum((products[name] for name in names[1:]), products[names[0]]).toarray()
                path = _by_strength(row_coordinates(whole), folds)
                levels |= {(names, C): level for C, level in path.items()}
        (names, C), self.choice = _choice(levels, (self.FEATURES[0], USUAL_C), folds)
        self.note = _said(self.choice, f"C = {C:g} on {' and '.join(names)}", self.choices)
        return names, C


class TunedProbe(Probe):
    """`probe` with C chosen on the training rows, by five-fold cross-validation.

    Texts are embedded once. The C of `probe` stays unless another is better by more than a standard
    error. In pools of more than 4,000 rows a sample is compared.
    """

    choice: Choice | None

    title: ClassVar[str] = "tuned embeddings + logistic regression"
    good_for: ClassVar[str] = "as probe, with C chosen in the training rows"
    takes: ClassVar[str] = "seconds to train, milliseconds an answer"
    revision: ClassVar[int] = 2
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __init__(self, *, seed: int, encoder: str = DEFAULT_ENCODER) -> None:
        self.seed, self.encoder = seed, encoder

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Choose C on inner folds, then learn the head from the whole pool."""
        (self.labels, self.choices), self.cached = labels_and_choices(task), 0.0
        features = self._embed([example.text for example in examples])
        targets = [example.target for example in examples]
        self.choice, C, self.note = None, USUAL_C, TOO_SMALL
        if (folds := folds_for(task, examples, ENCODED_ROWS)) is not None:
            C = self._choose(folds, features)
        self.head = fitted_head(C, self.choices, features, targets)

    def facts(self) -> Mapping[str, Any]:
        """Return the seconds that cached embeddings had taken, and what was chosen."""
        return {**super().facts(), "notes": [self.note]}

    def save(self, folder: Path) -> None:
        """Write the head; the encoder is named, not copied."""
        head, weights = self.head.state()
        facts = {**named(self.labels, self.choices), "head": head, "note": self.note}
        write_fitted(folder, self, facts, weights)

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy that was saved."""
        super().load(folder)
        self.note, self.choice = _read_note(folder), None

    def _choose(self, folds: InnerFolds | SetFolds, features: Any) -> float:
        rows = features[folds.places]
        if len(rows) < rows.shape[1]:
            rows = row_coordinates(rows @ rows.T)
        levels = _by_strength(rows, folds)
        C, self.choice = _choice(levels, USUAL_C, folds)
        self.note = _said(self.choice, f"C = {C:g}", self.choices)
        return C


# How much a neighbour's vote weighs, from (n, k) cosines, the highest first.
WEIGHTINGS: Mapping[str, Any] = {
    "cosine": lambda cosines: np.maximum(cosines, 0.0),
    "equal": np.ones_like,
    "steep": lambda cosines: np.exp(10.0 * (cosines - cosines[:, :1])),
}
NEIGHBOURS = (1, 3, 5, 10, 15, 25, 40)

# Those of `knn`.
USUAL_VOTE = ("cosine", 5)


class TunedKnn(Knn):
    """`knn` with k and the weight of a neighbour's vote chosen on the training rows.

    One search gives the neighbours of every row outside its fold. A vote weighs as much as its
    cosine ("cosine", as in `knn`), the same for all ("equal"), or e-fold less with each tenth of
    cosine behind the nearest ("steep"). The settings of `knn` stay unless others are better by more
    than a standard error. In pools of more than 4,000 rows a sample is compared.
    """

    choice: Choice | None

    title: ClassVar[str] = "tuned nearest neighbours"
    good_for: ClassVar[str] = "as knn, with k and the weights of votes chosen in the training rows"
    takes: ClassVar[str] = "under a second to choose, milliseconds an answer"
    reference: ClassVar[bool] = False
    revision: ClassVar[int] = 2
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __init__(self, *, seed: int, encoder: str = DEFAULT_ENCODER) -> None:
        self.seed, self.encoder = seed, encoder

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Index the pool, and choose on inner folds."""
        super().fit(task, examples)
        self.choice, self.note = None, TOO_SMALL
        self.weighting, self.near = USUAL_VOTE
        if (folds := folds_for(task, examples, ENCODED_ROWS)) is not None:
            self._choose(folds)

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with the label that gets the most votes of the most similar neighbours.

        Of sets it is the one that comes nearest to theirs, by mean F1.
        """
        if self.choices:
            return self._sets(items, self.near, WEIGHTINGS[self.weighting])
        votes = np.full((len(items), len(self.labels)), FLOOR)
        evidence = []
        for row, neighbours in enumerate(self.retriever.search(items, self.near)):
            evidence.append(tuple(n.example.id for n in neighbours))
            cosines = np.array([[n.similarity for n in neighbours]])
            weights = WEIGHTINGS[self.weighting](cosines)[0] if neighbours else ()
            for n, weight in zip(neighbours, weights, strict=True):
                votes[row, self.labels.index(n.example.target)] += weight
        scores = np.log(votes / votes.sum(axis=1, keepdims=True))
        return Answers.from_scores(self.labels, scores, evidence=tuple(evidence))

    def facts(self) -> Mapping[str, Any]:
        """Return the seconds that cached embeddings had taken, and what was chosen."""
        return {**super().facts(), "notes": [self.note]}

    def save(self, folder: Path) -> None:
        """Write the pool itself, texts and labels, with its vectors."""
        rows, vectors = self.retriever.state()
        facts = {
            **named(self.labels, self.choices),
            "rows": rows,
            "note": self.note,
            "near": self.near,
            "weighting": self.weighting,
        }
        write_fitted(folder, self, facts, vectors)

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy that was saved."""
        super().load(folder)
        facts = read_json(folder / FACTS)
        self.note, self.choice = _read_note(folder), None
        self.near, self.weighting = facts["near"], facts["weighting"]
        if type(self.near) is not int or self.near < 1 or self.weighting not in WEIGHTINGS:
            raise ValueError("the number of neighbours or the weights of votes are none of knn's")

    def _choose(self, folds: InnerFolds | SetFolds) -> None:
        _, state = self.retriever.state()
        nearest, cosines = _neighbours(state["vectors"][folds.places], folds.fold)
        levels = {
            (name, k): level
            for name, weigh in WEIGHTINGS.items()
            for k, level in _votes(folds, nearest, cosines, weigh)
        }
        (self.weighting, self.near), self.choice = _choice(levels, USUAL_VOTE, folds)
        said = f"k = {self.near} with {self.weighting} weights of votes"
        self.note = _said(self.choice, said, self.choices)


def _vectorised(
    texts: Sequence[str], sets: Sequence[Sequence[str]]
) -> tuple[dict[str, TfidfFeatures], dict[str, Any]]:
    """Return each vectoriser of some sets, fitted on all texts, and its matrix."""
    parts, matrices = {}, {}
    for name in dict.fromkeys(name for names in sets for name in names):
        features = TfidfFeatures(name)
        matrix = features.fit(texts)
        if features.vectorisers == (name,):  # else there was no term
            parts[name], matrices[name] = features, matrix.tocsr()
    return parts, matrices


def _side_by_side(matrices: Sequence[Any]) -> Any:
    from scipy.sparse import hstack

    return hstack(list(matrices)).tocsr()


Setting = TypeVar("Setting")


def folds_for(task: Task, examples: Sequence[Example], most: int) -> InnerFolds | SetFolds | None:
    """Return the inner folds of a pool; None where it is too small."""
    if isinstance(task, Multilabel):
        return inner_folds_of_sets(task, examples, min(most, SET_ROWS), SET_FOLDS)
    return inner_folds(examples, most)


def _by_strength(rows: Any, folds: InnerFolds | SetFolds) -> dict[float, Any]:
    """Return log-probabilities of held-out rows with each C; of sets the labels' probabilities."""
    if isinstance(folds, InnerFolds):
        path = held_out_path(rows, folds.codes, folds.fold, STRENGTHS)
        return dict(zip(STRENGTHS, path, strict=True))
    sets = held_out_sets(rows, folds.members, folds.fold, STRENGTHS)
    return dict(zip(STRENGTHS, sets, strict=True))


def _choice(
    levels: Mapping[Setting, Any], usual: Setting, folds: InnerFolds | SetFolds
) -> tuple[Setting, Choice]:
    """Choose a setting by what held-out rows are given with it.

    That is (n, classes) log-probabilities; of sets (n, labels) probabilities, or (n,) scores.
    """
    order = [usual, *(setting for setting in levels if setting != usual)]
    if isinstance(folds, InnerFolds):
        own = np.arange(len(folds.codes)), folds.codes
        right = np.stack([levels[s].argmax(axis=1) == folds.codes for s in order])
        likelihood = np.stack([levels[s][own] for s in order]).astype(np.float64)
    elif levels[usual].ndim == 1:
        right = np.stack([levels[s] for s in order])
        likelihood = np.zeros(right.shape)
    else:
        found = [held_out_scores(levels[s], folds.members, folds.fold) for s in order]
        right, likelihood = (np.stack(some) for some in zip(*found, strict=True))
    learnt = 1 - 1 / len(np.unique(folds.fold))
    choice = choose_setting(right.astype(np.float64), likelihood, folds.clusters, learnt=learnt)
    return order[choice.index], choice


def _said(choice: Choice, setting: str, choices: Sequence[str]) -> str:
    return choice.sentence(setting, "Example F1" if choices else "Accuracy")


def _neighbours(vectors: Any, fold: Any) -> tuple[Any, Any]:
    """Return each row's (n, k) nearest rows of other folds and their cosines, nearest first."""
    most = min(max(NEIGHBOURS), len(vectors) - 1)
    nearest, cosines = [], []
    for first in range(0, len(vectors), 1_000):
        some = slice(first, first + 1_000)
        products = np.round(vectors[some] @ vectors.T, 5)
        products[fold[some][:, None] == fold] = -np.inf
        order = np.argsort(-products, axis=1, kind="stable")[:, :most]
        nearest.append(order)
        cosines.append(np.take_along_axis(products, order, axis=1))
    return np.concatenate(nearest), np.concatenate(cosines).astype(np.float64)


def _votes(
    folds: InnerFolds | SetFolds, nearest: Any, cosines: Any, weigh: Any
) -> list[tuple[int, Any]]:
    """Return (n, classes) log-shares of the votes for each number of neighbours; of sets scores."""
    known = np.isfinite(cosines)  # a pool may have fewer rows outside a fold
    weights = np.where(known, weigh(np.where(known, cosines, 0.0)), 0.0)
    if not isinstance(folds, InnerFolds):
        return _set_votes(folds.members, nearest, np.where(known, np.maximum(weights, FLOOR), 0.0))
    votes = np.full((len(nearest), len(folds.labels)), FLOOR)
    rows, found = np.arange(len(nearest)), []
    for k in range(1, max(NEIGHBOURS) + 1):
        if k <= nearest.shape[1]:
            votes[rows, folds.codes[nearest[:, k - 1]]] += weights[:, k - 1]
        if k in NEIGHBOURS:
            found.append((k, np.log(votes / votes.sum(axis=1, keepdims=True))))
    return found


def _set_votes(members: Any, nearest: Any, weights: Any) -> list[tuple[int, Floats]]:
    """Return (n,) example-F1 of the best sets of (n, most) neighbours, for each number of them."""
    found = []
    for k in NEIGHBOURS:
        own = weights[:, :k] / weights[:, :k].sum(axis=1, keepdims=True)
        parts = [
            best_sets(members[nearest[first : first + 250, :k]], own[first : first + 250])
            for first in range(0, len(members), 250)
        ]
        found.append((k, example_f1s(np.concatenate(parts), members)))
    return found


def _read_note(folder: Path) -> str:
    note = read_json(folder / FACTS)["note"]
    if not isinstance(note, str):
        raise ValueError("the note on what was chosen is no text")
    return note

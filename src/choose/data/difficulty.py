"""How hard each row is for a cheap baseline that did not learn from it.

Folds are balanced by it, and rows are asked in an order that is spread over it, so that the part
of the rows that a budget reaches is like the rest. It is about rows, never about candidates: no
accuracy is computed from it. What it does to accuracies and their intervals is measured in
`benchmarks/folds.py`. Where targets are not labels, or where more than `MOST_ROWS` rows are tested,
of which any part is like the rest, it is the rank of the row's length instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from choose.types import Example, Floats

# Hashed features of words and of characters; more of them change nothing that could be measured.
FEATURES = 2**15

# Characters that are read of a text.
MOST_CHARACTERS = 1_000

# Rows that the baseline learns from, and rows that it answers: features of all take minutes.
MOST_ROWS = 10_000

# Added to each feature's weight in each class.
SMOOTHING = 0.1

# Probabilities are rounded, so that another processor's last digit cannot change an order.
DIGITS = 4


def cross_fitted(rows: Sequence[Example], parts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the difficulty in [0, 1] of each row by id, from fits on the other parts.

    Clustered rows must be in one part, as in `stratified_folds`.
    """
    if len(rows) > MOST_ROWS:
        return by_length(rows)
    place = {row.id: number for number, row in enumerate(rows)}
    matrices, codes = _features(rows), _codes(rows)
    found = np.ones(len(rows))
    for part in parts:
        asked = np.array([place[id] for id in part], dtype=int)
        others = np.setdiff1d(np.arange(len(rows)), asked)
        found[asked] = _difficulty(matrices, codes, others, asked)
    return _by_id(rows, found)


def held_out(pool: Sequence[Example], test: Sequence[Example]) -> dict[str, float]:
    """Return the difficulty in [0, 1] of each test row by id, from one fit on pool rows."""
    if len(test) > MOST_ROWS:
        return by_length(test)
    if len(pool) > MOST_ROWS:
        pool = Random(0).sample(pool, MOST_ROWS)
    rows = [*pool, *test]
    places = np.arange(len(rows))
    learnt, asked = places[: len(pool)], places[len(pool) :]
    return _by_id(test, _difficulty(_features(rows), _codes(rows), learnt, asked))


def by_length(rows: Sequence[Example]) -> dict[str, float]:
    """Return the rank, in [0, 1], of the characters of each row's text and target; ties by id."""
    ranked = sorted(rows, key=lambda e: (len(e.text) + len(e.target), e.id))
    rank = {e.id: n for n, e in enumerate(ranked)}
    return _by_id(rows, np.array([rank[e.id] for e in rows]) / max(len(rows) - 1, 1))


def _difficulty(matrices: Sequence[Any], codes: Any, learnt: Any, asked: Any) -> Floats:
    """Return (asked,) one less the mean probability of the true label: words and characters."""
    from sklearn.naive_bayes import MultinomialNB

    true = np.zeros(len(asked))
    if not len(learnt) or not len(asked):
        return 1 - true
    for matrix in matrices:
        known = MultinomialNB(alpha=SMOOTHING).fit(matrix[learnt], codes[learnt])
        column = np.searchsorted(known.classes_, codes[asked]).clip(max=len(known.classes_) - 1)
        chances = known.predict_proba(matrix[asked])[np.arange(len(asked)), column]
        true += np.where(known.classes_[column] == codes[asked], chances, 0.0)
    return np.asarray(1 - true / len(matrices), dtype=np.float64)


def _features(rows: Sequence[Example]) -> list[Any]:
    """Return sparse TF-IDF matrices (rows, FEATURES): of words, and of characters."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    texts = [row.text[:MOST_CHARACTERS] for row in rows]
    options: list[Mapping[str, Any]] = [
        {"token_pattern": r"(?u)\b\w+\b|[^\w\s]"},
        {"analyzer": "char_wb", "ngram_range": (2, 4)},
    ]
    matrices = []
    for how in options:
        counter = HashingVectorizer(n_features=FEATURES, alternate_sign=False, norm=None, **how)
        counts = counter.transform(texts)
        matrices.append(TfidfTransformer(sublinear_tf=True).fit_transform(counts))
    return matrices


def _codes(rows: Sequence[Example]) -> Any:
    return np.unique([row.target for row in rows], return_inverse=True)[1]


def _by_id(rows: Sequence[Example], found: Floats) -> dict[str, float]:
    rounded = np.round(found, DIGITS).tolist()
    return {row.id: value for row, value in zip(rows, rounded, strict=True)}

"""Add label noise to a training pool, nested by rate and equal in pools of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Literal

import numpy as np

from choose.errors import StudyError, did_you_mean
from choose.types import Example, Floats

Kind = Literal["symmetric", "confused-pair", "class-dependent"]
KINDS: tuple[Kind, ...] = ("symmetric", "confused-pair", "class-dependent")


def add_noise(
    examples: Sequence[Example],
    task_labels: Sequence[str],
    kind: Kind,
    rate: float,
    seed: int,
    confusion: Floats | None = None,
) -> list[Example]:
    """Flip the labels of some rows and keep the order.

    Whether a row flips, and to what, depends on its id, its label and the seed alone, so a higher
    rate flips a superset to the same labels. Replacements are uniform (``symmetric``), the label
    most confused with the true one (``confused-pair``) or drawn from the confusion
    (``class-dependent``). A row flips with probability `rate`; with ``class-dependent`` the
    classes differ in proportion to how often they are confused, and `rate` is their mean, so that
    the transition matrix has the trace (1 - rate) K.

    Args:
        examples: the pool.
        task_labels: the K labels in the order of the task.
        kind: which labels replace which.
        rate: in [0, 1).
        seed: the same seed flips the same rows.
        confusion: (K, K), rows summing to 1, true labels down, answers across; by default
            `similarity_of_labels` in `examples`, which is not shared between pools.

    Raises:
        StudyError: if the rate or the kind does not exist.
    """
    _check(kind, rate)
    if rate == 0 or not examples:
        return list(examples)
    position = {label: i for i, label in enumerate(task_labels)}
    weights = _weights(examples, task_labels, kind, confusion)
    rates = _rates(weights, rate) if kind == "class-dependent" else np.full(len(weights), rate)
    steps = _steps(weights, kind)
    return [_flip(example, position, rates, steps, seed, task_labels) for example in examples]


def label_similarity(examples: Sequence[Example], task_labels: Sequence[str]) -> Floats:
    """Return the similarity of the labels' texts, (K, K), with rows summing to 1.

    It is the cosine of the labels' mean TF-IDF vectors, 0 for a label without rows.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    position = {label: i for i, label in enumerate(task_labels)}
    vectors = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True).fit_transform(
        [*(example.text for example in examples), "a"]
    )
    centroids = np.zeros((len(task_labels), vectors.shape[1]))
    for label, row in position.items():
        rows = [n for n, example in enumerate(examples) if example.target == label]
        if rows:
            centroids[row] = np.asarray(vectors[rows].mean(axis=0)).ravel()
    norms = np.linalg.norm(centroids, axis=1, keepdims=True)
    unit = np.divide(centroids, norms, out=np.zeros_like(centroids), where=norms > 0)
    alike: Floats = unit @ unit.T
    np.fill_diagonal(alike, 1.0)
    alike /= alike.sum(axis=1, keepdims=True)
    return alike


def _check(kind: str, rate: float) -> None:
    if kind not in KINDS:
        raise StudyError(
            f"No label noise {kind!r}.{did_you_mean(kind, KINDS)} Allowed: {', '.join(KINDS)}."
        )
    if not 0 <= rate < 1:
        raise StudyError(
            f"A noise rate of {rate:g} cannot be used: it is the share of labels that are "
            "flipped. Allowed: 0 up to (not including) 1, for example 0.1."
        )


def _weights(
    examples: Sequence[Example], task_labels: Sequence[str], kind: Kind, confusion: Floats | None
) -> Floats:
    """Return the weights of the replacements (columns) of each label (rows); the diagonal is 0."""
    count = len(task_labels)
    if kind == "symmetric":
        weights = np.ones((count, count))
    elif confusion is None:
        weights = label_similarity(examples, task_labels)
    else:
        weights = np.array(confusion, dtype=np.float64)
        if weights.shape != (count, count):
            raise StudyError(
                f"The confusion has the shape {weights.shape}; {count} labels need "
                f"({count}, {count})."
            )
    np.fill_diagonal(weights, 0.0)
    return weights


def _rates(weights: Floats, rate: float) -> Floats:
    """Return the flip rate of each label: proportional to its confusion, at most 1, mean `rate`."""
    # A label that is never confused can still flip once all others flip always.
    shares = np.maximum(weights.sum(axis=1), 1e-12)
    rates = np.zeros(len(shares))
    left, open_ = rate * len(shares), np.ones(len(shares), dtype=bool)
    while open_.any():
        rates[open_] = shares[open_] * left / shares[open_].sum()
        full = open_ & (rates >= 1)
        if not full.any():
            break
        rates[full] = 1.0
        left, open_ = left - float(full.sum()), open_ & ~full
    return rates


def _steps(weights: Floats, kind: Kind) -> Floats:
    """Return the cumulative distribution of each label's replacements."""
    none = weights.sum(axis=1) <= 0
    weights = np.where(none[:, None], 1.0 - np.eye(len(weights)), weights)
    if kind == "confused-pair":
        weights = np.eye(len(weights))[weights.argmax(axis=1)]
    return np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)


def _flip(
    example: Example,
    position: dict[str, int],
    rates: Floats,
    steps: Floats,
    seed: int,
    task_labels: Sequence[str],
) -> Example:
    row = position[example.target]
    if _uniform("flip", seed, example.id) >= rates[row]:
        return example
    # The diagonal has weight 0, and a search from the right never picks it.
    quantile = _uniform("label", seed, example.id) * steps[row, -1]
    return replace(example, target=task_labels[int(np.searchsorted(steps[row], quantile, "right"))])


def _uniform(purpose: str, seed: int, id: str) -> float:
    hashed = blake2b(f"{purpose} {seed} {id}".encode("utf-8", "surrogatepass"), digest_size=7)
    return int.from_bytes(hashed.digest(), "big") / 2**56

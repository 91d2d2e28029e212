"""Add noise to the targets of a training pool, nested by rate and equal in pools of any size."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import cast

import numpy as np

from choose.corpus import Corpus
from choose.errors import StudyError, did_you_mean
from choose.tasks.answering import corpus_of, passage_field
from choose.tasks.evidence_spans import evidence_of_another
from choose.tasks.kinds import KINDS as KINDS_OF_TASKS
from choose.tasks.target_noise import IN_DOCUMENT, IN_PASSAGE, other_spans
from choose.types import Example, Floats, LabelNoise, Task

# Other rows that are tried, in the order of a ring, for a target or a value that differs.
DONORS = 200

# Passages with a row's evidence in which other words are taken for its answer.
PASSAGES = 20

KINDS: tuple[LabelNoise, ...] = ("symmetric", "confused-pair", "class-dependent")


def add_noise(
    examples: Sequence[Example],
    task_labels: Sequence[str],
    kind: LabelNoise,
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


def noisy(
    pool: Sequence[Example],
    task: Task,
    kind: str,
    rate: float,
    seed: int,
    donors: Sequence[Example] | None = None,
) -> list[Example]:
    """Return a pool with noise of a kind that its task knows, in the same order.

    Labels are flipped by `add_noise`. Of records and texts, a row is disturbed with probability
    `rate`, if its target has what the noise needs, such as a number; what it takes from other rows,
    it takes from `donors` (by default the pool), which should be the whole pool of a fold, so that
    smaller pools get the same noise. ``swapped-in-document`` takes the answer to another question
    on the same document or passage, if one has any, and ``wrong-span`` other words of the passage.
    Evidence follows the answer (`evidence_of_another`).

    Raises:
        StudyError: if the rate or the kind does not exist.
    """
    disturb = KINDS_OF_TASKS[task.kind].disturb
    if disturb is None:
        return add_noise(pool, task.labels, cast("LabelNoise", kind), rate, seed)
    _check(kind, rate, tuple(disturb))
    if not rate:
        return list(pool)
    ring = sorted(donors or pool, key=lambda e: (_uniform("donor", seed, e.id), e.id))
    others_of = _others(kind, task, ring, seed)
    follows = corpus_of(task) if KINDS_OF_TASKS[task.kind].reads_passages else None
    found = []
    for row in pool:
        if _uniform("flip", seed, row.id) < rate:
            draw = partial(_uniform_of, seed=seed, id=row.id)
            target = disturb[kind](row.target, others_of(row), draw)
            if target != row.target:
                row = replace(row, target=target, accepted=())
                if row.evidence and follows is not None:
                    row = replace(row, evidence=evidence_of_another(row, follows))
        found.append(row)
    return found


# Gives the targets that a row may get.
Others = Callable[[Example], Iterable[str]]


def _others(kind: str, task: Task, ring: Sequence[Example], seed: int) -> Others:
    siblings, corpus, field = (
        KINDS_OF_TASKS[task.kind].siblings,
        corpus_of(task),
        passage_field(task),
    )
    if kind == IN_PASSAGE:
        return partial(_rotated, seed, partial(_other_spans, corpus, field))
    if kind != IN_DOCUMENT:
        places = [_uniform("donor", seed, row.id) for row in ring]
        return partial(_in_ring, ring, places, seed)
    if siblings is not None and corpus is not None:
        return partial(_rotated, seed, lambda row: siblings(row.target, corpus))
    found: dict[str | None, list[str]] = defaultdict(list)
    for row in ring:
        found[_document_of(row, field)].append(row.target)
    found.pop(None, None)
    return partial(_rotated, seed, lambda row: found.get(_document_of(row, field), ()))


def _in_ring(
    ring: Sequence[Example], places: Sequence[float], seed: int, row: Example
) -> Iterator[str]:
    """Yield the targets of the rows after a row's place in an order that the seed decides."""
    start = bisect_right(places, _uniform("donor", seed, row.id))
    return (ring[(start + i) % len(ring)].target for i in range(min(DONORS, len(ring))))


def _rotated(seed: int, of: Others, row: Example) -> list[str]:
    """Return what a row may get, from some place of it on."""
    own = list(of(row))
    first = int(_uniform("donor", seed, row.id) * len(own))
    return [*own[first:], *own[:first]]


def _document_of(row: Example, field: str | None) -> str | None:
    """Return the document with a row's evidence, or the passage that it brings; None without."""
    own = row.fields.get(field) if field else None
    return row.evidence[0].document if row.evidence else own


def _other_spans(corpus: Corpus | None, field: str | None, row: Example) -> Iterable[str]:
    """Return other words of the passages with a row's evidence, or of the one that it brings."""
    if field:
        return other_spans(row.fields.get(field, ""), row.targets)
    passages = corpus.overlapping(row.evidence)[:PASSAGES] if corpus else ()
    return [text for one in passages for text in other_spans(one.text, row.targets)]


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


def _check(kind: str, rate: float, known: Sequence[str] = KINDS) -> None:
    if kind not in known:
        raise StudyError(
            f"No label noise {kind!r}.{did_you_mean(kind, known)} Allowed: {', '.join(known)}."
        )
    if not 0 <= rate < 1:
        raise StudyError(
            f"A noise rate of {rate:g} cannot be used: it is the share of labels that are "
            "flipped. Allowed: 0 up to (not including) 1, for example 0.1."
        )


def _weights(
    examples: Sequence[Example],
    task_labels: Sequence[str],
    kind: LabelNoise,
    confusion: Floats | None,
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


def _steps(weights: Floats, kind: LabelNoise) -> Floats:
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


def _uniform_of(purpose: str, seed: int, id: str) -> float:
    return _uniform(purpose, seed, id)


def _uniform(purpose: str, seed: int, id: str) -> float:
    hashed = blake2b(f"{purpose} {seed} {id}".encode("utf-8", "surrogatepass"), digest_size=7)
    return int.from_bytes(hashed.digest(), "big") / 2**56

"""Choose a setting of a cheap baseline on its own training rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import strata_of, stratified_sample
from choose.models.classical.tfidf_logistic import LogisticHead
from choose.progress import decided_in_time, report_progress, seconds_to_aim
from choose.types import Counts, Example, Floats, Task

# Values of C, the usual one first, and parts of the rows, each of which is held out in turn.
STRENGTHS, PARTS = (10.0, 1.0, 3.0, 30.0, 100.0), 3

# Rows a label, on average, from which on C is chosen. Below the choice gains nothing.
ROWS_A_LABEL = 10

# Keeps the logarithm of a probability finite.
LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a pool on which settings are compared.

    Attributes:
        places: (n,) indices of the rows in the pool, ascending.
        clusters: (n,) numbers; near-duplicates and rows of a group share one.
    """

    places: Counts
    clusters: Counts


def sample_rows(task: Task, examples: Sequence[Example], most: int) -> Sample:
    """Return at most `most` rows of a pool, stratified; no seed decides which."""
    ids = [e.id for e in examples]
    kept = {*stratified_sample(ids, strata_of(task, examples), most, "inner")}
    places = [place for place, id in enumerate(ids) if id in kept]
    rows = [examples[place] for place in places]
    cluster, numbers = clusters_of(rows, index_texts(rows)), dict[str, int]()
    own = [numbers.setdefault(cluster.get(e.id, f"row {e.id}"), len(numbers)) for e in rows]
    return Sample(np.array(places, dtype=np.int64), np.array(own, dtype=np.int64))


def choose_strength(rows: Floats, targets: Sequence[str], clusters: Counts) -> float:
    """Return the C of a logistic regression that gives held-out labels the highest likelihood.

    The usual one stays unless another is better by more than a standard error of the paired
    difference, and where the rows are too few or the time is too short.

    Args:
        rows: (n, d) features.
        targets: (n,) labels.
        clusters: (n,) numbers; rows of one cluster are held out together.
    """
    if len(rows) < ROWS_A_LABEL * len(set(targets)):
        return STRENGTHS[0]
    part, labels = clusters % PARTS, np.array(targets)
    likelihood = np.zeros((len(STRENGTHS), len(rows)))
    parts, done, start = np.unique(part), 0, perf_counter()
    for held in (part == number for number in parts):
        for setting, C in enumerate(STRENGTHS):
            head = LogisticHead(C)
            head.fit(rows[~held], labels[~held].tolist())
            columns = {label: column for column, label in enumerate(head.seen)}
            own = np.array([columns.get(label, -1) for label in labels[held]])
            found = head.probabilities(rows[held])[np.arange(len(own)), own]
            likelihood[setting, held] = np.log(np.where(own < 0, 0.0, found) + LEAST)
            done, total = done + 1, len(parts) * len(STRENGTHS)
            in_time = (perf_counter() - start) * (total - done) / done <= seconds_to_aim()
            if not decided_in_time("choosing C", in_time, 1):
                return STRENGTHS[0]
            report_progress(done, total, "choosing C")
    best = int(likelihood.mean(axis=1).argmax())
    return STRENGTHS[0 if is_level(likelihood[best] - likelihood[0]) else best]


def is_level(gaps: Floats) -> bool:
    """Return whether mean paired differences are at most one standard error above 0.

    The rule of Breiman, Friedman, Olshen and Stone (1984).
    """
    if len(gaps) < 2:
        return bool(gaps.mean() <= 0)
    return bool(gaps.mean() <= gaps.std(ddof=1) / math.sqrt(len(gaps)))

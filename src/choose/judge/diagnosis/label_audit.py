"""The label audit: which labels out-of-fold answers contradict, and how many may be wrong.

It removes no row and changes no label; it says where a person should look.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np

from choose.judge.diagnosis.label_noise import (
    NONE,
    Auditor,
    NoiseBounds,
    auditor_of,
    confident_labels,
    confirmed_labels,
    joint_distribution,
    log_odds,
    noise_bounds,
    weakness,
    wrong_share,
)
from choose.judge.evidence import Evidence
from choose.judge.scores.out_of_fold import out_of_fold
from choose.judge.stats.intervals import wilson
from choose.judge.stats.metrics import Codes
from choose.schema.base import Interval
from choose.schema.diagnosis import Audit, LabelOverlap, NoiseBand, Suspect

# Doubted labels that the record lists; its count is of all.
MOST_SUSPECTS = 200

MOST_OVERLAPS = 10

# One suspected row makes no overlap.
FEWEST = 2


def audit_labels(evidence: Evidence) -> Audit | None:
    """Compare the labels with out-of-fold answers; None without an auditor.

    There is none either where targets are no labels.
    """
    if not evidence.labels:
        return None
    auditor = auditor_of(evidence) if len(evidence.labels) > 1 else None
    if auditor is None:
        return None
    labels = len(evidence.labels)
    counted = confident_labels(auditor.targets, auditor.probabilities)
    bounds = noise_bounds(auditor, _clusters(evidence, auditor))
    weak = weakness(auditor, bounds)
    suspected = labels_to_check(auditor, bounds)
    low, high = wilson(auditor.accuracy * bounds.units, bounds.units)
    share = wrong_share(joint_distribution(auditor.targets, counted, labels))
    return Audit(
        auditors=auditor.names,
        rows=len(auditor.ids),
        accuracy=Interval(value=auditor.accuracy, low=low, high=high),
        net_accuracy=bounds.net_accuracy,
        noise=None
        if weak
        else NoiseBand(low=bounds.low, high=bounds.high, confident_learning=share),
        weak=weak,
        ceiling=None if weak else _ceiling(bounds.low, bounds.high, bounds.middle),
        contradicted=int(auditor.contradicts.sum()),
        suspected=len(suspected),
        suspects=tuple(_suspects(evidence, auditor, suspected[:MOST_SUSPECTS])),
        overlaps=tuple(_overlaps(evidence, auditor, suspected)),
    )


def _clusters(evidence: Evidence, auditor: Auditor) -> tuple[str, ...]:
    cluster: dict[str, str] = {}
    for items in (evidence.items, evidence.pool):
        cluster.update(zip(items.ids, items.clusters, strict=True))
    return tuple(cluster[id] for id in auditor.ids)


def _ceiling(low: float, high: float, middle: float) -> Interval:
    """Return what a candidate that is always right would score on labels like these."""
    return Interval(
        value=1 - min(max(middle, low), high),
        low=1 - high,
        high=1 - low,
        estimand="labels like these",
    )


def labels_to_check(auditor: Auditor, bounds: NoiseBounds) -> Codes:
    """Return the rows whose labels are worth a look, the most doubtful first.

    There is none where the auditor is too weak (`weakness`). Otherwise they are as many as
    confident learning counts as wrong, but no more than the auditor's confident half speaks for:
    that keeps the list of a clean set short, where confident learning counts the auditor's own
    mistakes.
    """
    if weakness(auditor, bounds) is not None:
        return np.zeros(0, dtype=np.int64)
    counted = confident_labels(auditor.targets, auditor.probabilities)
    sure = auditor.contradicts & (counted != NONE) & (counted != auditor.targets)
    return most_doubtful(auditor)[: min(int(sure.sum()), ceil(bounds.shown * len(auditor.ids)))]


def most_doubtful(auditor: Auditor) -> Codes:
    """Return the contradicted rows, the most doubtful first.

    Rows of labels that the auditor does not know well enough are left out; see
    `confirmed_labels`. Confident learning says how many labels are wrong, log-odds rank better
    which: of the planted errors in the sample tickets they put 24 among the first 30, its own rows
    hold 16 of 28.
    """
    known = confirmed_labels(auditor)[auditor.targets]
    rows: Codes = np.flatnonzero(auditor.contradicts & known)
    scores = log_odds(auditor.targets, auditor.probabilities)[rows]
    return rows[np.argsort(-scores, kind="stable")]


def _suspects(evidence: Evidence, auditor: Auditor, rows: Codes) -> Iterator[Suspect]:
    scores = log_odds(auditor.targets, auditor.probabilities)
    votes = _votes(evidence, auditor)
    for row in rows.tolist():
        suggested = auditor.outputs[row]
        cast = votes[row][votes[row] != NONE]
        yield Suspect(
            id=auditor.ids[row],
            label=evidence.labels[auditor.targets[row]],
            suggested=evidence.labels[suggested],
            score=float(scores[row]),
            agree=int((cast == suggested).sum()),
            answered=len(cast),
        )


def _votes(evidence: Evidence, auditor: Auditor) -> Codes:
    """Return (n, candidates) usable answers, else `NONE`; who always answers alike has no vote."""
    place = {id: row for row, id in enumerate(auditor.ids)}
    columns = [np.empty((len(place), 0), dtype=np.int64)]
    for info in evidence.candidates:
        answers = out_of_fold(evidence, info.name)
        if answers is None or len(set(answers.outputs.tolist())) < 2:
            continue
        column = np.full((len(place), 1), NONE, dtype=np.int64)
        both = [i for i, id in enumerate(answers.ids) if id in place]
        column[[place[answers.ids[i]] for i in both], 0] = answers.outputs[both]
        columns.append(column)
    return np.concatenate(columns, axis=1)


def _overlaps(evidence: Evidence, auditor: Auditor, suspected: Codes) -> Iterator[LabelOverlap]:
    labels = len(evidence.labels)
    flat = auditor.targets[suspected] * labels + auditor.outputs[suspected]
    directed = np.bincount(flat, minlength=labels**2).reshape(labels, labels)
    both = np.triu(directed + directed.T, 1)
    support = np.bincount(auditor.targets, minlength=labels)
    order = np.argsort(-both, axis=None, kind="stable")[:MOST_OVERLAPS]
    for a, b in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[a, b] >= FEWEST:
            yield LabelOverlap(
                a=evidence.labels[a],
                b=evidence.labels[b],
                doubted=int(both[a, b]),
                rows=int(support[a] + support[b]),
            )

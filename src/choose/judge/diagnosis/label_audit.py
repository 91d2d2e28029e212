"""The label audit: which labels out-of-fold answers contradict, and how many may be wrong.

It removes no row and changes no label; it says where a person should look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
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
from choose.judge.evidence import Evidence, Items
from choose.judge.scores.out_of_fold import out_of_fold
from choose.judge.stats.intervals import two_way_interval, wilson
from choose.judge.stats.metrics import Codes
from choose.schema.base import Interval
from choose.schema.diagnosis import Agreement, Audit, LabelOverlap, NoiseBand, Suspect
from choose.types import Floats

_REPLICATES = 2000

_ESTIMAND = "these annotators, other rows"

# Doubted labels that the record lists; its count is of all.
MOST_SUSPECTS = 200

MOST_OVERLAPS = 10

# One suspected row makes no overlap.
FEWEST = 2


def annotator_agreement(parts: Sequence[Items], labels: Sequence[str]) -> Agreement | None:
    """Return the agreement on questions that two annotators or more labelled, or None."""
    code = {label: i for i, label in enumerate(labels)}
    given: dict[str, dict[str, int]] = defaultdict(dict)
    for items in parts:
        for question, who, target in zip(
            items.questions, items.annotators, items.targets, strict=False
        ):
            if who is not None:
                given[question][who] = code[target]
    shared = [by_whom for by_whom in given.values() if len(by_whom) > 1]
    if not shared:
        return None
    counts = np.zeros((len(shared), len(labels)))
    for row, by_whom in enumerate(shared):
        np.add.at(counts[row], list(by_whom.values()), 1.0)
    pairs = two_way_interval(pairwise_agreement(counts))
    return Agreement(
        annotators=len({who for by_whom in shared for who in by_whom}),
        questions=len(shared),
        pairwise=Interval.of(pairs, _ESTIMAND),
        alpha=_alpha_interval(counts),
    )


def pairwise_agreement(counts: Floats) -> Floats:
    """Return (n,) the share of pairs of annotators that agree, from (n, labels) counts of labels.

    Each row needs two annotators or more.
    """
    size = counts.sum(axis=1)
    agreeing: Floats = (counts * (counts - 1)).sum(axis=1) / (size * (size - 1))
    return agreeing


def krippendorff_alpha(counts: Floats, weights: Floats | None = None) -> Floats:
    """Return Krippendorff's nominal alpha, (replicates,) for (replicates, n) weights of questions.

    NaN where every label given is the same, which leaves nothing to agree on.
    """
    by = np.ones((1, len(counts))) if weights is None else weights
    size = counts.sum(axis=1)
    total = by @ size
    observed = by @ (size * (1 - pairwise_agreement(counts))) / total
    margins = by @ counts
    expected = (total**2 - (margins**2).sum(axis=1)) / (total * (total - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - observed / expected)


def _alpha_interval(counts: Floats) -> Interval | None:
    value = float(krippendorff_alpha(counts)[0])
    if not np.isfinite(value):
        return None
    rng = np.random.default_rng(0)
    n = len(counts)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=min(_REPLICATES, 4_000_000 // n + 100))
    spread = krippendorff_alpha(counts, drawn.astype(np.float64))
    low, high = np.nanquantile(spread, (0.025, 0.975))
    return Interval(
        value=value, low=min(float(low), value), high=max(float(high), value), estimand=_ESTIMAND
    )


def audit_labels(evidence: Evidence) -> Audit | None:
    """Compare the labels with out-of-fold answers; None without an auditor or annotators.

    There is none either where targets are no labels.
    """
    if not evidence.labels:
        return None
    agreement = annotator_agreement((evidence.items, evidence.pool), evidence.labels)
    auditor = auditor_of(evidence) if len(evidence.labels) > 1 else None
    if auditor is None:
        return Audit(agreement=agreement) if agreement else None
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
        agreement=agreement,
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

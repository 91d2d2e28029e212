"""The label audit: which labels out-of-fold answers doubt, and how many may be wrong.

It removes no row and changes no label; it says where a person should look.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from choose.judge.agreement import agreement_of
from choose.judge.auditor import Auditor, auditor_of
from choose.judge.confident import NONE, counted_as, joint, log_odds, wrong_share
from choose.judge.evidence import Evidence
from choose.judge.frozen import Interval
from choose.judge.intervals import wilson
from choose.judge.metrics import Codes
from choose.judge.noise_band import ASSUMPTION, bounds, refusal
from choose.judge.record_audit import Audit, NoiseBand, Overlap, Suspect
from choose.judge.unseen import unseen

# As many suspects as a person may look through; the counts beside them are of all.
MOST_SUSPECTS = 200
MOST_OVERLAPS = 10

NOBODY = "No cheap candidate with scores answered rows that it had not learnt from."

# One doubted row makes no overlap.
FEWEST = 2


def audit(evidence: Evidence) -> Audit | None:
    """Hold the labels against out-of-fold answers; None where there is nothing to hold them to."""
    agreement = agreement_of((evidence.items, evidence.pool), evidence.labels)
    auditor = auditor_of(evidence) if len(evidence.labels) > 1 else None
    if auditor is None:
        return Audit(agreement=agreement, no_estimate=NOBODY) if agreement else None
    labels = len(evidence.labels)
    counted = counted_as(auditor.targets, auditor.probabilities)
    sure = auditor.contradicts & (counted != NONE) & (counted != auditor.targets)
    doubtful = _most_doubtful(auditor)
    suspected = doubtful[: int(sure.sum())]
    found = bounds(auditor, _clusters(evidence, auditor))
    why = refusal(auditor, found)
    low, high = wilson(auditor.accuracy * found.units, found.units)
    share = wrong_share(joint(auditor.targets, counted, labels))
    return Audit(
        auditors=auditor.names,
        rows=len(auditor.ids),
        accuracy=Interval(value=auditor.accuracy, low=low, high=high),
        net_accuracy=found.net_accuracy,
        noise=None
        if why
        else NoiseBand(
            low=found.low, high=found.high, confident_learning=share, assumption=ASSUMPTION
        ),
        no_estimate=why,
        ceiling=None if why else _ceiling(found.low, found.high, found.middle),
        contradicted=int(auditor.contradicts.sum()),
        suspected=len(suspected),
        suspects=tuple(_suspects(evidence, auditor, doubtful[:MOST_SUSPECTS])),
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


def _most_doubtful(auditor: Auditor) -> Codes:
    """Return the contradicted rows, the most doubtful first.

    Confident learning says how many labels are wrong, log-odds rank better which: of the planted
    errors in the sample tickets they put 24 among the first 30, its own rows hold 16 of 28.
    """
    rows: Codes = np.flatnonzero(auditor.contradicts)
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
        answers = unseen(evidence, info.name)
        if answers is None or len(set(answers.outputs.tolist())) < 2:
            continue
        column = np.full((len(place), 1), NONE, dtype=np.int64)
        both = [i for i, id in enumerate(answers.ids) if id in place]
        column[[place[answers.ids[i]] for i in both], 0] = answers.outputs[both]
        columns.append(column)
    return np.concatenate(columns, axis=1)


def _overlaps(evidence: Evidence, auditor: Auditor, suspected: Codes) -> Iterator[Overlap]:
    labels = len(evidence.labels)
    flat = auditor.targets[suspected] * labels + auditor.outputs[suspected]
    directed = np.bincount(flat, minlength=labels**2).reshape(labels, labels)
    both = np.triu(directed + directed.T, 1)
    support = np.bincount(auditor.targets, minlength=labels)
    order = np.argsort(-both, axis=None, kind="stable")[:MOST_OVERLAPS]
    for a, b in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[a, b] >= FEWEST:
            yield Overlap(
                a=evidence.labels[a],
                b=evidence.labels[b],
                doubted=int(both[a, b]),
                rows=int(support[a] + support[b]),
            )

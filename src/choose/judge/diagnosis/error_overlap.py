"""Errors that candidates share, and a cascade of a cheap candidate and a strong one.

The confidence from which the cheap one answers is chosen on four fifths of the rows and measured on
the last fifth, in turn, so that no row helps to choose the threshold that it is scored with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from choose.judge.decision.contenders import Contenders
from choose.judge.panel.score_tables import ARTEFACT, CLEAN, MISSING, CandidateScores, ScoreTable
from choose.judge.stats.intervals import AGRESTI_COULL, random_parts, two_way_interval
from choose.judge.stats.metrics import Codes
from choose.judge.stats.paired import paired_difference
from choose.judge.stats.two_way import Mask, row_means
from choose.schema.base import Interval
from choose.schema.diagnosis import Cascade, Doubtful, ErrorOverlap
from choose.types import Floats

PARTS = 5

# Fewer rows than this cannot choose a threshold.
FEWEST_FOR_CASCADE = 50

# Doubtful rows that the record lists; `wrong_in_all` counts them all.
LISTED = 200

# With two candidates, that both are wrong in the same way says little.
FEWEST_FOR_OVERLAP = 3

# Candidates that answered a smaller share of the rows would leave too few in common.
ANSWERED = 0.5


@dataclass(frozen=True)
class Pairing:
    """Two candidates on common rows and repetitions: arrays are (rows, repetitions).

    `weights` (rows,) are what the rows kept count, None where all count the same.
    """

    cheap: Floats
    strong: Floats
    confidence: Floats
    kept: Mask
    weights: Floats | None = None


def cascade(contenders: Contenders, cheap: str, strong: str) -> Cascade | None:
    """Return what the two would reach together, or None where the cheap one states no confidence.

    The threshold lets the cheap one answer as much as costs at most a quarter of the margin
    against the best threshold on the rows that it is chosen on.
    """
    pair = _pairing(contenders.panel[cheap], contenders.panel[strong])
    if pair is None or len(pair.cheap) < FEWEST_FOR_CASCADE:
        return None
    rows = contenders.panel.rows
    clusters, weights = rows.clusters_of(pair.kept), rows.weights_of(pair.kept)
    if weights is not None:
        pair = replace(pair, weights=weights)
    sent, thresholds = route(
        pair, random_parts(len(pair.cheap), clusters, PARTS), contenders.rule.margin / 4
    )
    right = np.where(sent, pair.strong, pair.cheap)
    gains = [
        paired_difference(right, side, clusters, weights) for side in (pair.cheap, pair.strong)
    ]
    reached = two_way_interval(right, clusters, weights)
    # What is sent on is a share of what comes in, whatever labels count.
    plain = rows.plain_weights_of(pair.kept)
    share = two_way_interval(sent.astype(np.float64), clusters, plain, AGRESTI_COULL)
    about = contenders.panel[strong].estimand
    over = [Interval.of(gain, about) for gain in gains]
    return Cascade(
        cheap=cheap,
        strong=strong,
        rows=len(right),
        threshold=(min(thresholds), max(thresholds)),
        accuracy=Interval.of(reached, about),
        sent_on=Interval.of(share, about),
        over_cheap=over[0],
        over_strong=over[1],
        **_costs(contenders, cheap, strong, share.value),
    )


def route(pair: Pairing, parts: np.ndarray, tolerance: float) -> tuple[Mask, list[float]]:
    """Return (rows, repetitions) what goes to the strong one, and each part's threshold."""
    sent = np.zeros(pair.cheap.shape, dtype=np.bool_)
    thresholds = []
    for part in range(PARTS):
        out = parts == part
        own = None if pair.weights is None else pair.weights[~out]
        sides = pair.cheap[~out], pair.strong[~out], pair.confidence[~out]
        thresholds.append(threshold(*sides, tolerance, own))
        sent[out] = pair.confidence[out] < thresholds[-1]
    return sent, thresholds


def threshold(
    cheap: Floats,
    strong: Floats,
    confidence: Floats,
    tolerance: float,
    weights: Floats | None = None,
) -> float:
    """Return the lowest confidence to accept that costs at most `tolerance` on these rows.

    Above 1 where the cheap candidate should answer nothing. Arrays are (rows, repetitions); scores
    are from 0 to 1, and `weights` (rows,) what rows count.
    """
    gains = cheap - strong
    if weights is not None:
        gains = gains * (weights / weights.mean())[:, None]
    order = np.argsort(-confidence.ravel(), kind="stable")
    sure = confidence.ravel()[order]
    gained = np.concatenate(([0.0], np.cumsum(gains.ravel()[order]))) / len(order)
    # Only a cut between different confidences separates rows.
    cuts = np.concatenate(([True], sure[1:] < sure[:-1], [True]))
    good = np.flatnonzero(cuts & (gained >= gained[cuts].max() - tolerance))
    answered = int(good.max())
    return float(sure[answered - 1]) if answered else 2.0


def _pairing(cheap: CandidateScores, strong: CandidateScores) -> Pairing | None:
    if cheap.main is None or strong.main is None:
        return None
    stated = _confidence(cheap.main)
    if stated is None:
        return None
    asked = (~np.isnan(strong.main.right)).sum(axis=0)
    columns = [i for i, count in enumerate(asked) if count == asked.max()]
    draws = [strong.main.draws[i] for i in columns]
    mine = [cheap.main.draws.index(d) if d in cheap.main.draws else 0 for d in draws]
    sides = (cheap.main.right[:, mine], strong.main.right[:, columns], stated[:, mine])
    kept = np.asarray(~np.isnan(np.concatenate(sides, axis=1)).any(axis=1), dtype=np.bool_)
    if not kept.any():
        return None
    right, strong_right, sure = (side[kept] for side in sides)
    return Pairing(right, strong_right, sure, kept)


def _confidence(table: ScoreTable) -> Floats | None:
    """Return (rows, repetitions) the probability of the answer given; None without scores."""
    found = np.full(table.outputs.shape, np.nan)
    for run in table.runs:
        scores = run.answers[CLEAN].scores
        if scores is None:
            return None
        place = [table.rows.index[id] for id in run.asked[CLEAN]]
        found[place, table.draws.index(run.trial.draw)] = np.exp(scores.max(axis=1))
    return found


def _costs(contenders: Contenders, cheap: str, strong: str, sent: float) -> dict[str, float | None]:
    first, second = (contenders.costs[name].record for name in (cheap, strong))
    # A millisecond an item is a second for a thousand items.
    return {
        "cheap_seconds_per_1k": first.ms_per_item,
        "strong_seconds_per_1k": second.ms_per_item,
        "seconds_per_1k": _both(first.ms_per_item, second.ms_per_item, sent),
        "cheap_usd_per_1k": first.usd_per_1k,
        "strong_usd_per_1k": second.usd_per_1k,
        "usd_per_1k": _both(first.usd_per_1k, second.usd_per_1k, sent),
    }


def _both(first: float | None, second: float | None, sent: float) -> float | None:
    """Return the cost of asking the first always and the second for the share sent on."""
    return None if first is None or second is None else first + sent * second


class _Common(NamedTuple):
    """Candidates on the rows that all of them answered: `right` is (candidates, rows kept)."""

    among: tuple[CandidateScores, ...]
    kept: Mask
    right: Mask

    @property
    def wrong_in_all(self) -> Mask:
        """Return (rows kept,) which rows all get wrong."""
        return np.asarray(~self.right.any(axis=0), dtype=np.bool_)


def overlap_of(contenders: Contenders) -> ErrorOverlap | None:
    """Return how errors overlap on common rows, or None with fewer than two candidates."""
    common = _common(contenders)
    if common is None:
        return None
    clusters = contenders.panel.rows.clusters_of(common.kept)
    reached = two_way_interval((~common.wrong_in_all).astype(np.float64), clusters)
    return ErrorOverlap(
        candidates=tuple(c.info.name for c in common.among),
        rows=int(common.kept.sum()),
        wrong_in_all=int(common.wrong_in_all.sum()),
        **_doubtful(contenders, common),
        oracle=Interval.of(reached, ARTEFACT),
        **_pair(contenders, common),
    )


def _common(contenders: Contenders) -> _Common | None:
    among = tuple(c for c in contenders.order if _reads(c) and _answered_share(c) >= ANSWERED)
    if len(among) < 2:
        return None
    scores = np.stack([_row_scores(c) for c in among])
    kept = np.asarray(~np.isnan(scores).any(axis=0), dtype=np.bool_)
    return _Common(among, kept, scores[:, kept] >= 0.5) if kept.any() else None


def _reads(candidate: CandidateScores) -> bool:
    """Return whether it does anything but give every row the same answer."""
    assert candidate.main is not None
    outputs = candidate.main.outputs
    return len(np.unique(outputs[outputs >= 0])) > 1


def _answered_share(candidate: CandidateScores) -> float:
    return float((~np.isnan(_row_scores(candidate))).mean())


def _row_scores(candidate: CandidateScores) -> Floats:
    assert candidate.main is not None
    table = candidate.main
    exact = table.outputs == table.rows.targets[:, None]
    return row_means(np.where(table.outputs == MISSING, np.nan, exact.astype(np.float64)))


def _pair(contenders: Contenders, common: _Common) -> dict[str, Any]:
    """Return how the best cheap and the best other candidate stand to each other."""
    cheap, strong = (_best(contenders, common.among, is_cheap) for is_cheap in (True, False))
    if cheap is None or strong is None:
        return {}
    names = [c.info.name for c in common.among]
    first, second = (~common.right[names.index(name)] for name in (cheap, strong))
    return {
        "cheap": cheap,
        "strong": strong,
        "both_wrong": int((first & second).sum()),
        "both_expected": float(first.sum() * second.sum() / len(first)),
        "only_cheap_wrong": int((first & ~second).sum()),
        "only_strong_wrong": int((second & ~first).sum()),
        "cascade": cascade(contenders, cheap, strong),
    }


def _best(contenders: Contenders, among: Sequence[CandidateScores], is_cheap: bool) -> str | None:
    names = [c.info.name for c in among if c.info.cheap is is_cheap]
    return max(names, key=lambda name: contenders.accuracies[name].value, default=None)


def _doubtful(contenders: Contenders, common: _Common) -> dict[str, Any]:
    """Return the rows that all get wrong, and how many of them most give the same other label."""
    rows, place = contenders.panel.rows, np.flatnonzero(common.kept)[common.wrong_in_all]
    ids, targets = list(rows.index), rows.targets[place]
    votes = np.zeros((len(place), len(rows.labels)), dtype=np.int64)
    for candidate in common.among:
        assert candidate.main is not None
        said = _first_answers(candidate.main.outputs[place])
        usable = np.flatnonzero(said >= 0)
        votes[usable, said[usable]] += 1
    agree = votes.max(axis=1, initial=0)
    order = np.argsort(-agree, kind="stable")[:LISTED]
    listed = tuple(
        Doubtful(
            id=ids[place[i]],
            label=rows.labels[targets[i]],
            instead=rows.labels[votes[i].argmax()] if agree[i] else None,
            agree=int(agree[i]),
        )
        for i in order.tolist()
    )
    most = len(common.among) / 2
    return {
        "doubtful": listed,
        "agreed": int((agree > most).sum()) if len(common.among) >= FEWEST_FOR_OVERLAP else None,
    }


def _first_answers(outputs: Codes) -> Codes:
    """Return (rows,) the first run's answer to each row."""
    first = (outputs != MISSING).argmax(axis=1)
    return np.asarray(outputs[np.arange(len(outputs)), first], dtype=np.int64)

"""A cascade: a fast candidate answers where it is confident, a strong one answers the rest.

The confidence threshold is chosen on four fifths of the rows and measured on the last fifth, in
turn, so that no row helps to choose the threshold that it is scored with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from choose.judge.decision.contenders import Contenders
from choose.judge.evidence import CandidateInfo
from choose.judge.measures.confidence import stated_confidence
from choose.judge.scores.out_of_fold import random_parts
from choose.judge.scores.score_tables import CandidateScores, ScoreTable
from choose.judge.stats.intervals import AGRESTI_COULL, clopper_pearson, two_way_interval
from choose.judge.stats.paired import paired_difference
from choose.judge.stats.two_way import Mask
from choose.schema.base import Interval
from choose.schema.diagnosis import Cascade, Takeover
from choose.types import Floats

PARTS = 5


# Fewer rows than this cannot choose a threshold.
FEWEST_FOR_CASCADE = 50

# A cascade that takes at least this share of the strong candidate's time saves too little.
SAVES = 0.7


@dataclass(frozen=True)
class Pairing:
    """Two candidates on common rows and repetitions: arrays are (rows, repetitions).

    `weights` (rows,) are the weights of the common rows, None if all are equal.
    """

    cheap: Floats
    strong: Floats
    confidence: Floats
    complete: Mask
    weights: Floats | None = None


def cascade(
    contenders: Contenders, cheap: str, strong: str, chosen: str | None = None
) -> Cascade | None:
    """Return what the two would reach together, or None where the cheap one states no confidence.

    All figures are on the rows that the two and the chosen candidate answered.
    The threshold lets the cheap one answer as much as costs at most a quarter of the margin
    against the best threshold on the rows that it is chosen on.
    """
    rival = contenders.panel[chosen].main if chosen is not None else None
    pair = _pairing(contenders.panel[cheap], contenders.panel[strong], rival)
    if pair is None or len(pair.cheap) < FEWEST_FOR_CASCADE:
        return None
    rows = contenders.panel.rows
    clusters, weights = rows.clusters_of(pair.complete), rows.weights_of(pair.complete)
    pair = replace(pair, weights=weights)
    parts = random_parts(len(pair.cheap), clusters, PARTS)
    sent, thresholds = route(pair, parts, contenders.rule.margin / 4)
    right = np.where(sent, pair.strong, pair.cheap)
    sides = (pair.cheap, pair.strong, *([rival.right[pair.complete]] if rival else []))
    about, on, graded = contenders.panel[strong].estimand, rows.row_set(pair.complete), rows.graded
    gains = (paired_difference(right, s, clusters, weights, graded=graded) for s in sides)
    reached = two_way_interval(right, clusters, weights)
    # What is sent on is a share of what comes in, whatever labels count.
    plain = rows.plain_weights_of(pair.complete)
    share = two_way_interval(sent.astype(np.float64), clusters, plain, AGRESTI_COULL)
    over = [Interval.of(gain, about, row_set=on) for gain in gains]
    return Cascade(
        cheap=cheap,
        strong=strong,
        rows=len(right),
        threshold=(min(thresholds), max(thresholds)),
        accuracy=Interval.of(reached, about, row_set=on),
        sent_on=Interval.of(share, about, row_set=on),
        over_cheap=over[0],
        over_strong=over[1],
        chosen=chosen,
        over_chosen=over[2] if rival else None,
        **_costs(contenders, cheap, strong, share.value),
    )


def takeover_of(contenders: Contenders) -> Takeover | None:
    """Return what share of its rows a cheap candidate can take over from the language model.

    That model is the teacher of the study, or else the best one that is hosted, served or given.
    A fifth of the rows chooses the cheap candidate, and the confidences to try; the other rows test
    these. None without such a pair, and where rows do not count alike.
    """
    named = [c for c in contenders.order if not c.info.floor]
    models = [c for c in named if c.info.teaches] or [c for c in named if _is_called(c.info)]
    strong = max(models, key=lambda c: contenders.levels[c.info.name], default=None)
    rows, plain = contenders.panel.rows, contenders.rule.measure.by_rows
    if strong is None or not (rows.labels and plain and rows.weights is None):
        return None
    fast = [c for c in named if c.info.cheap and not c.info.constant and c is not strong]
    found = [(c, pair) for c in fast if (pair := _pairing(c, strong, None)) is not None]
    found = [(c, pair) for c, pair in found if len(pair.cheap) >= FEWEST_FOR_CASCADE]
    most = max((len(pair.cheap) for _, pair in found), default=0)
    trials = [_trial(c, pair, contenders) for c, pair in found if len(pair.cheap) == most]
    if not trials:
        return None
    best = max(trials, key=lambda trial: trial.tried)
    share, lost = best.safe.share, best.safe.lost
    usd = contenders.costs[strong.info.name].record.usd_per_1k
    return Takeover(
        cheap=best.cheap,
        strong=strong.info.name,
        rows=best.rows,
        most=contenders.rule.margin,
        threshold=best.safe.threshold,
        share=share,
        lost=lost,
        strong_usd_per_1k=usd,
        saved_usd_per_1k=usd * share.value if usd is not None and share else None,
    )


def _is_called(info: CandidateInfo) -> bool:
    """Return whether it is a language model that is called: hosted, served, or given as answers."""
    prompted = info.family in ("prompting", "retrieval")
    return not info.cheap and (info.hosted or info.remote or (info.given and prompted))


class Safe(NamedTuple):
    """The lowest confidence that is shown to be safe; None where none is.

    `share` of the rows have it, and `lost` is what the strong candidate would score more, `high` at
    most.
    """

    threshold: float | None = None
    share: Interval | None = None
    lost: Interval | None = None


class _Trial(NamedTuple):
    """A cheap candidate: its score on the rows that choose, and what the others show."""

    cheap: str
    tried: float
    rows: int
    safe: Safe


def _trial(cheap: CandidateScores, pair: Pairing, contenders: Contenders) -> _Trial:
    clusters = contenders.panel.rows.clusters_of(pair.complete)
    chooses = random_parts(len(pair.cheap), clusters, PARTS) == 0
    first = pair.cheap[:, 0], pair.strong[:, 0], pair.confidence[:, 0]
    tests = ~chooses
    if clusters is not None:  # an exact bound needs independent rows: one of each cluster
        names = np.asarray(clusters)
        alone = np.zeros(len(names), dtype=np.bool_)
        alone[np.unique(names, return_index=True)[1]] = True
        tests &= alone
    right, strong, sure = (side[tests] for side in first)
    levels = levels_of(first[2][chooses])
    safe = safe_threshold(right, strong, sure, levels, contenders.rule.margin)
    return _Trial(cheap.info.name, float(first[0][chooses].mean()), int(tests.sum()), safe)


# Shares of the rows at which confidences are tried.
STEPS = 20


def levels_of(confidence: Floats) -> list[float]:
    """Return the confidences that 5, 10, ... 95 % of some rows reach, and 0, which all reach."""
    ordered = np.sort(confidence)[::-1]
    places = [max(len(ordered) * step // STEPS, 1) - 1 for step in range(1, STEPS)]
    return [*dict.fromkeys(float(ordered[place]) for place in places), 0.0]


def safe_threshold(
    cheap: Floats, strong: Floats, confidence: Floats, levels: Sequence[float], most: float
) -> Safe:
    """Return the lowest of some confidences, from which on the cheap one loses at most `most`.

    Levels are tested from the highest on, and the first that fails ends it, so that the chance that
    a level which loses more passes is 5 % at most, however many are tried (fixed sequence testing,
    as in Learn then Test, Angelopoulos et al. 2021). The rows that only one of the two gets right
    have exact bounds (`clopper_pearson`), whose errors add up to those 5 %.

    Args:
        cheap: (n,) whether the cheap candidate is right.
        strong: (n,) whether the strong one is.
        confidence: (n,) of the cheap one.
        levels: to try, descending, chosen on other rows than these.
        most: the share of all rows that may be lost.
    """
    safe, n = Safe(), len(cheap)
    for level in levels:
        takes = confidence >= level
        taken, losses, gains = (
            int(rows.sum()) for rows in (takes, takes & (strong > cheap), takes & (cheap > strong))
        )
        high = clopper_pearson(losses, n)[1] - clopper_pearson(gains, n)[0]
        if high > most:
            break
        low, up = clopper_pearson(taken, n)
        share = Interval(value=taken / n, low=low, high=up)
        safe = Safe(level, share, Interval(value=(losses - gains) / n, high=high))
    return safe


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


def _pairing(
    cheap: CandidateScores, strong: CandidateScores, rival: ScoreTable | None
) -> Pairing | None:
    if cheap.main is None or strong.main is None:
        return None
    stated = stated_confidence(cheap.main)
    if stated is None:
        return None
    answered = (~np.isnan(strong.main.right)).sum(axis=0)
    columns = [i for i, count in enumerate(answered) if count == answered.max()]
    draws = [strong.main.draws[i] for i in columns]
    mine = [cheap.main.draws.index(d) if d in cheap.main.draws else 0 for d in draws]
    sides = (cheap.main.right[:, mine], strong.main.right[:, columns], stated[:, mine])
    complete = np.asarray(~np.isnan(np.concatenate(sides, axis=1)).any(axis=1), dtype=np.bool_)
    if rival is not None:
        complete &= rival.complete
    if not complete.any():
        return None
    right, strong_right, sure = (side[complete] for side in sides)
    return Pairing(right, strong_right, sure, complete)


def _costs(contenders: Contenders, cheap: str, strong: str, sent: float) -> dict[str, float | None]:
    first, second = (contenders.costs[name].record for name in (cheap, strong))
    # A millisecond an item is a second for a thousand items.
    return {
        "strong_seconds_per_1k": second.ms_per_item,
        "seconds_per_1k": _both(first.ms_per_item, second.ms_per_item, sent),
        "strong_usd_per_1k": second.usd_per_1k,
        "usd_per_1k": _both(first.usd_per_1k, second.usd_per_1k, sent),
    }


def _both(first: float | None, second: float | None, sent: float) -> float | None:
    """Return the cost of asking the first always and the second for the share sent on."""
    return None if first is None or second is None else first + sent * second


def pays(cascade: Cascade, margin: float) -> bool:
    """Return whether a cascade is shown to beat both, or to keep the strong one's accuracy cheaper.

    It must gain the margin on the cheap candidate either way; else the cheap one alone will do.
    If the verdict names a third candidate, it must gain the margin on that one too.
    """
    if not _gains(cascade.over_cheap, margin):
        return False
    third = cascade.chosen not in (None, cascade.cheap, cascade.strong)
    if third and cascade.over_chosen is not None and not _gains(cascade.over_chosen, margin):
        return False
    if _gains(cascade.over_strong, margin):
        return True
    spent, alone = cascade.seconds_per_1k, cascade.strong_seconds_per_1k
    low = cascade.over_strong.low
    saves = spent is not None and alone is not None and spent < SAVES * alone
    return saves and low is not None and low > -margin


def _gains(change: Interval, margin: float) -> bool:
    return change.low is not None and change.low > 0 and change.value >= margin

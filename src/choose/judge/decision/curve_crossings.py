"""The number of labels at which one candidate overtakes another.

Inside the data it follows from paired differences at the measured sizes, if the leader is certain
on both sides. Beyond the data it follows from curves fitted to common resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np

from choose.judge.decision.contenders import Contenders
from choose.judge.measures.curve_fit import CurvePoints
from choose.judge.measures.curve_forecast import LIKELY, Ensemble, horizon, labels_to_reach
from choose.judge.scores.paired_comparison import Side, compare, full_pool, other_pool
from choose.judge.scores.score_tables import CandidateScores, ScoreTable
from choose.judge.stats.paired import Difference
from choose.judge.stats.two_way import row_means
from choose.schema.base import Interval
from choose.schema.decision import Crossing
from choose.types import Floats

MEASURED = "between sizes where the leader is certain"

FORECAST = "training rows, mean over draws, on rows like these"

# A candidate overtakes another later only if it is behind now in at least this share of resamples.
BEHIND = 0.75


class _Gap(NamedTuple):
    labels: int
    difference: Difference

    @property
    def sign(self) -> int:
        """Return which side leads for certain, 0 if neither does."""
        return int(self.difference.low > 0) - int(self.difference.high < 0)


def crossings_of(contenders: Contenders) -> tuple[Crossing, ...]:
    """Return where the order of two candidates changes, measured crossings first."""
    inside = [measured_crossing(contenders, a, b) for a, b in _pairs(contenders)]
    return (*filter(None, inside), *forecast_crossings(contenders))


def forecast_crossings(contenders: Contenders) -> tuple[Crossing, ...]:
    """Return the likely crossings beyond the data, most probable first."""
    crossings = [
        crossing
        for a, b in _pairs(contenders)
        for crossing in _forecast_crossings_of(contenders, a, b)
    ]
    return tuple(sorted(crossings, key=lambda c: -(c.probability or 0.0)))


def _pairs(contenders: Contenders) -> Iterator[tuple[CandidateScores, CandidateScores]]:
    # Against a constant answer nearly everything crosses at the first few labels.
    return combinations([c for c in contenders.order if not c.info.constant], 2)


def measured_crossing(
    contenders: Contenders, a: CandidateScores, b: CandidateScores
) -> Crossing | None:
    """Return the last change of leader between two measured sizes, if it is certain."""
    gaps = list(_gaps(contenders, a, b))
    certain = [i for i, gap in enumerate(gaps) if gap.sign]
    turns = [(i, j) for i, j in pairwise(certain) if gaps[i].sign != gaps[j].sign]
    if not turns:
        return None
    first, last = turns[-1]
    names = (a.info.name, b.info.name)
    return Crossing(
        a=names[gaps[last].sign < 0],
        b=names[gaps[last].sign > 0],
        labels=Interval(
            value=_zero(gaps[first : last + 1]),
            low=gaps[first].labels,
            high=gaps[last].labels,
            estimand=MEASURED,
        ),
        probability=None,
    )


def _gaps(contenders: Contenders, a: CandidateScores, b: CandidateScores) -> Iterator[_Gap]:
    """Yield the paired differences at the sizes that both were measured with, ascending."""
    mine, theirs = _tables(a), _tables(b)
    flat = not a.info.learns, not b.info.learns
    sizes = sorted(mine if flat[1] else theirs if flat[0] else set(mine) & set(theirs))
    pairs = [(n, mine[a.pool if flat[0] else n], theirs[b.pool if flat[1] else n]) for n in sizes]
    # Where the same side leads by estimate throughout, there is nothing to be certain of.
    leads = {bool(_level(first.table) > _level(second.table)) for _, first, second in pairs}
    if len(leads) < 2:
        return
    for n, first, second in pairs:
        difference = compare(first, second)
        if difference is not None:
            yield _Gap(n, difference)


def _tables(candidate: CandidateScores) -> dict[int, Side]:
    smaller = {n: other_pool(candidate, table) for n, table in candidate.sizes.items()}
    return {**smaller, candidate.pool: full_pool(candidate)}


def _level(table: ScoreTable) -> float:
    scores = row_means(table.right[table.complete])
    return float(np.average(scores, weights=table.rows.weights_of(table.complete)))


def _zero(gaps: Sequence[_Gap]) -> float:
    """Return where the difference first crosses 0 for good, between sizes on a log scale."""
    values = np.array([gap.difference.value for gap in gaps]) * gaps[-1].sign
    before = int(np.flatnonzero(values <= 0)[-1])
    (x, y), (left, right) = values[before : before + 2], (gaps[before], gaps[before + 1])
    share = -x / (y - x) if y > x else 0.5
    return float(left.labels * (right.labels / left.labels) ** share)


def _forecast_crossings_of(
    contenders: Contenders, a: CandidateScores, b: CandidateScores
) -> Iterator[Crossing]:
    """Yield the crossing if the candidate behind is likely to overtake within reach."""
    curves = contenders.curves.general
    known = [curves[c.info.name].points for c in (a, b) if c.info.name in curves]
    if not known or any(points.labels != known[0].labels for points in known):
        return
    labels = horizon(known[0])
    sides = [_members(contenders, c, known[0], labels) for c in (a, b)]
    if sides[0] is None or sides[1] is None:
        return
    gap = sides[0] - sides[1]
    for first, second, ahead in ((a, b, gap > 0), (b, a, gap < 0)):
        reached = labels_to_reach(ahead, labels)
        if 1 - ahead[:, 0].mean() >= BEHIND and reached.probability >= LIKELY and reached.labels:
            yield Crossing(
                a=first.info.name,
                b=second.info.name,
                labels=Interval(
                    value=reached.labels, low=reached.low, high=reached.high, estimand=FORECAST
                ),
                probability=reached.probability,
            )


def _members(
    contenders: Contenders, candidate: CandidateScores, like: CurvePoints, labels: Floats
) -> Floats | None:
    """Return (replicates, sizes) accuracies; constant for a candidate without training."""
    fitted = contenders.curves.general.get(candidate.info.name)
    if isinstance(fitted, Ensemble):
        return contenders.curves.ahead[candidate.info.name]
    if candidate.info.learns or candidate.main is None:
        return None
    right = candidate.main.right[like.place]
    if np.isnan(right).any():
        return None
    weights = contenders.curves.resamples.row_weights[:, like.place]
    weights = weights if like.weights is None else weights * like.weights
    level = weights @ right.mean(axis=1) / weights.sum(axis=1)
    level_curves: Floats = np.repeat(level[:, None], len(labels), axis=1)
    return level_curves

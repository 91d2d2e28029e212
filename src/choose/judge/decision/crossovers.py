"""Where one candidate overtakes another: by the number of labels, and by the number of answers.

With more labels, one that learns more may pass the better one; with more answers, one that costs
more to build may pay for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import hypot
from typing import NamedTuple

import numpy as np

from choose.judge.decision.contenders import Contenders
from choose.judge.measures.cost_comparison import break_even_gain, extra_usd, payback_months
from choose.judge.measures.cost_sheet import LifetimeCost
from choose.judge.measures.curve_fit import CurvePoints
from choose.judge.measures.curve_forecast import LIKELY, Ensemble, horizon, labels_to_reach
from choose.judge.scores.paired_comparison import Side, compare, full_pool, other_pool
from choose.judge.scores.score_tables import CandidateScores, ScoreTable
from choose.judge.stats.intervals import Estimate
from choose.judge.stats.paired import Difference
from choose.judge.stats.two_way import row_means
from choose.schema.base import Interval
from choose.schema.costs import Breakeven, Requests
from choose.schema.decision import Crossing
from choose.types import Floats

WINDOW = "answers within the window"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The costs and gains of one candidate over another, from which a break-even follows.

    Attributes:
        extra: dollars that the first costs more to build and refresh in the window, F.
        saves: dollars that an answer of it costs less, with an interval.
        gain: its accuracy minus the other's.
        value: dollars that a right answer is worth.
        months: of the window.
        answers: in the window.
    """

    extra: float
    saves: Estimate
    gain: Difference
    value: float
    months: float
    answers: float

    @property
    def per_answer(self) -> Estimate:
        """Return the net dollars per answer of the first over the second."""
        middle = self.saves.value + self.value * self.gain.value
        down = hypot(
            self.value * (self.gain.value - self.gain.low), self.saves.value - self.saves.low
        )
        up = hypot(
            self.value * (self.gain.high - self.gain.value), self.saves.high - self.saves.value
        )
        return Estimate(value=middle, low=middle - down, high=middle + up)

    @property
    def net(self) -> Estimate:
        """Return the net dollars in the window of the first over the second."""
        value, low, high = (
            self.answers * each - self.extra
            for each in (self.per_answer.value, self.per_answer.low, self.per_answer.high)
        )
        return Estimate(value=value, low=low, high=high)

    @property
    def probability(self) -> float:
        """Return the chance that the first pays within the window."""
        needed = self.extra / self.answers
        half = (self.gain.high - self.gain.low) / 2 * self.value
        wider = hypot(half, (self.saves.high - self.saves.low) / 2) / half if half else 1.0
        spare = self.saves.value + self.value * self.gain.center - needed
        tail = self.gain.error.p(spare / (self.value * wider)) / 2
        return 1 - tail if spare > 0 else tail


def breakeven_requests(extra: float, per_answer: Estimate) -> Requests:
    """Return N* with its interval; a null end means never."""

    def answers_at(each: float) -> float | None:
        if extra <= 0 <= each:
            return 0.0
        return extra / each if each > 0 else None

    return Requests(
        value=answers_at(per_answer.value),
        low=answers_at(per_answer.high),
        high=answers_at(per_answer.low),
    )


def balance_of(contenders: Contenders, a: str, b: str) -> Balance | None:
    """Return the balance of a over b in the window of the pair; None where a term is unknown."""
    costs, plan = contenders.margins.costs, contenders.rule.deployment
    if plan.value_per_right_answer is None or not {a, b} <= set(costs):
        return None
    difference = contenders.gain(a, b)
    if difference is None:
        return None
    first, second = costs[a], costs[b]
    months = payback_months(first, second, plan)
    assert plan.volume_per_month is not None
    if not months:
        return None
    return Balance(
        extra=first.fixed(plan, months) - second.fixed(plan, months),
        saves=_saving(first, second),
        gain=difference,
        value=plan.value_per_right_answer,
        months=months,
        answers=plan.volume_per_month * months,
    )


def _saving(a: LifetimeCost, b: LifetimeCost) -> Estimate:
    mine, theirs = a.answer, b.answer
    value = theirs.value - mine.value
    return Estimate(
        value=value,
        low=value - hypot(theirs.value - theirs.low, mine.high - mine.value),
        high=value + hypot(theirs.high - theirs.value, mine.value - mine.low),
    )


def breakevens(contenders: Contenders) -> tuple[Breakeven, ...]:
    """Return the break-even of every pair, costlier to build first; none if unpriced."""
    records = []
    for first, second in combinations(contenders.names, 2):
        turned = balance_of(contenders, second, first)
        if turned is None:
            continue
        a, b = (second, first) if turned.extra >= 0 else (first, second)
        records.append(breakeven(contenders, a, b))
    return tuple(filter(None, records))


def breakeven(contenders: Contenders, a: str, b: str) -> Breakeven | None:
    """Return the record of one pair."""
    at = balance_of(contenders, a, b)
    if at is None:
        return None
    costs = contenders.margins.costs
    needed = breakeven_requests(at.extra, at.per_answer)
    carries = [f"dollars an answer of {n}" for n in (a, b) if costs[n].answer.measured]
    more = extra_usd(costs[a], costs[b], contenders.rule.deployment, at.months)
    return Breakeven(
        a=a,
        b=b,
        months=at.months,
        expected=at.answers,
        extra_usd=at.extra,
        saves_per_1k=Interval.of(at.saves, "1,000 answers", times=1000),
        gain=Interval.of(at.gain),
        worth_per_1k=Interval.of(at.per_answer, "1,000 answers", times=1000),
        requests=needed,
        requests_per_month=_by_month(needed, at.months),
        probability=at.probability,
        net_usd=Interval.of(at.net, WINDOW),
        value_needed=_value(at),
        margin=break_even_gain(costs[a], costs[b], contenders.rule.deployment),
        margin_of=a if more >= 0 else b,
        carries=(f"gain in {contenders.words.score}", *carries),
    )


def _value(at: Balance) -> float | None:
    """Return the value of a right answer at which the gain as measured just pays."""
    unpaid = at.extra / at.answers - at.saves.value
    if unpaid <= 0:
        return 0.0
    return unpaid / at.gain.value if at.gain.value > 0 else None


def _by_month(needed: Requests, months: float) -> Requests:
    ends = (needed.value, needed.low, needed.high)
    value, low, high = (None if end is None else end / months for end in ends)
    return Requests(value=value, low=low, high=high)


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

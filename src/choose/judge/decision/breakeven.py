"""The number of answers from which a candidate that costs more to build pays for itself.

N* = F / (c_b - c_a + v gain), where F is what a costs more to build and refresh, c are dollars an
answer and v is what a right answer is worth. The error of the denominator is that of a sum of
independent parts, each with an interval of its own and not always a symmetric one: the ends are
recovered from theirs (MOVER; Zou and Donner 2008). F is a sum of stated prices and one fit, so it
carries no error.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import hypot

from choose.judge.decision.contenders import Contenders
from choose.judge.measures.cost_comparison import break_even_gain, extra_usd, payback_months
from choose.judge.measures.cost_sheet import LifetimeCost
from choose.judge.stats.intervals import Estimate
from choose.judge.stats.paired import Difference
from choose.schema.base import Interval
from choose.schema.costs import Breakeven, Requests

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

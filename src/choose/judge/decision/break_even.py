"""From how many answers on a candidate that costs more pays for itself, and when labels do."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

from choose.judge.decision.contenders import Contenders
from choose.judge.evidence import CandidateInfo
from choose.judge.measures.costs import label_usd
from choose.schema.base import Interval
from choose.schema.scorecard import Breakeven, Payback, Requests
from choose.stats.intervals import Estimate
from choose.stats.paired import Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The costs and gains of one candidate over another, from which a break-even follows.

    Attributes:
        extra: dollars that the first costs more to train, F.
        saves: dollars that an answer of it costs less, with an interval.
        gain: its accuracy minus the other's.
        value: dollars that a right answer is worth.
        answers: in a year.
    """

    extra: float
    saves: Estimate
    gain: Difference
    value: float
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
        """Return the net dollars in a year of the first over the second."""
        value, low, high = (
            self.answers * each - self.extra
            for each in (self.per_answer.value, self.per_answer.low, self.per_answer.high)
        )
        return Estimate(value=value, low=low, high=high)

    @property
    def probability(self) -> float:
        """Return the chance that the first pays within a year."""
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
    """Return the balance of a over b in a year; None where a term is unknown."""
    costs, rule = contenders.margins.costs, contenders.rule
    difference = contenders.gain(a, b)
    if rule.value_per_right_answer is None or not {a, b} <= set(costs) or difference is None:
        return None
    mine, theirs = costs[a], costs[b]
    assert rule.answers is not None
    assert mine.training is not None
    assert theirs.training is not None
    return Balance(
        extra=mine.training - theirs.training,
        saves=_saving(mine.answer, theirs.answer),
        gain=difference,
        value=rule.value_per_right_answer,
        answers=rule.answers,
    )


def _saving(mine: Estimate | None, theirs: Estimate | None) -> Estimate:
    assert mine is not None
    assert theirs is not None
    value = theirs.value - mine.value
    return Estimate(
        value=value,
        low=value - hypot(theirs.value - theirs.low, mine.high - mine.value),
        high=value + hypot(theirs.high - theirs.value, mine.value - mine.low),
    )


def breakeven_of(contenders: Contenders, a: str, b: str) -> Breakeven | None:
    """Return the break-even of two, the costlier to train first; None where it is not priced."""
    at = balance_of(contenders, a, b)
    if at is None:
        return None
    if at.extra < 0:
        return breakeven_of(contenders, b, a)
    return Breakeven(
        a=a,
        b=b,
        expected=at.answers,
        extra_usd=at.extra,
        gain=Interval.of(at.gain),
        requests=breakeven_requests(at.extra, at.per_answer),
        probability=at.probability,
    )


def payback_of(contenders: Contenders, named: str) -> Payback | None:
    """Return what a month costs by an API and on this machine; None unless both were measured.

    Args:
        contenders: the candidates.
        named: the candidate to use, which represents its side.
    """
    infos = [contenders.panel[name].info for name in contenders.names]
    learning = [i for i in infos if i.learns and not (_bought(i) or i.given or i.floor)]
    sides = [[i.name for i in side] for side in (filter(_bought, infos), learning)]
    if not all(sides):
        return None
    api, own = (
        named if named in side else max(side, key=contenders.levels.__getitem__) for side in sides
    )
    rule, labels = contenders.rule, contenders.panel[own].pool
    sheets, volume = [contenders.costs[name] for name in (api, own)], rule.volume
    usd = [None if s.answer is None or volume is None else volume * s.answer.value for s in sheets]
    price, months = label_usd(labels, rule), None
    if usd[0] is not None and usd[1] is not None and price is not None and usd[0] > usd[1]:
        months = price / (usd[0] - usd[1])
    return Payback(
        api=api,
        own=own,
        api_usd=usd[0],
        own_usd=usd[1],
        labels=labels,
        labels_usd=price,
        months=months,
        lost=Interval.of(lost) if (lost := contenders.gain(api, own)) else None,
    )


def _bought(info: CandidateInfo) -> bool:
    """Return whether each answer of a candidate is paid for to somebody else."""
    return info.remote or (info.given and info.usd_per_1k is not None)

"""Sentences on money: the volume, value or date that would change the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from choose.formatting import dollars, months, points, rough
from choose.judge.decision.breakeven import breakevens
from choose.judge.decision.rule import Case
from choose.schema.costs import Breakeven

# A volume or value more than this many times away from the study's is not reported.
FAR = 100


def price_flips(case: Case) -> Iterator[str]:
    """Yield the volumes, values and dates from which another candidate would be used."""
    pairs = [pair for pair in breakevens(case.contenders) if case.name in (pair.a, pair.b)]
    yield from _volume(
        [p for p in pairs if p.a != case.name], [p for p in pairs if p.a == case.name]
    )
    now = case.contenders.rule.deployment.value_per_right_answer or 0.0
    near = [p for p in pairs if p.value_needed and now / FAR < p.value_needed < FAR * now]
    yield from _value(near, case.name)
    yield from _retirement(case)


def _volume(others: Sequence[Breakeven], own: Sequence[Breakeven]) -> Iterator[str]:
    """Yield the volumes above and below which another candidate would pay off.

    Of several break-evens, the one closest to the volume of the study.
    """
    above = {
        p.requests.value: p
        for p in others
        if p.requests.value and p.expected < p.requests.value < FAR * p.expected
    }
    if above:
        pair = above[min(above)]
        yield (
            f"Above about {rough(pair.requests_per_month.value or 0.0)} answers a month"
            f"{_ends(pair)}, {pair.a} would pay for itself within {months(pair.months)} "
            f"compared with {pair.b}; the study assumes {rough(pair.expected / pair.months)}."
        )
    below = {
        p.requests.value: p
        for p in own
        if p.requests.value and p.expected / FAR < p.requests.value <= p.expected
    }
    if below:
        pair = below[max(below)]
        yield (
            f"Below about {rough(pair.requests_per_month.value or 0.0)} answers a month"
            f"{_ends(pair)}, {pair.b} would be enough: {pair.a} would not pay for itself within "
            f"{months(pair.months)}; the study assumes {rough(pair.expected / pair.months)}."
        )


def _value(pairs: Sequence[Breakeven], name: str) -> Iterator[str]:
    """Yield the values of a right answer from which the other of a pair pays off."""
    unprofitable = [p for p in pairs if p.a != name and p.net_usd.value < 0]
    if unprofitable:
        pair = min(unprofitable, key=lambda p: p.value_needed or 0.0)
        yield (
            f"If a right answer were worth {dollars(pair.value_needed or 0.0)} or more, {pair.a} "
            f"would pay off against {pair.b}: it gains {points(pair.gain.value)}."
        )
    taken = [p for p in pairs if p.a == name and p.net_usd.value >= 0]
    if taken:
        pair = max(taken, key=lambda p: p.value_needed or 0.0)
        yield (
            f"If a right answer were worth less than {dollars(pair.value_needed or 0.0)}, "
            f"{pair.b} would be enough: {pair.a} gains {points(pair.gain.value)} over it."
        )


def _ends(pair: Breakeven) -> str:
    low, high = pair.requests_per_month.low, pair.requests_per_month.high
    if low is None:
        return ""
    upper = rough(high) if high is not None else "any number"
    return f" ({rough(low)} to {upper})"


def _retirement(case: Case) -> Iterator[str]:
    plan = case.contenders.rule.deployment
    for name in (case.name, *case.selection.rivals[:1]):
        day, cost = (
            case.contenders.panel[name].info.retires,
            case.contenders.margins.costs.get(name),
        )
        if day is None:
            continue
        if cost is None or plan.horizon_months is None:
            yield f"The model of {name} retires on {day.isoformat()}; plan its replacement."
        elif cost.months < plan.horizon_months:
            yield (
                f"The model of {name} retires on {day.isoformat()}, after {months(cost.months)} of "
                f"the {months(plan.horizon_months)} planned: it must pay off by then, and "
                f"rebuilding it costs {dollars(cost.build)}."
            )

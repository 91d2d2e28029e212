"""The gate "worth its cost": does the candidate in use bring more than it costs?"""

from __future__ import annotations

from choose.judge.bills import missing, training_usd
from choose.judge.breakeven import Stake, stake
from choose.judge.costs import burdens, cost_of, in_dollars
from choose.judge.deployment import UNSAID
from choose.judge.record import Gate
from choose.judge.settle import Field
from choose.judge.words import dollars, listed, months, number, points, rough, seconds

NAME = "worth its cost"


def worth(field: Field, name: str) -> Gate:
    """Judge the candidate against every cheaper one: what it brings must exceed what it costs more.

    PASS and FAIL need the whole interval of that on their side, against each and against one.
    """
    lacks = lacking(field)
    if lacks:
        return _gate("unknown", f"{_takes(field, name)}; whether that pays is not known{lacks}.")
    if not field.cheaper(name):
        return _gate("pass", _cheapest(field, name))
    found = {other: at for other in field.cheaper(name) if (at := stake(field, name, other))}
    if len(found) < len(field.cheaper(name)):
        return _gate("unknown", f"{name} shares no row with some that cost less.")
    other = min(found, key=lambda n: found[n].net.low)
    losing = [n for n in found if found[n].net.high < 0]
    if losing:
        other = min(losing, key=lambda n: found[n].net.high)
        return _gate("fail", _balance(name, other, found[other]))
    paid = all(at.net.low >= 0 for at in found.values())
    return _gate("pass" if paid else "unknown", _balance(name, other, found[other]))


def lacking(field: Field) -> str:
    """Return what the study file must say before anything can pay; empty if nothing."""
    if field.rule.deployment == UNSAID and field.rule.usd_per_machine_hour is None:
        return " until [costs] in the study file says what is worth how much"
    keys = [key for c in field.order for key in missing(c, field.rule)]
    if field.rule.deployment.value_per_right_answer is None:
        keys.append("costs.value_per_right_answer")
    keys = list(dict.fromkeys(keys))
    return f": the study file lacks {listed(keys)}" if keys else ""


def _gate(status: str, evidence: str) -> Gate:
    return Gate.model_validate({"name": NAME, "status": status, "evidence": evidence})


def _takes(field: Field, name: str) -> str:
    costs = {c.info.name: cost_of(c, field.rule) for c in field.order}
    training = {c.info.name: training_usd(c, field.rule) for c in field.order}
    cost = burdens(costs, training)[name]
    if cost is None:
        return f"What {name} costs was not measured"
    unit = f"${number(cost, 4)}" if in_dollars(costs) else seconds(cost)
    return f"{name} takes {unit} for a fit and 1,000 answers"


def _cheapest(field: Field, name: str) -> str:
    plan = field.rule.deployment
    total = field.margins.bills[name].total(plan)
    assert plan.horizon_months is not None
    return (
        f"Nothing costs less than {name}, {dollars(total)} over {months(plan.horizon_months)}, "
        "so it has nothing to pay back."
    )


def _balance(name: str, other: str, at: Stake) -> str:
    """Say what a candidate brings against another, with the break-even behind it."""
    net = at.net
    verb = "brings" if net.value >= 0 else "loses"
    ends = (net.low, net.high) if net.value >= 0 else (-net.high, -net.low)
    return (
        f"Over {months(at.months)} and {rough(at.answers)} answers, {name} {verb} "
        f"{dollars(abs(net.value))} against {other} (95 % interval {dollars(ends[0])} to "
        f"{dollars(ends[1])}): it costs {_more(at.extra)} to build and refresh and "
        f"{_more(-1000 * at.saves.value)} for 1,000 answers, gains {points(at.gain.value)}, and a "
        f"right answer is worth {dollars(at.value)}; the probability that it pays is "
        f"{number(min(max(at.probability, 0.01), 0.99), 2)}."
    )


def _more(extra: float) -> str:
    return f"{dollars(abs(extra))} {'more' if extra >= 0 else 'less'}"

"""The conditions of a verdict, each with the figure it was judged on.

PASS and FAIL need the whole interval on that side; anything else is UNKNOWN, and so is what was
not measured, with the reason.
"""

from __future__ import annotations

import numpy as np

from choose.formatting import (
    dollars,
    duration,
    gain,
    listed,
    months,
    number,
    plural,
    points,
    rough,
    short_model,
)
from choose.judge.decision.breakeven import Stake, stake
from choose.judge.decision.contenders import Field, relation
from choose.judge.decision.label_gates import clean_labels, data_driven, stable
from choose.judge.decision.robust_choice import robust
from choose.judge.decision.rows_needed import Case, contest
from choose.judge.evidence import BILLIONS, UNSAID, strong
from choose.judge.measures.cost_ranking import fit_and_1k_answers, in_dollars
from choose.judge.panel.families import Match
from choose.judge.stats.paired import Difference
from choose.schema.decision import Gate
from choose.types import FAMILIES, Family

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
    keys = [key for name in field.names for key in field.costs[name].record.missing]
    if field.rule.deployment.value_per_right_answer is None:
        keys.append("costs.value_per_right_answer")
    keys = list(dict.fromkeys(keys))
    return f": the study file lacks {listed(keys)}" if keys else ""


def _gate(status: str, evidence: str) -> Gate:
    return Gate.model_validate({"name": NAME, "status": status, "evidence": evidence})


def _takes(field: Field, name: str) -> str:
    costs = {n: field.costs[n] for n in field.names}
    cost = fit_and_1k_answers(costs)[name]
    if cost is None:
        return f"What {name} costs was not measured"
    unit = f"${number(cost, 4)}" if in_dollars(costs) else duration(cost)
    return f"{name} takes {unit} for a fit and 1,000 answers"


def _cheapest(field: Field, name: str) -> str:
    plan = field.rule.deployment
    total = field.margins.costs[name].total(plan)
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


# Fewer asked rows than this say nothing about a label.
SUPPORT = 5


# From this share of the error on, repetitions are as much to blame for it as rows are.
LUCKY = 0.5


_OTHERS: tuple[Family, ...] = ("prompting", "retrieval", "fine-tuning")


def gates_of(case: Case) -> tuple[Gate, ...]:
    """Return every gate, in the order in which they matter."""
    return (
        _measurable(case),
        _adequate(case),
        _beaten(case),
        credible(case),
        _clean(case),
        stable(case.field.panel, case.name, case.margin),
        data_driven(case.failures, case.margin, case.field.rule.measure.by_rows),
        _gap(case),
        worth(case.field, case.name),
        robust(case),
    )


def _unmeasured(name: str, why: str) -> Gate:
    return Gate(name=name, status="unknown", evidence=why)


def _measurable(case: Case) -> Gate:
    rows = case.field.panel.rows
    support = np.bincount(rows.targets, minlength=len(rows.labels))
    rare = [label for label, n in zip(rows.labels, support, strict=True) if n < SUPPORT]
    name, count = "task closed and measurable", len(rows.labels)
    if (support > 0).sum() < 2:
        return Gate(name=name, status="fail", evidence="All test rows have one label.")
    if rare:
        return Gate(
            name=name,
            status="unknown",
            evidence=(
                f"{len(rare)} of {count} labels have fewer than {SUPPORT} test rows; their own "
                "figures say little."
            ),
        )
    return Gate(
        name=name,
        status="pass",
        evidence=(f"{count} labels, each with at least {plural(int(support.min()), 'test row')}."),
    )


def _adequate(case: Case) -> Gate:
    name = "labelled set adequate"
    found = contest(case.field, case.settlement)
    if found is None:
        return _unmeasured(name, "There is nothing to compare.")
    detectable = case.detectable
    finds = (
        f"{_rows_and_fits(found)} find a gain of {points(detectable)} four times in five where two "
        "candidates disagree as often as these do"
        if detectable is not None
        else f"{_rows_and_fits(found)} are too few to find the differences seen"
    )
    matters = f"a gain of {points(case.stake)} matters"
    if detectable is not None and detectable <= case.stake:
        return Gate(name=name, status="pass", evidence=f"{finds}; {matters}.")
    if case.settlement.chosen:
        return Gate(
            name=name,
            status="pass",
            evidence=(f"{finds}; {matters}, and the difference found here was large enough."),
        )
    return Gate(name=name, status="fail", evidence=f"{finds}; {matters}.")


def _rows_and_fits(found: Difference) -> str:
    rows = plural(found.rows, "test row")
    return f"{rows} and so few fits" if found.luck >= LUCKY else rows


def _judged(name: str, case: Case, match: Match, evidence: str) -> Gate:
    margin = case.field.margin(match.a, match.b)
    shown = relation(match.found, margin)
    if case.field.margins.derived:
        evidence = f"{evidence} At your prices, {points(margin)} matter."
    if shown == "better":
        return Gate(name=name, status="pass", evidence=evidence)
    failed = shown in ("equivalent", "worse", "not better")
    return Gate(name=name, status="fail" if failed else "unknown", evidence=evidence)


def _sentence(found: Match) -> str:
    if not found.chosen:
        return f"{gain(found.a, found.b, found.found)}."
    return (
        f"{gain(found.a, found.b, found.found)}, each standing for the best of its kind, "
        "whichever that is."
    )


def _beaten(case: Case) -> Gate:
    found = case.versus(_OTHERS, ("baseline",))
    name = "baselines beaten"
    if found is None:
        return _unmeasured(name, "Nothing but baselines was measured, or no baseline.")
    return _judged(name, case, found, _sentence(found))


def _gap(case: Case) -> Gate:
    name = "gap closed"
    others = tuple(family for family in FAMILIES if family != "fine-tuning")
    found = case.versus(("fine-tuning",), others)
    if found is None:
        return _unmeasured(name, "Fine-tuning or everything else was not measured.")
    return _judged(name, case, found, _sentence(found))


def credible(case: Case) -> Gate:
    """Say whether a verdict against prompting is more than a verdict against a small model."""
    name, field = "contenders credible", case.field
    prompted = [m for m in field.order if m.info.family in ("prompting", "retrieval")]
    if not prompted:
        return _unmeasured(
            name, "No prompted model was measured, so nothing is known of prompting and retrieval."
        )
    models = listed(sorted({short_model(m.info.model) for m in prompted if m.info.model}))
    if not any(strong(m.info) for m in prompted):
        return _unmeasured(
            name,
            (
                f"Prompting and retrieval were measured with {models or 'an unnamed model'}; a "
                f"model of {number(BILLIONS)} billion parameters or an endpoint may do better."
            ),
        )
    best = max(
        (m.info.name for m in prompted if strong(m.info)), key=lambda n: field.accuracies[n].value
    )
    floor = [n for n in field.names if field.panel[n].info.strategy in ("majority", "knn")]
    short_of = [n for n in floor if field.relation(best, n) != "better"]
    if short_of:
        found = field.gain(best, short_of[0])
        said = gain(best, short_of[0], found) if found else f"{best} shares no row with it"
        return _unmeasured(name, f"{said}, so the model {models} may not have understood the task.")
    return Gate(
        name=name,
        status="pass",
        evidence=(f"{best} with {models} is clearly above {listed(floor) or 'nothing simpler'}."),
    )


def _clean(case: Case) -> Gate:
    rows = case.field.panel.rows
    return clean_labels(case.audit, int(rows.conflicting.sum()), len(rows.targets))

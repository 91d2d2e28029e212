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
    interval,
    listed,
    months,
    number,
    plural,
    points,
    rough,
    short_model,
)
from choose.judge.decision.breakeven import Balance, balance_of
from choose.judge.decision.contenders import Contenders, relation
from choose.judge.decision.label_gates import failures_data_driven, labels_clean_enough, task_stable
from choose.judge.decision.robust_choice import robust
from choose.judge.decision.rows_needed import Case, deciding_difference
from choose.judge.evidence import BILLIONS, UNSAID, strong
from choose.judge.measures.cost_ranking import fit_and_1k_answers, in_dollars
from choose.judge.panel.families import FamilyComparison
from choose.judge.stats.paired import Difference
from choose.schema.decision import Gate
from choose.types import FAMILIES, Family

WORTH_ITS_COST = "worth its cost"


def worth_its_cost(contenders: Contenders, name: str) -> Gate:
    """Judge the candidate against every cheaper one: what it brings must exceed what it costs more.

    PASS and FAIL need the whole interval of that on their side, against each and against one.
    """
    lacks = missing_prices(contenders)
    if lacks:
        return _gate("unknown", f"{_takes(contenders, name)}. {lacks}")
    if not contenders.cheaper(name):
        return _gate("pass", _cheapest(contenders, name))
    found = {
        other: at
        for other in contenders.cheaper(name)
        if (at := balance_of(contenders, name, other))
    }
    if len(found) < len(contenders.cheaper(name)):
        return _gate("unknown", f"Some cheaper candidates share no test row with {name}.")
    other = min(found, key=lambda n: found[n].net.low)
    losing = [n for n in found if found[n].net.high < 0]
    if losing:
        other = min(losing, key=lambda n: found[n].net.high)
        return _gate("fail", _balance(name, other, found[other]))
    paid = all(at.net.low >= 0 for at in found.values())
    return _gate("pass" if paid else "unknown", _balance(name, other, found[other]))


def missing_prices(contenders: Contenders) -> str:
    """Say which prices the study file lacks; empty if it has all."""
    if contenders.rule.deployment == UNSAID and contenders.rule.usd_per_machine_hour is None:
        return "Add prices under [costs] in choose.toml to see whether it pays off."
    keys = [key for name in contenders.names for key in contenders.costs[name].record.missing]
    if contenders.rule.deployment.value_per_right_answer is None:
        keys.append("costs.value_per_right_answer")
    keys = list(dict.fromkeys(keys))
    if not keys:
        return ""
    return f"Whether it pays off is unknown, because the study file lacks {listed(keys)}."


def _gate(status: str, evidence: str) -> Gate:
    return Gate.model_validate({"name": WORTH_ITS_COST, "status": status, "evidence": evidence})


def _takes(contenders: Contenders, name: str) -> str:
    costs = {n: contenders.costs[n] for n in contenders.names}
    cost = fit_and_1k_answers(costs)[name]
    if cost is None:
        return f"The cost of {name} was not measured"
    amount = f"costs ${number(cost, 4)}" if in_dollars(costs) else f"takes {duration(cost)}"
    return f"Training {name} and answering 1,000 rows {amount}"


def _cheapest(contenders: Contenders, name: str) -> str:
    plan = contenders.rule.deployment
    total = contenders.margins.costs[name].total(plan)
    assert plan.horizon_months is not None
    return (
        f"{name} is the cheapest candidate ({dollars(total)} over {months(plan.horizon_months)}), "
        "so it has no extra cost to pay back."
    )


def _balance(name: str, other: str, at: Balance) -> str:
    """State the net value of a candidate over another, with the terms of the break-even."""
    net, chance = at.net, number(min(max(at.probability, 0.01), 0.99), 2)
    return (
        f"Net value of {name} over {other} in {months(at.months)} and {rough(at.answers)} answers: "
        f"{dollars(net.value)} (95 % CI {dollars(net.low)} to {dollars(net.high)}). {name} costs "
        f"{_more(at.extra)} to build and refresh and {_more(-1000 * at.saves.value)} per 1,000 "
        f"answers, changes accuracy by {points(at.gain.value)}, and a right answer is worth "
        f"{dollars(at.value)}. It pays off with probability {chance}."
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
        contenders_credible(case),
        _clean(case),
        task_stable(case.contenders.panel, case.name, case.margin),
        failures_data_driven(case.failures, case.margin, case.contenders.rule.measure.by_rows),
        _gap(case),
        worth_its_cost(case.contenders, case.name),
        robust(case),
    )


def _unmeasured(name: str, why: str) -> Gate:
    return Gate(name=name, status="unknown", evidence=why)


def _measurable(case: Case) -> Gate:
    rows = case.contenders.panel.rows
    support = np.bincount(rows.targets, minlength=len(rows.labels))
    rare = [label for label, n in zip(rows.labels, support, strict=True) if n < SUPPORT]
    name, count = "task closed and measurable", len(rows.labels)
    if (support > 0).sum() < 2:
        return Gate(name=name, status="fail", evidence="All test rows have the same label.")
    if rare:
        return Gate(
            name=name,
            status="unknown",
            evidence=(
                f"{len(rare)} of {count} labels have fewer than {SUPPORT} test rows, so their "
                "per-label figures are unreliable."
            ),
        )
    return Gate(
        name=name,
        status="pass",
        evidence=f"All {count} labels have at least {plural(int(support.min()), 'test row')}.",
    )


def _adequate(case: Case) -> Gate:
    name = "labelled set adequate"
    found = deciding_difference(case.contenders, case.selection)
    if found is None:
        return _unmeasured(name, "Only one candidate was measured.")
    detectable = case.detectable
    finds = (
        f"{_rows_and_fits(found)} detect differences of {points(detectable)} or more (80 % power)"
        if detectable is not None
        else f"{_rows_and_fits(found)} are too few to detect the measured differences"
    )
    matters = f"the margin is {points(case.deciding_margin)}"
    if detectable is not None and detectable <= case.deciding_margin:
        return Gate(name=name, status="pass", evidence=f"{finds}; {matters}.")
    if case.selection.chosen:
        return Gate(
            name=name,
            status="pass",
            evidence=f"{finds}; {matters}. The measured difference was large enough to decide.",
        )
    return Gate(name=name, status="fail", evidence=f"{finds}; {matters}.")


def _rows_and_fits(found: Difference) -> str:
    rows = plural(found.rows, "test row")
    return f"{rows} and so few training runs" if found.luck >= LUCKY else rows


def _judged(name: str, case: Case, match: FamilyComparison, evidence: str) -> Gate:
    margin = case.contenders.margin(match.a, match.b)
    shown = relation(match.found, margin)
    if case.contenders.margins.derived:
        evidence = f"{evidence} At your prices, the margin is {points(margin)}."
    if shown == "better":
        return Gate(name=name, status="pass", evidence=evidence)
    failed = shown in ("equivalent", "worse", "not better")
    return Gate(name=name, status="fail" if failed else "unknown", evidence=evidence)


def _sentence(found: FamilyComparison, kinds: tuple[str, str]) -> str:
    if not found.chosen:
        return f"{gain(found.a, found.b, found.found)}."
    return (
        f"Best {kinds[0]} ({found.a}) minus best {kinds[1]} ({found.b}): "
        f"{points(found.found.value)} ({interval(found.found)}, widened because which candidate is "
        "best is itself uncertain)."
    )


def _beaten(case: Case) -> Gate:
    found = case.versus(_OTHERS, ("baseline",))
    name = "baselines beaten"
    if found is None:
        return _unmeasured(name, "This needs a baseline and another candidate with answers.")
    kinds = ("candidate other than a baseline", "baseline")
    return _judged(name, case, found, _sentence(found, kinds))


def _gap(case: Case) -> Gate:
    name = "gap closed"
    others = tuple(family for family in FAMILIES if family != "fine-tuning")
    found = case.versus(("fine-tuning",), others)
    if found is None:
        return _unmeasured(name, "This needs a fine-tuned candidate and another one with answers.")
    kinds = ("fine-tuned candidate", "other candidate")
    return _judged(name, case, found, _sentence(found, kinds))


def contenders_credible(case: Case) -> Gate:
    """Say whether a verdict against prompting is more than a verdict against a small model."""
    name, contenders = "contenders credible", case.contenders
    prompted = [m for m in contenders.order if m.info.family in ("prompting", "retrieval")]
    if not prompted:
        return _unmeasured(
            name, "No prompted model was measured, so prompting and retrieval are unknown."
        )
    models = listed(sorted({short_model(m.info.model) for m in prompted if m.info.model}))
    if not any(strong(m.info) for m in prompted):
        return _unmeasured(
            name,
            (
                f"Prompting and retrieval used {models or 'an unnamed model'} only; a model with "
                f"{number(BILLIONS)} billion parameters or more, or an endpoint, may do better."
            ),
        )
    best = max(
        (m.info.name for m in prompted if strong(m.info)),
        key=lambda n: contenders.accuracies[n].value,
    )
    floor = [n for n in contenders.names if contenders.panel[n].info.reference]
    short_of = [n for n in floor if contenders.relation(best, n) != "better"]
    if short_of:
        found = contenders.gain(best, short_of[0])
        said = gain(best, short_of[0], found) if found else f"{best} shares no row with it"
        return _unmeasured(name, f"{said}. The model {models} may not have understood the task.")
    return Gate(
        name=name,
        status="pass",
        evidence=f"{best} ({models}) beats {listed(floor) or 'no simple baseline: none ran'}.",
    )


def _clean(case: Case) -> Gate:
    rows = case.contenders.panel.rows
    return labels_clean_enough(case.audit, int(rows.conflicting.sum()), len(rows.targets))

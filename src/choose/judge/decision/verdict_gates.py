"""The gates of a verdict: conditions that pass, fail or are unknown, each with its figure.

PASS and FAIL need the whole interval on that side; anything else is UNKNOWN, and so is what was
not measured, with the reason. `GATES` lists them with the tasks that each applies to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from choose.formatting import (
    chance,
    dollars,
    duration,
    gain,
    listed,
    measured,
    number,
    plural,
    points,
    rough,
    short_model,
)
from choose.judge.decision.break_even import Balance, balance_of
from choose.judge.decision.contenders import Contenders
from choose.judge.decision.label_gates import (
    labels_clean_enough,
    measurable,
    task_stable,
)
from choose.judge.decision.robust_choice import robust
from choose.judge.decision.rule import Case, deciding_difference, deciding_rival
from choose.judge.evidence import BILLIONS, strong
from choose.judge.measures.cost_comparison import fit_and_1k_answers, in_dollars
from choose.judge.stats.paired import Difference
from choose.schema.decision import Gate, GateStatus

WORTH_ITS_COST = "worth its cost"

# From this share of the error on, variance between runs matters as much as the number of rows.
HALF_OF_ERROR = 0.5


@dataclass(frozen=True, slots=True)
class GateRule:
    """A gate: how to judge it, and to which tasks it applies; to all unless said."""

    judge: Callable[[Case], Gate]
    applies: Callable[[Case], bool] = lambda _: True


def gates_of(case: Case) -> tuple[Gate, ...]:
    """Judge every gate that applies to the task, most important first."""
    return tuple(gate.judge(case) for gate in GATES if gate.applies(case))


def _has_labels(case: Case) -> bool:
    return bool(case.contenders.panel.rows.labels)


def _gate(name: str, status: GateStatus, evidence: str) -> Gate:
    return Gate(name=name, status=status, evidence=evidence)


def _adequate(case: Case) -> Gate:
    """Judge whether the test rows detect a gain of the margin, or detected the one that decided."""
    name = "labelled set adequate"
    difference = deciding_difference(case.contenders, case.selection)
    if difference is None:
        return _gate(name, "unknown", "Only one candidate was measured.")
    detectable, rows = case.detectable, _rows_and_fits(difference)
    detects = (
        f"{rows} detect differences of {measured(detectable)} or more between {_pair(case)} (80 % "
        "power, by how often their answers differ)"
        if detectable is not None
        else f"{rows} are too few to detect the measured differences"
    )
    margin = f"the margin is {points(case.deciding_margin)}"
    if detectable is not None and detectable <= case.deciding_margin:
        return _gate(name, "pass", f"{detects}; {margin}.")
    if case.selection.chosen:
        return _gate(name, "pass", f"{detects}; {margin}. They decide all the same.")
    return _gate(name, "fail", f"{detects}; {margin}.")


def _pair(case: Case) -> str:
    return f"{case.name} and {deciding_rival(case.contenders, case.selection)}"


def _rows_and_fits(difference: Difference) -> str:
    rows = plural(difference.rows, "test row")
    few = difference.run_share >= HALF_OF_ERROR
    return f"{rows} and the few training runs of this study" if few else rows


def contenders_credible(case: Case) -> Gate:
    """Judge whether a prompted model was strong enough to represent prompting.

    Where documents are ranked, judge whether more than one embedder was tried.
    """
    name, contenders = "contenders credible", case.contenders
    if case.words.ranks:
        return _gate(name, *_embedders(contenders))
    prompted = [m for m in contenders.order if m.info.family in ("prompting", "retrieval")]
    if not prompted:
        return _gate(name, "unknown", "No prompted model was measured.")
    models = listed(sorted({short_model(m.info.model) for m in prompted if m.info.model}))
    credible = [m.info.name for m in prompted if strong(m.info)]
    if not credible:
        return _gate(
            name,
            "unknown",
            f"Prompting and retrieval used {models or 'an unnamed model'} only; a model with "
            f"{number(BILLIONS)} billion parameters or more, or an endpoint, may do better.",
        )
    best = max(credible, key=lambda n: contenders.accuracies[n].value)
    floor = [n for n in contenders.names if contenders.panel[n].info.floor]
    short_of = [n for n in floor if contenders.relation(best, n) != "better"]
    if short_of:
        lead = contenders.gain(best, short_of[0])
        shown = gain(best, short_of[0], lead) if lead else f"{best} and {short_of[0]} share no row"
        return _gate(
            name, "unknown", f"{shown}. The model {models} may not have understood the task."
        )
    return _gate(
        name, "pass", f"{best} ({models}) beats {listed(floor) or 'no simple baseline: none ran'}."
    )


def _embedders(contenders: Contenders) -> tuple[GateStatus, str]:
    specs = sorted({short_model(m.info.model) for m in contenders.order if m.info.model})
    if not specs:
        return "unknown", "No embedder was measured."
    if len(specs) == 1:
        return "unknown", f"{specs[0]} alone embeds; a larger one (--encoder) may do better."
    return "pass", f"{plural(len(specs), 'embedder')} were measured: {listed(specs)}."


def _clean(case: Case) -> Gate:
    rows = case.contenders.panel.rows
    return labels_clean_enough(case.audit, int(rows.conflicting.sum()), len(rows.targets))


def _stable(case: Case) -> Gate:
    return task_stable(case.contenders.panel, case.name, case.margin, case.words.score)


def worth_its_cost(case: Case) -> Gate:
    """Judge the net value of the candidate over every cheaper one.

    PASS needs the whole interval above 0 against each, FAIL the whole interval below 0 against one.
    """
    contenders, name = case.contenders, case.name
    lacks = missing_prices(contenders)
    if lacks:
        return _gate(WORTH_ITS_COST, "unknown", f"{_takes(contenders, name)}. {lacks}")
    if not contenders.cheaper(name):
        return _gate(WORTH_ITS_COST, "pass", _cheapest(contenders, name))
    balances = {
        other: at
        for other in contenders.cheaper(name)
        if (at := balance_of(contenders, name, other))
    }
    if len(balances) < len(contenders.cheaper(name)):
        return _gate(
            WORTH_ITS_COST, "unknown", f"Some cheaper candidates share no test row with {name}."
        )
    other = min(balances, key=lambda n: balances[n].net.low)
    losing = [n for n in balances if balances[n].net.high < 0]
    if losing:
        other = min(losing, key=lambda n: balances[n].net.high)
        return _gate(WORTH_ITS_COST, "fail", _balance(case, other, balances[other]))
    paid = all(at.net.low >= 0 for at in balances.values())
    return _gate(
        WORTH_ITS_COST, "pass" if paid else "unknown", _balance(case, other, balances[other])
    )


def missing_prices(contenders: Contenders) -> str:
    """Say which prices the study file lacks; empty if it has all."""
    rule = contenders.rule
    prices = (rule.usd_per_machine_hour, rule.volume_per_month, rule.value_per_right_answer)
    if prices == (None, None, None):
        return "Add prices under [costs] in a study file (-c) to see whether it pays off."
    keys = [key for name in contenders.names for key in contenders.costs[name].record.missing]
    if rule.value_per_right_answer is None:
        keys.append("costs.value_per_right_answer")
    keys = list(dict.fromkeys(keys))
    if not keys:
        return ""
    return f"Whether it pays off is unknown, because the study file lacks {listed(keys)}."


def _takes(contenders: Contenders, name: str) -> str:
    costs = {n: contenders.costs[n] for n in contenders.names}
    cost = fit_and_1k_answers(costs)[name]
    if cost is None:
        return f"The cost of {name} was not measured"
    amount = f"costs ${number(cost, 4)}" if in_dollars(costs) else f"takes {duration(cost)}"
    return f"Training {name} and answering 1,000 rows {amount}"


def _cheapest(contenders: Contenders, name: str) -> str:
    total = contenders.costs[name].record.total_usd or 0.0
    return (
        f"{name} is the cheapest candidate ({dollars(total)} a year), so it has no extra cost to "
        "pay back."
    )


def _balance(case: Case, other: str, at: Balance) -> str:
    """State the net value of a candidate over another, with the terms of the break-even."""
    name, net = case.name, at.net
    return (
        f"Net value of {name} over {other} in a year of {rough(at.answers)} answers: "
        f"{dollars(net.value)} ({dollars(net.low)} to {dollars(net.high)}). {name} costs "
        f"{_more(at.extra)} to train and {_more(-1000 * at.saves.value)} per 1,000 "
        f"answers, changes {case.words.score} by {measured(at.gain.value)}, and a right answer is "
        f"worth {dollars(at.value)}. It pays off with {chance(at.probability)} probability."
    )


def _more(extra: float) -> str:
    return f"{dollars(abs(extra))} {'more' if extra >= 0 else 'less'}"


GATES = (
    GateRule(measurable, _has_labels),
    GateRule(_adequate),
    GateRule(contenders_credible),
    GateRule(_clean, _has_labels),
    GateRule(_stable),
    GateRule(worth_its_cost),
    GateRule(robust),
)

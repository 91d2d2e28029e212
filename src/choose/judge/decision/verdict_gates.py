"""The gates of a verdict: conditions that pass, fail or are unknown, each with its figure.

PASS and FAIL need the whole interval on that side; anything else is UNKNOWN, and so is what was
not measured, with the reason. `GATES` lists them with the tasks that each applies to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from choose.judge.decision.break_even import balance_of
from choose.judge.decision.contenders import Contenders
from choose.judge.decision.label_gates import (
    labels_clean_enough,
    measurable,
    task_stable,
)
from choose.judge.decision.rule import Case, deciding_difference, deciding_rival
from choose.judge.evidence import BILLIONS, strong
from choose.schema.base import Interval
from choose.schema.decision import Gate, GateCode, GateStatus

WORTH_ITS_COST = "worth its cost"


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


def _adequate(case: Case) -> Gate:
    """Judge whether the test rows detect a gain of the margin, or detected the one that decided."""
    name = "labelled set adequate"
    difference = deciding_difference(case.contenders, case.selection)
    rival = deciding_rival(case.contenders, case.selection)
    if difference is None or rival is None:
        return Gate(name=name, status="unknown", code="alone")
    code: GateCode = "detects-none" if case.detectable is None else "detects"
    if case.selection.chosen and code == "detects-none":
        code = "decided"
    detects = case.detectable is not None and case.detectable <= case.deciding_margin
    return Gate(
        name=name,
        status="pass" if detects or case.selection.chosen else "fail",
        code=code,
        names=(case.name, rival),
        count=difference.rows,
        share=case.detectable,
        limit=case.deciding_margin,
    )


def contenders_credible(case: Case) -> Gate:
    """Judge whether a prompted model was strong enough to represent prompting.

    Where documents are ranked, judge whether more than one embedder was tried.
    """
    name, contenders = "contenders credible", case.contenders
    if contenders.ranks:
        specs = tuple(sorted({m.info.model for m in contenders.order if m.info.model}))
        status: GateStatus = "pass" if len(specs) > 1 else "unknown"
        codes: tuple[GateCode, ...] = ("no-embedder", "one-embedder", "embedders")
        return Gate(name=name, status=status, code=codes[min(len(specs), 2)], names=specs)
    prompted = [m for m in contenders.order if m.info.family in ("prompting", "retrieval")]
    if not prompted:
        return Gate(name=name, status="unknown", code="none-prompted")
    credible = [m.info.name for m in prompted if strong(m.info)]
    if not credible:
        models = tuple(sorted({m.info.model for m in prompted if m.info.model}))
        return Gate(name=name, status="unknown", code="small-models", names=models, limit=BILLIONS)
    best = max(credible, key=lambda n: contenders.accuracies[n].value)
    floors = tuple(n for n in contenders.names if contenders.panel[n].info.floor)
    short_of = [n for n in floors if contenders.relation(best, n) != "better"]
    if short_of:
        lead = contenders.gain(best, short_of[0])
        return Gate(
            name=name,
            status="unknown",
            code="not-ahead",
            names=(best, short_of[0]),
            value=Interval.of(lead) if lead else None,
        )
    return Gate(name=name, status="pass", code="ahead-of-references", names=(best, *floors))


def _clean(case: Case) -> Gate:
    rows = case.contenders.panel.rows
    return labels_clean_enough(case.audit, int(rows.conflicting.sum()), len(rows.targets))


def _stable(case: Case) -> Gate:
    return task_stable(case.contenders.panel, case.name, case.margin)


def worth_its_cost(case: Case) -> Gate:
    """Judge the net value of the candidate over every cheaper one.

    PASS needs the whole interval above 0 against each, FAIL the whole interval below 0 against one.
    """
    contenders, name = case.contenders, case.name
    if (lacks := missing_prices(contenders)) is not None:
        return Gate(
            name=WORTH_ITS_COST,
            status="unknown",
            code="unpriced" if lacks else "no-prices",
            names=lacks,
        )
    if not contenders.cheaper(name):
        return Gate(name=WORTH_ITS_COST, status="pass", code="cheapest", names=(name,))
    balances = {
        other: at
        for other in contenders.cheaper(name)
        if (at := balance_of(contenders, name, other))
    }
    if len(balances) < len(contenders.cheaper(name)):
        return Gate(name=WORTH_ITS_COST, status="unknown", code="no-common-rows", names=(name,))
    other = min(balances, key=lambda n: balances[n].net.low)
    losing = [n for n in balances if balances[n].net.high < 0]
    if losing:
        other = min(losing, key=lambda n: balances[n].net.high)
    paid = all(at.net.low >= 0 for at in balances.values())
    return Gate(
        name=WORTH_ITS_COST,
        status="fail" if losing else "pass" if paid else "unknown",
        code="balance",
        names=(name, other),
        value=Interval.of(balances[other].net),
        share=balances[other].probability,
    )


def missing_prices(contenders: Contenders) -> tuple[str, ...] | None:
    """Return the keys of the prices that the study file lacks, empty for all; None for none."""
    rule = contenders.rule
    prices = (rule.usd_per_machine_hour, rule.volume_per_month, rule.value_per_right_answer)
    if prices == (None, None, None):
        return ()
    keys = [key for name in contenders.names for key in contenders.costs[name].record.missing]
    if rule.value_per_right_answer is None:
        keys.append("costs.value_per_right_answer")
    return tuple(dict.fromkeys(keys)) or None


GATES = (
    GateRule(measurable, _has_labels),
    GateRule(_adequate),
    GateRule(contenders_credible),
    GateRule(_clean, _has_labels),
    GateRule(_stable),
    GateRule(worth_its_cost),
)

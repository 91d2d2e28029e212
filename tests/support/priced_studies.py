"""Priced studies: simulated studies with a rule that gives costs and prices."""

from dataclasses import replace
from typing import Any

from choose.judge.decision.contenders import Contenders, contenders_of
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import study_scores
from support.simulated_studies import lora, majority, probe, study

PRICED = Rule(
    margin_from="default",
    usd_per_machine_hour=3600,
    minutes_per_label=0.5,
    hourly_rate=30.0,
    value_per_right_answer=4.0,
    volume_per_month=100,
)


def rule(margin: float | None = None, **prices: Any) -> Rule:
    """Return a rule with prices: a dollar for a second of the machine, $30 an hour of labelling."""
    stated: dict[str, Any] = {"margin": margin, "margin_from": "stated"} if margin else {}
    return replace(PRICED, **prices, **stated)


def world(costly: float = 0.85, cheap: float = 0.8, rows: int = 2000, seed: int = 1) -> Evidence:
    return study([majority(), probe(cheap), lora(costly, run_spread=0.05, own=0.4)], rows, seed)


def field(evidence: Evidence, prices: Rule) -> Contenders:
    return contenders_of(study_scores(evidence), prices)

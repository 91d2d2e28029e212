"""Priced studies: simulated studies with a rule that gives costs and prices."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from choose.judge.decision.contenders import Contenders, contenders_of
from choose.judge.evidence import Evidence
from choose.judge.goal import Deployment, Rule
from choose.judge.scores.score_tables import study_scores
from support.simulated_studies import lora, majority, probe, study

HOURS = {"baseline": 2.0, "prompting": 8.0, "retrieval": 10.0, "fine-tuning": 40.0}
PLAN = Deployment(
    value_per_right_answer=0.05,
    volume_per_month=10_000,
    horizon_months=12,
    start="2026-12-01",
    engineer_rate=100.0,
    engineer_hours=HOURS,
)


def rule(margin: float | None = None, **plan: object) -> Rule:
    """Return a rule with prices: $3.60 for an hour of the machine, $30 for one of labelling."""
    stated = {"margin": margin, "margin_from": "stated"} if margin else {"margin_from": "default"}
    return Rule(
        usd_per_machine_hour=3.6,
        minutes_per_label=0.5,
        hourly_rate=30.0,
        deployment=replace(PLAN, **plan),
        **stated,
    )


def world(costly: float = 0.85, cheap: float = 0.8, rows: int = 2000, seed: int = 1) -> Evidence:
    return study([majority(), probe(cheap), lora(costly, run_spread=0.05, own=0.4)], rows, seed)


def field(evidence: Evidence, prices: Rule) -> Contenders:
    return contenders_of(study_scores(evidence), prices)


def retiring(evidence: Evidence, name: str, day: date) -> Evidence:
    """Return the study with a day on which a candidate's model retires."""
    infos = (replace(c, retires=day) if c.name == name else c for c in evidence.candidates)
    return replace(evidence, candidates=tuple(infos))

"""Small simulated studies, by the generator that also serves `benchmarks/oracle.py`."""

from collections.abc import Mapping
from dataclasses import replace
from math import hypot
from typing import Any

import numpy as np

from choose.judge.decision.candidates import Candidates, select_candidates
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import study_scores
from choose.types import Family
from simulation.evidence import evidence
from simulation.setting import Setting, SimulatedCandidate

LABELS = ("a", "b", "c", "d")
SHARES = (0.4, 0.3, 0.2, 0.1)
POOL = 400


def candidate(
    name: str,
    family: Family,
    accuracy: float,
    seconds: float,
    *,
    at: Mapping[int, float] | None = None,
    noisy: Mapping[float, float] | None = None,
    run_spread: float = 0.3,
    own: float = 1.0,
    **more: object,
) -> SimulatedCandidate:
    """Return a candidate whose accuracies at smaller pools and noise rates are `at` and `noisy`.

    `run_spread` is the standard deviation of a fit on the latent scale; without seeds it is that of
    each row instead.
    """
    seeded = bool(more.get("seeds"))
    return SimulatedCandidate(
        name=name,
        family=family,
        accuracy=accuracy,
        seconds=seconds,
        at={size / POOL: value - accuracy for size, value in (at or {}).items()},
        noised={rate: value - accuracy for rate, value in (noisy or {}).items()},
        run_spread=run_spread if seeded else 0.0,
        own=own if seeded else hypot(own, run_spread),
        **more,
    )


def study(candidates, rows, seed, *, folds=1, cluster=1, pool=POOL):
    """Simulate one study of four labels."""
    setting = Setting(
        candidates=tuple(candidates),
        rows=rows,
        labels=len(LABELS),
        shares=SHARES,
        pool=pool,
        folds=folds,
        cluster=cluster,
    )
    return evidence(setting, np.random.default_rng(seed))


def majority(accuracy: float = 0.4) -> SimulatedCandidate:
    return candidate("majority", "baseline", accuracy, 0.01)


def tfidf(accuracy: float, **more: object) -> SimulatedCandidate:
    return candidate("tfidf", "baseline", accuracy, 0.5, **more)


def probe(accuracy: float, **more: object) -> SimulatedCandidate:
    return candidate("probe", "baseline", accuracy, 2.0, **more)


def prompt(accuracy: float, **more: object) -> SimulatedCandidate:
    return candidate("prompt", "prompting", accuracy, 30.0, **{"model": "Qwen3-8B", **more})


def retrieval(accuracy: float, **more: object) -> SimulatedCandidate:
    settings = {"seeds": 3, "run_spread": 0.15, "model": "Qwen3-8B", **more}
    return candidate("retrieval", "retrieval", accuracy, 60.0, **settings)


def lora(accuracy: float, **more: object) -> SimulatedCandidate:
    settings = {"seeds": 3, "model": "Qwen3-8B", **more}
    return candidate("lora", "fine-tuning", accuracy, 200.0, **settings)


PRICED = Rule(usd_per_hour=3600, minutes_per_label=0.5, hourly_rate=30.0, volume=100)


def rule(margin: float | None = None, **prices: Any) -> Rule:
    """Return a rule with prices: a dollar for a second of the machine, $30 an hour of labelling."""
    return replace(PRICED, **prices, **({"margin": margin} if margin else {}))


def world(costly: float = 0.85, cheap: float = 0.8, rows: int = 2000, seed: int = 1) -> Evidence:
    return study([majority(), probe(cheap), lora(costly, run_spread=0.05, own=0.4)], rows, seed)


def field(evidence: Evidence, prices: Rule) -> Candidates:
    return select_candidates(study_scores(evidence), prices)

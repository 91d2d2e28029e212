"""What simulated candidates cost, and the gain in accuracy that would pay for it."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from known_worlds.setting import Contestant, Setting

Rng = np.random.Generator

# Hours of engineering by family, at least and at most.
HOURS = {
    "baseline": (1.0, 8.0),
    "prompting": (2.0, 40.0),
    "retrieval": (8.0, 60.0),
    "fine-tuning": (16.0, 120.0),
}

# Gains below this no study can measure, so that no margin is smaller.
LEAST = 0.001


def draw_costs(rng: Rng) -> dict[str, Any]:
    """Draw the ``[costs]`` of a study file: from a side project to a busy service."""
    return {
        "usd_per_machine_hour": float(rng.uniform(0.3, 4.0)),
        "engineer_rate": float(rng.uniform(40.0, 150.0)),
        "engineer_hours": {family: float(rng.uniform(*ends)) for family, ends in HOURS.items()},
        "volume_per_month": float(np.exp(rng.uniform(np.log(1e3), np.log(1e6)))),
        "value_per_right_answer": float(np.exp(rng.uniform(np.log(0.01), np.log(2.0)))),
        "horizon_months": float(rng.choice((6, 12, 24))),
    }


def priced(setting: Setting) -> tuple[dict[str, float], float]:
    """Return what each costs as accuracy that pays for it, and the smallest gain that matters.

    Nothing is priced, and the margin is what the study states, where no costs are given.
    """
    if not setting.costs:
        return {}, setting.margin
    costs = setting.costs
    answers = costs["volume_per_month"] * costs["horizon_months"]
    worth = costs["value_per_right_answer"] * answers
    price = {c.name: _dollars(c, costs, answers) / worth for c in setting.contestants}
    steps = [min(abs(price[a] - price[b]), 1.0) for a, b in combinations(price, 2)]
    return price, max(min(setting.margin, max(steps)), LEAST)


def _dollars(c: Contestant, costs: dict[str, Any], answers: float) -> float:
    # A fit takes the contestant's seconds, an answer a thousandth of it.
    hours = (c.seconds + answers * c.seconds / 1000) / 3600
    building = costs["engineer_hours"][c.family] * costs["engineer_rate"]
    return float(building + hours * costs["usd_per_machine_hour"])

"""What every world starts from: candidates whose best leads the runner-up by 0 to 10 points.

Thresholds are tuned on one split and reported on the other. The splits share no seed and differ
in their ranges: other accuracies, other numbers of labels, other spreads, other margins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from known_worlds.setting import Contestant, Setting

Split = Literal["tune", "report"]
Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """Where a split draws from."""

    base: tuple[float, float]
    own: tuple[float, float]
    luck: tuple[float, float]
    labels: tuple[int, ...]
    margins: tuple[float, ...]
    share: tuple[float, float]


RANGES: dict[Split, Ranges] = {
    "tune": Ranges(
        base=(0.60, 0.80),
        own=(0.8, 1.5),
        luck=(0.03, 0.20),
        labels=(4,),
        margins=(0.02,),
        share=(0.05, 0.20),
    ),
    "report": Ranges(
        base=(0.55, 0.88),
        own=(0.5, 2.0),
        luck=(0.02, 0.25),
        labels=(3, 8),
        margins=(0.02,),
        share=(0.03, 0.25),
    ),
}

MOST_GAP = 0.10
BIG, SMALL = "Qwen3-8B", "SmolLM2-135M"


def draw_base(rng: Rng, ranges: Ranges) -> Setting:
    """Draw contestants whose best leads the runner-up by 0 to 10 points, whoever they are."""
    runner_up = rng.uniform(*ranges.base)
    names = ["tfidf", "probe", "prompt", "retrieval", "lora"]
    behind = np.minimum(rng.exponential(0.04, len(names)), 0.3)
    first, second = rng.choice(len(names), 2, replace=False)
    accuracy = runner_up - behind
    accuracy[second] = runner_up
    accuracy[first] = runner_up + rng.uniform(0, MOST_GAP)
    known = dict(zip(names, accuracy.tolist(), strict=True))
    return Setting(
        contestants=(
            Contestant(name="majority", family="baseline", accuracy=0.3, seconds=0.01),
            _contestant(rng, ranges, "tfidf", "baseline", known, 0.5),
            _contestant(rng, ranges, "probe", "baseline", known, 6.0),
            _contestant(rng, ranges, "prompt", "prompting", known, 40.0, model=BIG),
            _contestant(rng, ranges, "retrieval", "retrieval", known, 150.0, 3, model=BIG),
            _contestant(rng, ranges, "lora", "fine-tuning", known, 600.0, 3, model=BIG),
        ),
        rows=int(np.exp(rng.uniform(np.log(100), np.log(3000)))),
        labels=int(rng.choice(ranges.labels)),
        margin=float(rng.choice(ranges.margins)),
    )


def _contestant(
    rng: Rng,
    ranges: Ranges,
    name: str,
    family: Any,
    accuracy: dict[str, float],
    seconds: float,
    seeds: int = 0,
    model: str | None = None,
) -> Contestant:
    return Contestant(
        name=name,
        family=family,
        accuracy=accuracy[name],
        seconds=seconds,
        seeds=seeds,
        luck=rng.uniform(*ranges.luck) if seeds else 0.0,
        own=rng.uniform(*ranges.own),
        model=model,
    )

"""The worlds: how the setting of a study of each is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from simulation.setting import Setting, SimulatedCandidate

Split = Literal["tune", "report"]

Rng = np.random.Generator

MOST_GAP = 0.10

BIG, SMALL = "Qwen3-8B", "SmolLM2-135M"

# Hours of engineering by family, at least and at most.
# Margins that no threshold was tuned with.
UNSEEN = (0.01, 0.03)


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """The ranges of a split's random draws."""

    base: tuple[float, float]
    own: tuple[float, float]
    run_spread: tuple[float, float]
    labels: tuple[int, ...]
    margins: tuple[float, ...]
    share: tuple[float, float]


RANGES: dict[Split, Ranges] = {
    "tune": Ranges(
        base=(0.60, 0.80),
        own=(0.8, 1.5),
        run_spread=(0.03, 0.20),
        labels=(4,),
        margins=(0.02,),
        share=(0.05, 0.20),
    ),
    "report": Ranges(
        base=(0.55, 0.88),
        own=(0.5, 2.0),
        run_spread=(0.02, 0.25),
        labels=(3, 8),
        margins=(0.02,),
        share=(0.03, 0.25),
    ),
}


def draw_base(rng: Rng, ranges: Ranges) -> Setting:
    """Draw candidates whose best leads the runner-up by 0 to 10 points."""
    runner_up = rng.uniform(*ranges.base)
    names = ["tfidf", "probe", "prompt", "retrieval", "lora"]
    behind = np.minimum(rng.exponential(0.04, len(names)), 0.3)
    first, second = rng.choice(len(names), 2, replace=False)
    accuracy = runner_up - behind
    accuracy[second] = runner_up
    accuracy[first] = runner_up + rng.uniform(0, MOST_GAP)
    known = dict(zip(names, accuracy.tolist(), strict=True))
    return Setting(
        candidates=(
            SimulatedCandidate(name="majority", family="baseline", accuracy=0.3, seconds=0.01),
            _candidate(rng, ranges, "tfidf", "baseline", known, 0.5),
            _candidate(rng, ranges, "probe", "baseline", known, 6.0),
            _candidate(rng, ranges, "prompt", "prompting", known, 40.0, model=BIG),
            _candidate(rng, ranges, "retrieval", "retrieval", known, 150.0, 3, model=BIG),
            _candidate(rng, ranges, "lora", "fine-tuning", known, 600.0, 3, model=BIG),
        ),
        rows=int(np.exp(rng.uniform(np.log(100), np.log(3000)))),
        labels=int(rng.choice(ranges.labels)),
        margin=float(rng.choice(ranges.margins)),
    )


def _candidate(
    rng: Rng,
    ranges: Ranges,
    name: str,
    family: Any,
    accuracy: dict[str, float],
    seconds: float,
    seeds: int = 0,
    model: str | None = None,
) -> SimulatedCandidate:
    return SimulatedCandidate(
        name=name,
        family=family,
        accuracy=accuracy[name],
        seconds=seconds,
        seeds=seeds,
        run_spread=rng.uniform(*ranges.run_spread) if seeds else 0.0,
        own=rng.uniform(*ranges.own),
        model=model,
    )


def draw_costs(rng: Rng) -> dict[str, Any]:
    """Draw the ``[costs]`` of a study file: from a side project to a busy service."""
    return {
        "usd_per_hour": float(rng.uniform(0.3, 4.0)),
        "volume": float(np.exp(rng.uniform(np.log(1e3), np.log(1e6)))),
    }


Change = Callable[[Setting, Rng, "Ranges"], Setting]


def draw(world: str, split: Split, rng: Rng) -> Setting:
    """Draw a study of a world."""
    ranges = RANGES[split]
    return WORLDS[world](draw_base(rng, ranges), rng, ranges)


def _each(setting: Setting, change: Callable[[SimulatedCandidate], dict[str, Any]]) -> Setting:
    """Change every candidate but majority."""
    majority, *others = setting.candidates
    return replace(setting, candidates=(majority, *(replace(c, **change(c)) for c in others)))


def _plain(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return setting


def _cross_fit(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return replace(setting, folds=5)


def _ties(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    level = max(c.accuracy for c in setting.candidates)
    return _each(setting, lambda c: {"accuracy": level})


def _interaction(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return _each(setting, lambda c: {"interaction": rng.uniform(0.5, 2.0) if c.seeds else 0.0})


def _uneven_runs(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    def change(c: SimulatedCandidate) -> dict[str, Any]:
        return {
            "run_spread": float(np.exp(rng.uniform(np.log(0.02), np.log(0.8)))) if c.seeds else 0.0
        }

    return _each(setting, change)


def _collapse(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    def change(c: SimulatedCandidate) -> dict[str, Any]:
        if c.family != "fine-tuning":
            return {}
        return {"collapse": (rng.uniform(*ranges.share), rng.uniform(1.0, 4.0)), "seeds": 5}

    return _each(setting, change)


def _shared_runs(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    changed = _each(setting, lambda c: {"run_spread": rng.uniform(0.1, 0.5) if c.seeds else 0.0})
    return replace(changed, together=rng.uniform(0.3, 0.9))


def _clusters(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    size = int(rng.integers(2, 9))
    return replace(setting, cluster=size, rows=max(setting.rows, 40 * size), folds=5)


def _noisy_labels(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return replace(setting, mislabelled=rng.uniform(0.02, 0.12), scored=True)


def _noise_on_hard(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return replace(setting, mislabelled=rng.uniform(0.1, 0.4), hard_only=True, scored=True)


def _curves(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    def change(c: SimulatedCandidate) -> dict[str, Any]:
        if c.family == "prompting":
            return {}
        steps = rng.normal(-0.02, 0.03, 2)
        return {"at": {0.5: steps[0], 0.25: steps[0] + steps[1]}}

    return _each(setting, change)


def _full_grid(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    def change(c: SimulatedCandidate) -> dict[str, Any]:
        learns = c.family != "prompting"
        return {
            "at": {0.5: -rng.uniform(0, 0.03)} if learns else {},
            "noised": {0.2: -rng.uniform(0, 0.08)} if learns else {},
            "viewed": -rng.uniform(0, 0.08),
        }

    return _each(setting, change)


def _drift(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    shared = rng.uniform(0, 0.4)
    return _each(setting, lambda c: {"decline": max(shared + rng.normal(0, 0.1), 0.001)})


def _margins(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return replace(setting, margin=float(rng.choice(UNSEEN)))


def _repetitions(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return _each(setting, lambda c: {"seeds": int(rng.choice((1, 2, 3, 5))) if c.seeds else 0})


def _budget(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    changed = _each(setting, lambda c: {"seeds": int(rng.integers(1, 4)) if c.seeds else 0})
    done = {"retrieval": int(rng.integers(2, 6)), "lora": int(rng.integers(1, 6))}
    cut = frozenset(name for name in done if rng.random() < 0.5)
    rows = max(setting.rows, 200)
    return replace(changed, folds=5, folds_done=done, last_cut=cut, rows=rows)


def _crowd(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    """Add a near-equal second candidate of each family, so that picking the best is optimistic."""
    return _near_equal(setting, rng, lambda: 2)


def _many_members(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    """Let families have very unlike numbers of near-equal members, as with tuned candidates."""
    return _near_equal(setting, rng, lambda: int(rng.integers(1, 8)))


def _near_equal(setting: Setting, rng: Rng, count: Callable[[], int]) -> Setting:
    """Make so many of each candidate but the first, up to a point less accurate."""
    members = [
        replace(
            c,
            name=f"{c.name} {i}",
            seconds=c.seconds * (1 + 0.1 * i),
            accuracy=c.accuracy - (rng.uniform(0, 0.01) if i else 0.0),
        )
        for c in setting.candidates[1:]
        for i in range(count())
    ]
    return replace(setting, candidates=(setting.candidates[0], *members))


def _small_model(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return _each(setting, lambda c: {"model": SMALL if c.model else None})


def _target(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    best = max(c.accuracy for c in setting.candidates)
    return replace(setting, target=min(best + rng.uniform(-0.12, 0.08), 0.98))


def _wrong_labels(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    """Make labels wrong where candidates are good enough to show it; half of them have a target.

    In a third of them only hard rows are mislabelled, in another the candidates learn the mistakes.
    """
    wrong, level = rng.uniform(0.0, 0.2), rng.uniform(0.85, 0.98)
    by = level - max(c.accuracy for c in setting.candidates)
    raised = _each(setting, lambda c: {"accuracy": c.accuracy + by})
    target = min(1 - wrong + rng.uniform(-0.1, 0.1), 0.99) if rng.random() < 0.5 else None
    kind, rows = rng.integers(3), max(setting.rows, 300)
    how = {"hard_only": kind == 1, "taught": rng.uniform(0, 0.5) if kind == 2 else 0.0}
    return replace(raised, mislabelled=wrong, target=target, folds=5, rows=rows, scored=True, **how)


def _prices(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return replace(setting, costs=draw_costs(rng))


def _rare_labels(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    """Make some labels rare, and every candidate better at some; half the goals are balanced."""
    shares = 0.9 * rng.dirichlet(np.ones(setting.labels)) + 0.1 / setting.labels
    skill = {c.name: rng.normal(0, ranges.own[0], setting.labels) for c in setting.candidates}
    return replace(
        _each(setting, lambda c: {"by_label": tuple(skill[c.name].tolist())}),
        shares=tuple(shares.tolist()),
        metric="balanced" if rng.random() < 0.5 else "accuracy",
    )


def _records(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    """Score answers from 0 to 1, most of them 0 or 1, as records are; some prompts break them."""

    def change(c: SimulatedCandidate) -> dict[str, Any]:
        broken = rng.uniform(0, 0.1) if c.family in ("prompting", "retrieval") else 0.0
        interaction = rng.uniform(0, 1) if c.seeds else 0.0
        return {
            "partial": rng.uniform(0.2, 2.0),
            "broken": broken,
            "interaction": interaction,
            "accuracy": min(c.accuracy, 0.88),  # a broken answer is never right
        }

    majority = replace(setting.candidates[0], partial=0.5)
    changed = _each(setting, change)
    return replace(changed, candidates=(majority, *changed.candidates[1:]), folds=5)


def _records_in_clusters(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return _records(_clusters(setting, rng, ranges), rng, ranges)


def _tied_records(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    return _records(_ties(setting, rng, ranges), rng, ranges)


def _texts(setting: Setting, rng: Rng, ranges: Ranges) -> Setting:
    """Score answers low and nearly all between 0 and 1, as whole texts are, but for broken ones."""
    level = rng.uniform(0.2, 0.45)
    by = level - max(c.accuracy for c in setting.candidates)

    def change(c: SimulatedCandidate) -> dict[str, Any]:
        lower = max(c.accuracy + by, 0.08)
        return {"accuracy": lower, "partial": rng.uniform(3, 8), "broken": rng.uniform(0, 0.05)}

    majority = replace(setting.candidates[0], partial=4.0, accuracy=0.05)
    changed = _each(setting, change)
    return replace(changed, candidates=(majority, *changed.candidates[1:]))


WORLDS: dict[str, Change] = {
    "plain": _plain,
    "cross-fit": _cross_fit,
    "ties": _ties,
    "item x seed": _interaction,
    "uneven runs": _uneven_runs,
    "collapsing fits": _collapse,
    "shared runs": _shared_runs,
    "clusters": _clusters,
    "noisy labels": _noisy_labels,
    "noise on hard items": _noise_on_hard,
    "bent curves": _curves,
    "full grid": _full_grid,
    "drift": _drift,
    "unseen margins": _margins,
    "unequal repetitions": _repetitions,
    "budget cuts": _budget,
    "crowd": _crowd,
    "small model": _small_model,
    "target": _target,
    "wrong labels": _wrong_labels,
    "prices": _prices,
    "rare labels": _rare_labels,
    "records": _records,
    "tied records": _tied_records,
    "records in clusters": _records_in_clusters,
    "texts": _texts,
    "many members": _many_members,
}

"""Simulated studies whose truth is known; their generator is not the judge's model.

Items share heavy-tailed difficulty, each candidate finds other items hard, each repetition has its
own luck overall and on each item. Accuracy is what comes out of this on a large population, so a
tie is a tie of the population and never of the sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import sqrt

import numpy as np

from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.types import STANDARD, Answers, Family, Run, Scenario, Trial

LABELS = ("a", "b", "c", "d")


@dataclass(frozen=True, kw_only=True)
class Player:
    """A candidate with a known accuracy.

    `luck` is the standard deviation of a repetition on the logit-like latent scale, `own` that of
    the items which this candidate finds hard; `at` gives the accuracy at smaller pools, `noisy` at
    rates of label noise. Seeds below 1 mean that no seed changes an answer.
    """

    name: str
    family: Family
    accuracy: float
    seconds: float
    seeds: int = 0
    luck: float = 0.3
    own: float = 1.0
    model: str | None = None
    at: Mapping[int, float] = field(default_factory=dict)
    noisy: Mapping[float, float] = field(default_factory=dict)
    fails: str | None = None


@cache
def _population(own: float, luck: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    spread = sqrt(own**2 + luck**2 + 0.25)
    return np.sort(_difficulty(rng, 400_000) + rng.normal(0, spread, 400_000))


def _difficulty(rng: np.random.Generator, n: int) -> np.ndarray:
    hard = rng.random(n) < 0.25
    return np.where(hard, rng.normal(2.5, 1.0, n), 1.2 * rng.standard_t(4, n))


def right_answers(
    rng: np.random.Generator,
    difficulty: np.ndarray,
    own: np.ndarray,
    player: Player,
    accuracy: float,
    luck: np.ndarray,
) -> np.ndarray:
    """Return (items, repetitions) right or wrong for a population accuracy."""
    if accuracy in (0.0, 1.0):
        return np.full((len(difficulty), len(luck)), bool(accuracy))
    ability = np.quantile(_population(player.own, player.luck), accuracy)
    each = 0.5 * rng.standard_normal((len(difficulty), len(luck)))
    return ability + player.luck * luck[None, :] > (difficulty + own)[:, None] + each


def study(
    players: list[Player],
    rows: int,
    seed: int,
    *,
    folds: int = 1,
    cluster: int = 1,
    pool: int = 400,
) -> Evidence:
    """Simulate one study."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(len(LABELS), rows, p=(0.4, 0.3, 0.2, 0.1))
    groups = np.arange(rows) // cluster
    difficulty = _difficulty(rng, rows)
    if cluster > 1:
        difficulty = difficulty[groups * cluster]
    runs: list[Run] = []
    for player in players:
        runs += _runs(rng, player, targets, difficulty, folds, pool)
    ids = tuple(f"r{i}" for i in range(rows))
    return Evidence(
        name="world",
        fingerprint="0" * 32,
        rows=rows + (pool if folds == 1 else 0),
        labels=LABELS,
        division="held-out" if folds == 1 else "cross-fit",
        items=Items(
            ids=ids,
            targets=tuple(LABELS[t] for t in targets),
            clusters=tuple(f"c{g}" for g in groups),
        ),
        candidates=tuple(_info(player) for player in players),
        pool_rows=(pool,) * folds,
        runs=tuple(runs),
    )


def _info(player: Player) -> CandidateInfo:
    return CandidateInfo(
        name=player.name,
        strategy=player.name,
        family=player.family,
        model=player.model,
        cheap=player.seconds < 10,
        seeded=player.seeds > 0,
    )


def _runs(
    rng: np.random.Generator,
    player: Player,
    targets: np.ndarray,
    difficulty: np.ndarray,
    folds: int,
    pool: int,
) -> list[Run]:
    own = player.own * rng.standard_normal(len(difficulty))
    repetitions = max(player.seeds, 1)
    luck = rng.standard_normal(repetitions)
    # A candidate without a seed has had its luck once and for all, item by item.
    if not player.seeds:
        own, luck = own + player.luck * rng.standard_normal(len(own)), np.zeros(1)
    places = [("main", pool, 0.0, player.accuracy)]
    places += [("size", size, 0.0, accuracy) for size, accuracy in player.at.items()]
    places += [("noise", pool, rate, accuracy) for rate, accuracy in player.noisy.items()]
    runs = []
    for kind, size, rate, accuracy in places:
        right = right_answers(rng, difficulty, own, player, accuracy, luck)
        scenario = Scenario(kind="noise", rate=rate) if kind == "noise" else STANDARD
        for repetition in range(repetitions):
            wrong = (targets + rng.integers(1, len(LABELS), len(targets))) % len(LABELS)
            codes = np.where(right[:, repetition], targets, wrong)
            runs += [
                _run(
                    player,
                    codes,
                    np.flatnonzero(np.arange(len(targets)) % folds == fold),
                    Trial(
                        candidate=player.name,
                        strategy=player.name,
                        revision=1,
                        params={},
                        variant="",
                        scenario=scenario,
                        fold=fold,
                        draw=repetition,
                        train_size=size,
                        seed=repetition if player.seeds else 0,
                        weights="",
                        task="",
                        pool="",
                        questions="",
                    ),
                )
                for fold in range(folds)
            ]
    return runs


def _run(player: Player, codes: np.ndarray, asked: np.ndarray, trial: Trial) -> Run:
    if player.fails:
        return Run(trial=trial, error=player.fails)
    outputs = tuple(LABELS[codes[i]] for i in asked)
    return Run(
        trial=trial,
        asked={("clean", 0): tuple(f"r{i}" for i in asked)},
        answers={("clean", 0): Answers(outputs=outputs, status=("ok",) * len(outputs))},
        fit_seconds=player.seconds,
        predict_seconds=player.seconds * len(asked) / 1000,
        seconds_alone=player.seconds,
        seconds_spent=player.seconds,
    )


def majority(accuracy: float = 0.4) -> Player:
    return Player(name="majority", family="baseline", accuracy=accuracy, seconds=0.01)


def probe(accuracy: float, **more: object) -> Player:
    return Player(name="probe", family="baseline", accuracy=accuracy, seconds=2.0, **more)


def tfidf(accuracy: float, **more: object) -> Player:
    return Player(name="tfidf", family="baseline", accuracy=accuracy, seconds=0.5, **more)


def retrieval(accuracy: float, **more: object) -> Player:
    settings = {"seeds": 3, "luck": 0.15, "model": "Qwen3-8B", **more}
    return Player(name="retrieval", family="retrieval", accuracy=accuracy, seconds=60.0, **settings)


def prompt(accuracy: float, **more: object) -> Player:
    settings = {"model": "Qwen3-8B", **more}
    return Player(name="prompt", family="prompting", accuracy=accuracy, seconds=30.0, **settings)


def lora(accuracy: float, **more: object) -> Player:
    settings = {"seeds": 3, "model": "Qwen3-8B", **more}
    return Player(name="lora", family="fine-tuning", accuracy=accuracy, seconds=200.0, **settings)

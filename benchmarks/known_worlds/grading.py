"""One study judged and graded against its truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean

import numpy as np

from choose.judge.record import Decision, Interval
from choose.judge.rule import Rule
from choose.judge.verdict import judge
from known_worlds.resampled import resample
from known_worlds.setting import Setting
from known_worlds.simulate import evidence
from known_worlds.truth import Truth, truth_of
from known_worlds.worlds import WORLDS, Split, draw

# Normal quantile by which the half width of a 95 % interval is turned into a standard error.
Z = 1.96
SPLITS = ("tune", "report")

RESAMPLED = "resampled"
NAMES = (*WORLDS, RESAMPLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What using one candidate costs: points given up, and whether a cheaper one would do."""

    regret: float
    excess: float
    needless: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """How one verdict did.

    `covered` are shares of the intervals of a study that hold the truth, NaN where it has none.
    """

    kind: str
    confidence: str
    recommends: bool
    right: bool
    false_winner: bool
    not_better: bool
    decisive: bool
    may_be_high: bool
    covered_pairs: float
    covered_accuracies: float
    meanwhile: Choice
    highest: Choice
    one_error: Choice


@dataclass(frozen=True, slots=True)
class Plan:
    """What the plan of a study says: who depends on a seed, and whether "high" is open to it."""

    varying: frozenset[str]
    may_be_high: bool


def play(world: str, split: Split, number: int) -> Grade:
    """Draw, judge and grade one study; the same arguments give the same grade."""
    rng = np.random.default_rng([number, NAMES.index(world), SPLITS.index(split)])
    if world == RESAMPLED:
        study, truth = resample(rng)
        # Prompting was stored with a small model alone.
        plan = Plan(frozenset(c.name for c in study.candidates if c.learns), may_be_high=False)
    else:
        setting = draw(world, split, rng)
        study, truth = evidence(setting, rng), truth_of(setting)
        plan = Plan(
            frozenset(c.name for c in setting.contestants if c.seeds), _may_be_high(setting)
        )
    return grade(judge(study, Rule(margin=truth.margin, target=truth.target)), truth, plan)


def grade(found: Decision, truth: Truth, plan: Plan) -> Grade:
    """Hold a decision against the truth."""
    verdict = found.verdict
    chosen = verdict.recommended
    measured = {c.candidate: c.accuracy for c in found.scorecards if c.accuracy}
    order = [name for name in truth.names if name in measured]
    highest = max(order, key=lambda name: measured[name].value)
    return Grade(
        kind=verdict.kind,
        confidence=verdict.confidence,
        recommends=chosen is not None,
        right=_right(found, truth),
        false_winner=chosen is not None and truth.false_winner(chosen),
        not_better=chosen is not None and truth.not_better(chosen),
        decisive=truth.decisive,
        may_be_high=plan.may_be_high,
        covered_pairs=_covered_pairs(found, truth),
        covered_accuracies=_covered_accuracies(found, truth, plan),
        meanwhile=_choice(truth, verdict.use_meanwhile),
        highest=_choice(truth, highest),
        one_error=_choice(truth, _one_error(order, measured, highest)),
    )


def _right(found: Decision, truth: Truth) -> bool:
    """Return whether the verdict is right.

    One that recommends is right if what it recommends is no false winner, and reaches the target
    where it says so. "None works" is right if none reaches the target. One that leaves the question
    open is right if what it says to use meanwhile is within the margin of the best.
    """
    verdict, target = found.verdict, truth.target
    if verdict.kind == "none-works":
        return truth.best < target if target is not None else truth.best <= truth.value["majority"]
    if verdict.recommended is None:
        return truth.excess(verdict.use_meanwhile) == 0
    reached = target is None or truth.value[verdict.recommended] >= target
    claims = verdict.kind == "baseline-is-enough"
    return not truth.false_winner(verdict.recommended) and (reached or not claims)


def _may_be_high(setting: Setting) -> bool:
    """Return whether nothing in the plan of the study bars high confidence."""
    credible = all(c.info.model != "SmolLM2-135M" for c in setting.contestants)
    repeated = all(c.seeds in (0, 3, 4, 5) for c in setting.contestants)
    return credible and repeated and not setting.folds_done


def _covered_pairs(found: Decision, truth: Truth) -> float:
    held = [
        _holds(pair.difference, truth.measured[pair.a] - truth.measured[pair.b])
        for pair in found.pairs
        if "best of its kind" not in pair.method
    ]
    return fmean(held) if held else nan


def _covered_accuracies(found: Decision, truth: Truth, plan: Plan) -> float:
    """Leave out single fits that a seed can change: their interval is about that very fit."""
    held = [
        _holds(card.accuracy, truth.measured[card.candidate])
        for card in found.scorecards
        if card.accuracy
        and card.candidate != "majority"
        and not (card.candidate in plan.varying and card.repetitions == 1)
    ]
    return fmean(held) if held else nan


def _holds(interval: Interval, value: float) -> bool:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= value <= interval.high


def _one_error(order: Sequence[str], measured: dict[str, Interval], highest: str) -> str:
    best = measured[highest]
    assert best.low is not None
    assert best.high is not None
    floor = best.value - (best.high - best.low) / (2 * Z)
    return next(name for name in order if measured[name].value >= floor)


def _choice(truth: Truth, name: str) -> Choice:
    return Choice(
        regret=truth.regret(name), excess=truth.excess(name), needless=truth.needless(name)
    )

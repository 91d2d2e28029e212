"""One study judged and graded against its truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from statistics import fmean
from typing import Any

import numpy as np

from choose.api.study_evidence import rule_of
from choose.judge.evidence import Evidence
from choose.judge.verdict import judge
from choose.schema.base import Interval
from choose.schema.decision import Decision
from known_worlds.asked_more import NOBODY, AskedMore, ask_more
from known_worlds.bases import Split
from known_worlds.on_disk import differences, judged_on_disk
from known_worlds.resampled import resample
from known_worlds.setting import Setting
from known_worlds.simulate import evidence
from known_worlds.truth import Truth, truth_of
from known_worlds.worlds import WORLDS, draw

# Normal quantile by which the half width of a 95 % interval is turned into a standard error.
Z = 1.96
SPLITS = ("tune", "report")

RESAMPLED = "resampled"
# A world's place decides what is drawn in it; the later ones stand behind.
_PLACES = list(WORLDS)
_PLACES.insert(20, RESAMPLED)
NAMES = tuple(_PLACES)

# Of so many studies, one is also judged from a store on disk, and one is made again with the test
# rows that it asks for.
STORED, ASKED_MORE = 20, 10


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
    `limited` is whether the labels are what limits the best, `noise_covered` whether the band of
    wrong labels holds their share, None where there is no band; `stored` whether the study was also
    judged from a store; `more` what the test rows showed that the verdict asks for, where somebody
    asked them.
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
    limited: bool
    stored: bool = False
    noise_covered: bool | None = None
    more: AskedMore = NOBODY


@dataclass(frozen=True, slots=True)
class Plan:
    """What the plan of a study says: who depends on a seed, and whether "high" is open to it."""

    varying: frozenset[str]
    may_be_high: bool


def play(world: str, split: Split, number: int) -> Grade:
    """Draw, judge and grade one study; the same arguments give the same grade.

    Raises:
        ValueError: if a study that is also judged from a store is judged otherwise there.
    """
    rng = np.random.default_rng([number, NAMES.index(world), SPLITS.index(split)])
    if world == RESAMPLED:
        study, truth = resample(rng)
        stated: dict[str, Any] = {"goal": {"margin": truth.margin}, "costs": {}}
        # Prompting was stored with a small model alone.
        plan = Plan(frozenset(c.name for c in study.candidates if c.learns), may_be_high=False)
        return _with_store(grade(_judged(study, stated, number), truth, plan), number)
    setting = draw(world, split, rng)
    study, truth = evidence(setting, rng), truth_of(setting)
    plan = Plan(frozenset(c.name for c in setting.contestants if c.seeds), _may_be_high(setting))
    found = _judged(study, setting.study, number)
    graded = _with_store(grade(found, truth, plan), number)
    if number % ASKED_MORE:
        return graded
    return replace(graded, more=ask_more(found, setting, rng))


def _judged(study: Evidence, stated: Mapping[str, Any], number: int) -> Decision:
    found = judge(study, rule_of(stated))
    if number % STORED == 0:
        other = differences(found, judged_on_disk(study, stated))
        if other:
            raise ValueError(f"Judged from a store, it differs in {', '.join(other)}.")
    return found


def _with_store(graded: Grade, number: int) -> Grade:
    return replace(graded, stored=number % STORED == 0)


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
        limited=truth.limited,
        noise_covered=_noise_covered(found, truth),
    )


def _noise_covered(found: Decision, truth: Truth) -> bool | None:
    band = found.audit.noise if found.audit else None
    return band.low <= truth.wrong <= band.high if band and truth.wrong is not None else None


def _right(found: Decision, truth: Truth) -> bool:
    """Return whether the verdict is right.

    One that recommends is right if what it recommends is no false winner, and reaches the target
    where it says so. "None works" is right if none reaches the target. "Fix the labels" is right if
    they are what limits the best. One that leaves the question open is right if what it says to use
    meanwhile is within the margin of the best.
    """
    verdict, target = found.verdict, truth.target
    if verdict.kind == "none-works":
        return truth.best < target if target is not None else truth.best <= truth.value["majority"]
    if verdict.kind == "fix-labels":
        return truth.limited
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

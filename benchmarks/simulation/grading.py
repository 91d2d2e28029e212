"""Judge one simulated study and grade the verdict against the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from math import nan
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from choose.api.compare import report
from choose.api.study_evidence import rule_of
from choose.judge.evidence import CandidateInfo, Evidence
from choose.judge.goal import RULE
from choose.judge.verdict import judge
from choose.schema.decision import Decision, Step
from choose.stats import Estimate
from choose.store.store import Store
from choose.tasks.labels import Classification
from choose.types import Dataset, Example, Fold
from reliability import chance_of, word_for
from simulation.evidence import evidence
from simulation.resampled import resample
from simulation.setting import Setting
from simulation.truth import Truth, truth_of
from simulation.worlds import WORLDS, Split, draw

# Normal quantile by which the half width of a 95 % interval is turned into a standard error.
Z = 1.96

SPLITS = ("tune", "report")

RESAMPLED = "resampled"

# A world's place seeds its draws, so that new worlds are appended.
_PLACES = list(WORLDS)

_PLACES.insert(20, RESAMPLED)

NAMES = tuple(_PLACES)

# One study of 20 is also judged from a store on disk; one of 10 is simulated again with the
# additional test rows of its verdict.
STORED, ASKED_MORE = 20, 10

# More test rows than this take too long to simulate.
MOST_ROWS = 10_000

# Fields that differ between a store and evidence alone: texts, method and versions.
ELSEWHERE = {"dataset", "method", "machine"}


@dataclass(frozen=True, slots=True)
class AskedMore:
    """Whether the additional test rows of a verdict suffice; None where it names no number.

    Attributes:
        even: whether the rows of an even chance distinguish the two candidates of the verdict.
        likely: whether the rows of a chance of four in five do.
        recommends: whether the verdict on the latter recommends a candidate.
        skipped: how many of the numbers are too large to be simulated.
    """

    even: bool | None = None
    likely: bool | None = None
    recommends: bool | None = None
    skipped: int = 0


NOT_TRIED = AskedMore()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The cost of using one candidate: accuracy given up, and whether a cheaper one would do."""

    regret: float
    excess: float
    needless: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The grade of one verdict.

    `one` is whether its family is the one to use, `naive_one` whether that of the highest score is.
    `right` and `false_winner` are about the candidate that is named, `family_right` and
    `false_family` about its family, each represented by its best member.
    `covered_*` are shares of a study's intervals that hold the truth, NaN without intervals.
    `limited` is whether label errors limit the best candidate, `noise_covered` whether the interval
    of the label error rate holds the truth (None without interval), `stored` whether the study was
    also judged from a store, `more` the result of the additional test rows, where they were drawn.
    """

    kind: str
    word: str
    chance: float
    one: bool
    naive_one: bool
    recommends: bool
    right: bool
    false_winner: bool
    family_right: bool
    false_family: bool
    not_better: bool
    decisive: bool
    may_be_sure: bool
    covered_pairs: float
    covered_accuracies: float
    meanwhile: Choice
    highest: Choice
    one_error: Choice
    limited: bool
    stored: bool = False
    noise_covered: bool | None = None
    more: AskedMore = NOT_TRIED


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a study: candidates that vary with a seed, and whether it allows "sure"."""

    varying: frozenset[str]
    may_be_sure: bool


def play(world: str, split: Split, number: int) -> Grade:
    """Draw, judge and grade one study; the same arguments give the same grade.

    Raises:
        ValueError: if the decision from a store differs from the one from memory.
    """
    rng = np.random.default_rng([number, NAMES.index(world), SPLITS.index(split)])
    if world == RESAMPLED:
        study, truth = resample(rng)
        stated: dict[str, Any] = {"goal": {"margin": truth.margin}, "costs": {}}
        # The stored prompted candidates all use a small model.
        plan = Plan(frozenset(c.name for c in study.candidates if c.learns), may_be_sure=False)
        return _with_store(grade(_judged(study, stated, number), truth, plan), number)
    setting = draw(world, split, rng)
    study, truth = evidence(setting, rng), truth_of(setting)
    plan = Plan(frozenset(c.name for c in setting.candidates if c.seeds), _may_be_sure(setting))
    found = _judged(study, setting.study, number)
    graded = _with_store(grade(found, truth, plan), number)
    if number % ASKED_MORE:
        return graded
    return replace(graded, more=ask_more(found, setting, rng))


def _judged(study: Evidence, stated: Mapping[str, Any], number: int) -> Decision:
    found = judge(study, rule_of(stated, study.task))
    if number % STORED == 0:
        other = differences(found, judged_on_disk(study, stated))
        if other:
            raise ValueError(f"Judged from a store, it differs in {', '.join(other)}.")
    return found


def _with_store(graded: Grade, number: int) -> Grade:
    return replace(graded, stored=number % STORED == 0)


def grade(found: Decision, truth: Truth, plan: Plan) -> Grade:
    """Grade a decision against the truth."""
    verdict = found.verdict
    chosen = verdict.recommended
    measured = {c.candidate: c.accuracy for c in found.scorecards if c.accuracy}
    order = [name for name in truth.names if name in measured]
    highest = max(order, key=lambda name: measured[name].value)
    return Grade(
        kind=verdict.kind,
        word=word_for(found),
        chance=chance_of(found),
        one=truth.one(verdict.chance) == found.family,
        naive_one=truth.one(verdict.chance) == truth.families.get(highest),
        recommends=chosen is not None,
        right=_right(found, truth, truth.false_winner, truth.excess),
        false_winner=chosen is not None and truth.false_winner(chosen),
        family_right=_right(found, truth, truth.false_family, truth.family_excess),
        false_family=chosen is not None and truth.false_family(chosen),
        not_better=chosen is not None and truth.not_better(chosen),
        decisive=truth.decisive,
        may_be_sure=plan.may_be_sure,
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


def _right(
    found: Decision,
    truth: Truth,
    is_false: Callable[[str], bool],
    excess: Callable[[str], float],
) -> bool:
    """Return whether the verdict is right, about candidates or about families.

    A recommendation is right if it is not false, and reaches the target where it is said to.
    "None works" is right if no candidate reaches the target, "fix the labels" if label errors limit
    the best candidate. An open verdict is right if the candidate to use meanwhile is within the
    margin of the best.
    """
    verdict, target = found.verdict, truth.target
    if verdict.kind == "none-works":
        return truth.best < target if target is not None else truth.best <= truth.value["majority"]
    if verdict.kind == "fix-labels":
        return truth.limited
    if verdict.recommended is None:
        return excess(verdict.use_meanwhile) == 0
    card = next(c for c in found.scorecards if c.candidate == verdict.recommended)
    assert card.accuracy is not None
    assert card.accuracy.low is not None
    reached = target is None or truth.value[verdict.recommended] >= target
    claims = target is not None and card.accuracy.low >= target
    return not is_false(verdict.recommended) and (reached or not claims)


def _may_be_sure(setting: Setting) -> bool:
    """Return whether the plan of the study allows "sure"."""
    credible = all(c.info.model != "SmolLM2-135M" for c in setting.candidates)
    repeated = all(c.seeds in (0, 3, 4, 5) for c in setting.candidates)
    return credible and repeated and not setting.folds_done


def _covered_pairs(found: Decision, truth: Truth) -> float:
    held = [
        _holds(pair.difference, truth.measured[pair.a] - truth.measured[pair.b])
        for pair in found.pairs
    ]
    return fmean(held) if held else nan


def _covered_accuracies(found: Decision, truth: Truth, plan: Plan) -> float:
    """Leave out candidates with a single seed: their interval is about that one fit."""
    held = [
        _holds(card.accuracy, truth.measured[card.candidate])
        for card in found.scorecards
        if card.accuracy
        and card.candidate != "majority"
        and not (card.candidate in plan.varying and card.repetitions == 1)
    ]
    return fmean(held) if held else nan


def _holds(interval: Estimate, value: float) -> bool:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= value <= interval.high


def _one_error(order: Sequence[str], measured: dict[str, Estimate], highest: str) -> str:
    best = measured[highest]
    assert best.low is not None
    assert best.high is not None
    floor = best.value - (best.high - best.low) / (2 * Z)
    return next(name for name in order if measured[name].value >= floor)


def _choice(truth: Truth, name: str) -> Choice:
    return Choice(
        regret=truth.regret(name), excess=truth.excess(name), needless=truth.needless(name)
    )


def ask_more(found: Decision, setting: Setting, rng: np.random.Generator) -> AskedMore:
    """Simulate the study again with the test rows that its verdict adds; all is drawn anew."""
    step = next((step for step in found.verdict.steps if step.code == "separate"), None)
    if step is None:
        return NOT_TRIED
    # The step names only the even chance where no number of rows gives four in five.
    even, likely = (_again(setting, more, rng) for more in (step.count, step.total))
    named = [more for more in (step.count, step.total) if more is not None]
    return AskedMore(
        skipped=sum(setting.rows + more > MOST_ROWS for more in named),
        even=_told_apart(even, found, step, setting) if even else None,
        likely=_told_apart(likely, found, step, setting) if likely else None,
        recommends=likely.verdict.recommended is not None if likely else None,
    )


def _again(setting: Setting, more: int | None, rng: np.random.Generator) -> Decision | None:
    if more is None or setting.rows + more > MOST_ROWS:
        return None
    larger = replace(setting, rows=setting.rows + more)
    study = evidence(larger, rng)
    return judge(study, rule_of(setting.study, study.task))


def _told_apart(again: Decision, found: Decision, step: Step, setting: Setting) -> bool:
    """Return whether the more expensive of two shows a gain, or shows less than the margin.

    Two families are compared by their best members, as the verdict compares them.
    """
    names = [c.name for c in setting.candidates]
    a, b = sorted(step.names, key=names.index)
    family = {card.candidate: card.family for card in again.scorecards}
    if family[a] == family[b] or "majority" in (a, b):
        pair = next(p for p in again.pairs if {p.a, p.b} == {a, b})
        costlier_first = pair.a == b
    else:
        both = {family[a], family[b]}
        pair = next(
            p for p in again.pairs if p.p_holm is not None and {family[p.a], family[p.b]} == both
        )
        costlier_first = family[pair.a] == family[b]
    gain = pair.difference
    assert gain.low is not None
    assert gain.high is not None
    ends = (gain.low, gain.high) if costlier_first else (-gain.high, -gain.low)
    value = gain.value if costlier_first else -gain.value
    return (ends[0] > 0 and value >= setting.margin) or ends[1] < setting.margin


def judged_on_disk(study: Evidence, stated: Mapping[str, Any]) -> Decision:
    """Write a study into a store, and judge it from there.

    Args:
        study: its evidence.
        stated: the ``goal`` and ``costs`` of the study file.
    """
    with TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "store")
        store.begin({"rule": RULE, "grid": {}, **stated}, _dataset(study))
        store.plan((run.trial for run in study.runs), (_planned(c) for c in study.candidates))
        for run in study.runs:
            store.add(run)
        store.leave_out([])
        return report(store.path)


def differences(a: Decision, b: Decision) -> list[str]:
    """Return the names of the fields in which two decisions differ."""
    left, right = (_comparable(decision) for decision in (a, b))
    return [part for part, value in left.items() if value != right[part]]


def _comparable(decision: Decision) -> dict[str, Any]:
    """Return the fields without what only a store knows: its path, and names for readers."""
    fields = decision.model_dump(exclude=ELSEWHERE)
    for card in fields["scorecards"]:
        card["title"] = ""
    for step in fields["verdict"]["steps"]:
        step["command"] = None
    return fields


def _planned(candidate: CandidateInfo) -> dict[str, Any]:
    return asdict(candidate)


def _dataset(study: Evidence) -> Dataset:
    """Return the rows with dummy texts, in the folds of the study."""
    items = study.items
    asked = {
        id: Example(id=id, text=f"text of {id}", target=target)
        for id, target in zip(items.ids, items.targets, strict=True)
    }
    most = max(study.pool_rows)
    learnt = {
        f"p{i}": Example(id=f"p{i}", text=f"text of p{i}", target=target)
        for i, target in zip(range(most), cycle(items.targets), strict=False)
    }
    pool = tuple(learnt)
    return Dataset(
        name=study.name,
        task=study.task or Classification(labels=study.labels, names=study.labels),
        examples={**asked, **learnt},
        folds=tuple(
            Fold(pool=pool[:size], questions=questions)
            for size, questions in zip(study.pool_rows, _questions(study), strict=True)
        ),
        division="held-out" if study.division == "held-out" else "cross-fit",
        clusters=dict(zip(items.ids, items.clusters, strict=True)),
    )


def _questions(study: Evidence) -> Iterator[tuple[str, ...]]:
    """Yield the test rows of each fold: those of the fit that evaluated most."""
    for fold in range(len(study.pool_rows)):
        asked = [run.asked["clean", 0] for run in study.runs if run.trial.fold == fold]
        yield max(asked, key=len)

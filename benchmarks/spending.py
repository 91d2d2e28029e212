"""How soon the verdict of the whole grid is reached: trials by value against a fixed order.

    python benchmarks/spending.py                known worlds and seven real sets: some minutes
    python benchmarks/spending.py --quick        under a minute
    python benchmarks/spending.py --json         every study as JSON

No model runs. Each study is played twice, on a clock that jumps by what each trial took: as the
list of a plan was walked before trials were chosen, each with all its rows, and by the scheduler of
today under a budget that does not bind. A verdict is there once every candidate has answered; the
final one is reached when it is there and stays. Worlds have known truths and stated seconds, which
are those of rows where a model is prompted, else mostly of the fit. Real sets have stored answers
and measured seconds; their rows are divided into five folds, each of which costs a fit; what an
encoder has read is cached. Both orders drop candidates that can no longer win. One fit of every
candidate is the least that any order takes that asks them all. Exits with 1 and the missed targets.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

# Each process has one core to itself; threads of a linear algebra library would fight over it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from choose.api.study_evidence import rule_of
from choose.judge.decision.open_question import OpenQuestion
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.run.executor import Measured
from choose.run.predict_test_rows import CHUNK
from choose.run.run_records import GroupRequest, GroupResult, Limits, StudyFacts
from choose.run.scheduling.next_trial import COMPARED, Now
from choose.run.scheduling.race import Race, TrialHistory
from choose.run.scheduling.scheduler import Scheduler
from choose.run.speed_probe import Speed
from choose.schema.plan import Job
from choose.study.grid_points import FIRST_PASS
from choose.types import Run
from replay import studies as occasions
from replay.answers import read_all
from simulation.evidence import evidence
from simulation.grading import NAMES
from simulation.played_run import play
from simulation.thinned import CLEAN, cut, order_of
from simulation.truth import truth_of
from simulation.worlds import draw

HERE = Path(__file__).resolve().parent

FULL, QUICK = 40, 3

WORLDS = ("cross-fit", "clusters", "crowd", "small model", "ties")

FOLDS = 5

# Share of a world's seconds that go with rows: of candidates that prompt a model, and of others.
PROMPTED, FITTED = 0.95, 0.05

# Candidates of real sets that share what one encoder has read.
ENCODERS = ("probe", "knn")

# Budgets at which both orders are graded, as shares of the seconds of the whole grid.
SHARES = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)

# Most of the fixed order's seconds (median over studies), and by how much fewer verdicts may be
# right at any budget, or more winners wrong: two standard errors of a share of 200 studies.
MOST_SECONDS, TOLERANCE = 0.5, 0.03


@dataclass(frozen=True, slots=True)
class Seen:
    """The verdict at a moment: the family that is named, and whether it is recommended."""

    elapsed: float
    name: str
    family: str
    final: bool

    def same(self, other: Seen) -> bool:
        """Return whether two verdicts name the same family in the same way."""
        return (self.family, self.final) == (other.family, other.final)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """One order of one study.

    Attributes:
        first: seconds until every candidate has answered once.
        reached: seconds until the verdict of the whole grid, which then stays; None if never.
        spent: seconds until the run ended.
        right: whether the named family is right, at each of `SHARES`; None if unknown.
        false: whether the verdict in the end recommends a wrong family; None if unknown.
    """

    first: float
    reached: float | None
    spent: float
    right: tuple[bool, ...] | None
    false: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Both orders of one study, whose whole grid takes `seconds`, and one fit of each `fits`."""

    source: str
    seconds: float
    fits: float
    final: bool
    false: bool | None
    fixed: Grade
    value: Grade


@dataclass(frozen=True)
class Known:
    """A study whose trials are all known: evidence, rule, and which families are right."""

    source: str
    evidence: Evidence
    rule: Rule
    wrong: Mapping[str, bool] | None = None
    behind: Mapping[str, bool] | None = None


def jobs_of(study: Evidence) -> list[Job]:
    """Return the trials as jobs in the order in which a study plans them."""
    fast = {c.name for c in study.candidates if c.cheap}
    place = {c.name: number for number, c in enumerate(study.candidates)}
    whole: dict[str, int] = {}
    for run in study.runs:
        name = run.trial.candidate
        whole[name] = max(whole.get(name, 0), run.trial.train_size)

    def stage(run: Run) -> tuple[int, str]:
        trial = run.trial
        cheap, again = trial.candidate in fast, trial.draw > 0
        if trial.scenario.kind == "noise":
            return (8 if again else 4) if cheap else 10, "added label noise"
        if trial.train_size < 0.9 * whole[trial.candidate]:
            return (8 if again else 4) if cheap else 11, "smaller pools"
        if again:
            return 1 if cheap else 8, "repetitions"
        return (0 if cheap else 6 if trial.fold else 2), FIRST_PASS

    def order(run: Run) -> tuple[int, int, int]:
        return stage(run)[0], run.trial.fold, place[run.trial.candidate]

    runs = sorted(study.runs, key=order)
    return [Job(run.trial, part=stage(run)[1]) for run in runs]


@dataclass
class Costs:
    """Seconds that trials take, on a clock of one order.

    Attributes:
        known: the study.
        read: what an encoder has read: rows of a fold, or a pool of so many rows.
    """

    known: Known
    read: set[tuple[str, int]] = field(default_factory=set)

    @cached_property
    def families(self) -> Mapping[str, str]:
        """The family of each candidate."""
        return {c.name: c.family for c in self.known.evidence.candidates}

    def of(self, run: Run) -> tuple[float, float]:
        """Return the seconds of a trial's fit, and of all its rows."""
        trial, spent = run.trial, run.seconds_spent or 0.0
        if self.known.wrong is None:
            fit, rows = run.fit_seconds or 0.0, run.predict_seconds or 0.0
            if trial.candidate in ENCODERS:
                fit = 0.0 if any(n >= trial.train_size for _, n in self._pools) else fit
                rows = 0.0 if ("rows", trial.fold) in self.read else rows
                self.read |= {("pool", trial.train_size), ("rows", trial.fold)}
            return fit, rows
        share = PROMPTED if self.families[trial.candidate] in ("prompting", "retrieval") else FITTED
        return (1 - share) * spent, share * spent

    @property
    def _pools(self) -> set[tuple[str, int]]:
        return {one for one in self.read if one[0] == "pool"}


def walked(known: Known, jobs: Sequence[Job]) -> list[Seen]:
    """Walk the list of a plan; return its verdicts from the first one on, the last at the end."""
    runs = {run.trial.key: run for run in known.evidence.runs}
    measured, facts = _start(known, jobs)
    race = Race(facts.targets, known.rule.margin, facts.clusters)
    history = TrialHistory(race, racing=True, fast=facts.fast)
    costs, elapsed, found, waiting = Costs(known), 0.0, list[Seen](), list(jobs)
    last = max(n for n, job in enumerate(jobs) if _first_of_slow(job, jobs, facts.fast))
    for place, job in enumerate(waiting):  # grows when a dropped candidate rejoins
        compared = job.part in COMPARED and job.trial.candidate not in facts.fast
        if history.futile(job):
            history.skip(job)
        else:
            run = runs[job.trial.key]
            elapsed += sum(costs.of(run))
            measured.add(job, run)
            waiting += history.add(job, run)
        if place >= last and (compared or not found):
            found.append(_seen(elapsed, measured.question()))
    return [*found, replace(found[-1], elapsed=elapsed)]


def _first_of_slow(job: Job, jobs: Sequence[Job], fast: Collection[str]) -> bool:
    name = job.trial.candidate
    return name not in fast and job is next(j for j in jobs if j.trial.candidate == name)


def _start(known: Known, jobs: Sequence[Job]) -> tuple[Measured, StudyFacts]:
    study = known.evidence
    runs = {run.trial.key: run for run in study.runs}
    facts = StudyFacts(
        data="",
        targets=dict(zip(study.items.ids, study.items.targets, strict=True)),
        clusters=dict(zip(study.items.ids, study.items.clusters, strict=True)),
        rows=lambda job: len(runs[job.trial.key].asked[CLEAN]),
        fast={c.name for c in study.candidates if c.cheap},
        folds=FOLDS,
    )
    return Measured.nothing_of(replace(study, runs=()), known.rule, jobs), facts


@dataclass
class Played:
    """What a worker answers and how long it takes, from trials that are known.

    Attributes:
        known: the study.
        order: row -> its place in the order of asking.
    """

    known: Known
    order: dict[str, int]
    costs: Costs = field(init=False)
    fitted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Begin without anything cached."""
        self.costs = Costs(self.known)

    @cached_property
    def runs(self) -> Mapping[str, Run]:
        """The whole trials by key."""
        return {run.trial.key: run for run in self.known.evidence.runs}

    def answer(self, request: GroupRequest) -> tuple[GroupResult, float]:
        """Return what comes of a request, and the seconds that it takes."""
        (job,), key = request.jobs, request.jobs[0].trial.key
        run, result = self.runs[key], GroupResult(number=request.number)
        fit, rows = self.costs.of(run)
        count = len(run.asked[CLEAN])
        if request.action == "measure":
            speed = Speed(load=0.0, fits=((job.trial.train_size, fit),), per_row=rows / count)
            self.fitted |= {key} if fit <= request.seconds else set()
            kept = (key,) if fit <= request.seconds else ()
            # Rows that it predicts are cached, or take next to nothing.
            return replace(result, speed=speed, kept=kept), min(request.seconds, fit)
        if request.action == "extend":
            assert request.earlier is not None
            assert request.pace is not None
            done = len(request.earlier.asked[CLEAN])
            most = min(count, max(request.pace.least, done + CHUNK))
            spent = (request.earlier.seconds_spent or 0.0, (most - done) * rows / count)
            return self._part(result, run, most, most * rows / count, sum(spent)), spent[1]
        most = count if request.pace is None else min(count, request.pace.least)
        own = most * rows / count
        seconds = (0.0 if key in self.fitted else fit) + own
        return self._part(result, run, most, own, seconds), seconds

    def _part(
        self, result: GroupResult, run: Run, rows: int, own: float, spent: float
    ) -> GroupResult:
        part = cut(run, rows, self.order)
        assert part is not None
        # What the clock counts is what the scheduler is told.
        part = replace(part, predict_seconds=own, seconds_spent=spent)
        if run.scores and rows < len(run.asked[CLEAN]):
            part = replace(part, scores={CLEAN: _scores_of(run, part)})
        return replace(result, runs=((part, None),), kept=(run.trial.key,))


def played(known: Known, jobs: Sequence[Job]) -> list[Seen]:
    """Play a study by value; return its verdicts from the first one on, the last at the end."""
    measured, facts = _start(known, jobs)
    whole = 10 * sum(run.seconds_spent or 0.0 for run in known.evidence.runs)
    limits = Limits(seconds=whole, racing=True, margin=known.rule.margin)
    scheduler = Scheduler(jobs, facts, limits)
    worker = Played(known, order_of(known.evidence, 20))

    def now(elapsed: float) -> Now:
        return Now(elapsed, measured.question() if scheduler.asks else None)

    found: list[Seen] = []
    for step in play(scheduler, worker.answer, now=now):
        for run, _ in step.result.runs:
            measured.extend(run)
        for job, run in step.ended:
            measured.add(job, run)
        if scheduler.asks:
            found.append(_seen(step.elapsed, measured.question()))
    return [*found, replace(found[-1], elapsed=step.elapsed)]


def _seen(elapsed: float, question: OpenQuestion | None) -> Seen:
    assert question is not None
    return Seen(elapsed, question.named, question.family, question.final)


def compared(known: Known) -> Study:
    """Play both orders of a study, and grade them."""
    jobs = jobs_of(known.evidence)
    runs = {run.trial.key: run for run in known.evidence.runs}
    measured = Measured.nothing_of(replace(known.evidence, runs=()), known.rule, jobs)
    for job in jobs:
        measured.add(job, runs[job.trial.key])
    seconds = sum(run.seconds_spent or 0.0 for run in runs.values())
    costs, first = Costs(known), {job.trial.candidate: job.trial.key for job in reversed(jobs)}
    whole = _seen(seconds, measured.question())
    orders = walked(known, jobs), played(known, jobs)
    return Study(
        source=known.source,
        seconds=seconds,
        fits=sum(costs.of(runs[key])[0] for key in first.values()),
        final=whole.final,
        false=None if known.wrong is None else whole.final and known.wrong[whole.name],
        fixed=_grade(known, orders[0], whole),
        value=_grade(known, orders[1], whole),
    )


def _grade(known: Known, order: Sequence[Seen], whole: Seen) -> Grade:
    reached = None
    for seen in reversed(order):
        if not seen.same(whole):
            break
        reached = seen.elapsed
    last, right, false = order[-1], None, None
    if known.wrong is not None and known.behind is not None:
        at = [
            next((s for s in reversed(order) if s.elapsed <= share * whole.elapsed), order[0])
            for share in SHARES
        ]
        right = tuple(not (known.wrong[s.name] if s.final else known.behind[s.name]) for s in at)
        false = last.final and known.wrong[last.name]
    return Grade(
        first=order[0].elapsed, reached=reached, spent=last.elapsed, right=right, false=false
    )


def world(name: str, number: int) -> Known:
    """Simulate a study of a known world, with every trial of its grid."""
    rng = np.random.default_rng([number, NAMES.index(name), 20])
    setting = replace(draw(name, "report", rng), folds=FOLDS, racing=False)
    study, truth = evidence(setting, rng), truth_of(setting)
    return Known(
        name,
        study,
        rule_of(setting.study, study.task),
        {n: truth.false_family(n) for n in truth.names},
        {n: truth.family_excess(n) > 0 for n in truth.names},
    )


def real(name: str, number: int) -> Known:
    """Draw candidates and rows of a real set; its rows become the test rows of five folds."""
    answered = read_all(HERE / "replay" / "answers")[name]
    rng = np.random.default_rng([number, 20, *name.encode()])
    occasion = occasions.draw(answered, rng)
    study = occasions.evidence(replace(occasion, rows=np.sort(occasion.common)))
    order = {id: n for n, id in enumerate(rng.permutation(study.items.ids).tolist())}
    runs = [part for run in study.runs for part in _folded(run, order)]
    folded = replace(study, runs=tuple(runs), division="cross-fit", pool_rows=study.pool_rows * 5)
    return Known(name, folded, occasions.rule_for(answered))


def _folded(run: Run, order: dict[str, int]) -> Iterator[Run]:
    """Yield five trials with a fifth of the rows each, of which each costs a fit."""
    ids = run.asked[CLEAN]
    for fold in range(FOLDS):
        # `cut` takes the rows that come first in an order.
        turned = {id: (order[id] % FOLDS != fold, order[id]) for id in ids}
        ranks = {id: n for n, id in enumerate(sorted(ids, key=turned.__getitem__))}
        part = cut(run, sum(not other for other, _ in turned.values()), ranks)
        if part is None:
            continue
        spent = (run.fit_seconds or 0.0) + (part.predict_seconds or 0.0)
        trial = replace(run.trial, fold=fold, pool=f"{run.trial.pool} {fold}")
        scores = {CLEAN: _scores_of(run, part)} if run.scores else {}
        yield replace(
            part, trial=trial, unasked=0, scores=scores, seconds_spent=spent, seconds_alone=spent
        )


def _scores_of(run: Run, part: Run) -> Mapping[str, Any]:
    places = {id: n for n, id in enumerate(run.asked[CLEAN])}
    at = np.array([places[id] for id in part.asked[CLEAN]])
    return {name: scores[at] for name, scores in run.scores[CLEAN].items()}


def _study(job: tuple[str, str, int]) -> Study | None:
    kind, name, number = job
    known = world(name, number) if kind == "world" else real(name, number)
    slow = [c for c in known.evidence.candidates if not c.cheap]
    return compared(known) if slow else None


def replay(jobs: Sequence[tuple[str, str, int]], processes: int) -> list[Study]:
    """Play all studies that have a slow candidate."""
    if processes == 1:
        found = list(map(_study, jobs))
    else:
        with get_context("spawn").Pool(processes, partial(os.nice, 5)) as pool:
            found = pool.map(_study, jobs, chunksize=3)
    return [study for study in found if study is not None]


def ratio(studies: Sequence[Study]) -> float:
    """Return the median share of the fixed order's seconds that the order by value takes."""
    inf = float("inf")
    return median(
        (s.value.reached or inf) / s.fixed.reached if s.fixed.reached else 1.0 for s in studies
    )


def least(studies: Sequence[Study]) -> float:
    """Return the median share of the fixed order's seconds that one fit of everyone takes."""
    return median(s.fits / s.fixed.reached if s.fixed.reached else 1.0 for s in studies)


def later(studies: Sequence[Study]) -> list[Study]:
    """Return the studies whose verdict, in the fixed order, was not there with the first one."""
    return [s for s in studies if s.fixed.reached is None or s.fixed.reached > s.fixed.first]


def lines(studies: Sequence[Study]) -> Iterator[str]:
    """Yield the figures of each source and of all, as two tables."""
    yield f"{'':24}{'first verdict':>19}{'final verdict':>19}"
    yield (
        f"{'source':16}{'studies':>8}{'fixed':>10}{'value':>9}{'fixed':>10}{'value':>9}"
        f"{'ratio':>7}{'fits':>6}{'not at once':>13}{'ratio':>7}{'stops at':>10}"
        f"{'as whole grid':>15}{'fixed':>7}"
    )
    sources = [
        (n, [s for s in studies if s.source == n]) for n in dict.fromkeys(s.source for s in studies)
    ]
    real = [s for s in studies if s.source not in NAMES]
    groups = [
        *sources,
        ("known worlds", [s for s in studies if s.source in NAMES]),
        ("real sets", real),
        ("all", list(studies)),
    ]
    for name, own in groups:
        if own:
            yield _line(name, own)
    yield ""
    graded = [s for s in studies if s.false is not None]
    if graded:
        yield f"{'known worlds: named family right after':40}" + "".join(
            f"{100 * share:>7.0f} %" for share in SHARES
        )
        for label, part in (("fixed order", "fixed"), ("by value", "value")):
            yield f"{label:40}" + "".join(f"{100 * x:>7.1f} %" for x in rights(graded, part))
        false = {
            "whole grid": np.mean([s.false for s in graded]),
            "fixed order": np.mean([s.fixed.false for s in graded]),
            "by value": np.mean([s.value.false for s in graded]),
        }
        yield "wrong family recommended in the end: " + ", ".join(
            f"{name} {100 * share:.1f} %" for name, share in false.items()
        )


def rights(studies: Sequence[Study], order: str) -> list[float]:
    """Return the share of studies whose named family is right, at each budget."""
    return [float(x) for x in np.mean([getattr(s, order).right for s in studies], axis=0)]


def _line(name: str, own: Sequence[Study]) -> str:
    inf = float("inf")
    fixed = median(s.fixed.reached if s.fixed.reached is not None else inf for s in own)
    value = median(s.value.reached if s.value.reached is not None else inf for s in own)
    same = [np.mean([getattr(s, o).reached is not None for s in own]) for o in ("value", "fixed")]
    rest = later(own)
    stops = median(s.value.spent / s.fixed.spent for s in own)
    return (
        f"{name:16}{len(own):8}{median(s.fixed.first for s in own):8,.0f} s"
        f"{median(s.value.first for s in own):7,.0f} s{fixed:8,.0f} s{value:7,.0f} s"
        f"{ratio(own):7.2f}{least(own):6.2f}{len(rest):13}{ratio(rest) if rest else 1.0:7.2f}"
        f"{100 * stops:8.0f} %{100 * same[0]:13.1f} %"
        f"{100 * same[1]:5.0f} %"
    )


def missed(studies: Sequence[Study]) -> Iterator[str]:
    """Yield the targets that are missed."""
    if (found := ratio(studies)) > MOST_SECONDS:
        yield (
            f"by value takes {found:.2f} of the fixed order's seconds (median), at most "
            f"{MOST_SECONDS} asked; one fit of every candidate takes {least(studies):.2f}"
        )
    graded = [s for s in studies if s.false is not None]
    if not graded:
        return
    for share, a, b in zip(SHARES, rights(graded, "fixed"), rights(graded, "value"), strict=True):
        if b < a - TOLERANCE:
            yield f"right after {100 * share:.0f} % of the seconds: {b:.3f}, fixed order {a:.3f}"
    whole, own = (
        float(np.mean(x)) for x in ([s.false for s in graded], [s.value.false for s in graded])
    )
    if own > whole + TOLERANCE:
        yield f"wrong family recommended: {own:.3f}, whole grid {whole:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, help=f"of each world and set (default {FULL})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} of each")
    parser.add_argument("--worlds", nargs="*", choices=NAMES, default=WORLDS)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="print every study as JSON")
    choice, start = parser.parse_args(arguments), perf_counter()
    count = choice.studies or (QUICK if choice.quick else FULL)
    jobs = [("world", name, n) for name in choice.worlds for n in range(count)]
    jobs += [
        ("real", name, n) for name in read_all(HERE / "replay" / "answers") for n in range(count)
    ]
    studies = replay(jobs, choice.processes)
    misses = list(missed(studies))
    if choice.json:
        print(json.dumps({"studies": [asdict(s) for s in studies], "missed": misses}, indent=1))
    else:
        print(f"{len(studies)} studies, {perf_counter() - start:.0f} s", "", sep="\n")
        print("\n".join(lines(studies)), "", sep="\n")
        print("\n".join(["Missed targets:", *misses] if misses else ["All targets are met."]))
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())

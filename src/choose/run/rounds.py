"""Run the rounds of a study within a budget, and keep who can still be the one to use.

This process alone writes the store. It hands requests to an executor: this process, or a cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Protocol

from choose.data.scenarios import Pools
from choose.judge.decision.chance import Chances
from choose.judge.scores.joint_distribution import Whole
from choose.run.forecast import Needed, State, limits_of
from choose.run.records import Executor, GroupRequest, GroupResult
from choose.run.spending_limit import Budget
from choose.run.trial import answers, versions
from choose.run.worker import LocalExecutor, Worker
from choose.schema.plan import COMPARISON, REPETITIONS, Job, LeftOut, Reason, Round, Standing
from choose.store.store import Store
from choose.strategy import find
from choose.study.rounds import CONTROLS, DRILLS
from choose.types import STANDARD, Family, Run

# A candidate takes part in the next round while its chance of being the one to use is above it.
LEAST_CHANCE = 0.02

# Test rows that the likeliest member of every family answers before it can be left behind.
ROWS_OF_A_FAMILY = 100

# A slow candidate is fitted again on so many times the rows where that is sure to end in time: all
# its fits then take a third more than the last one, and not twice as long.
GROWTH, AMPLE = 4, 0.5

# Share of the budget that fits of the comparison leave for the rounds after it.
RESERVE = 0.1

# Trials that are fitted together at most, and attempts at one that a worker does not survive.
MOST_TOGETHER, ATTEMPTS = 10, 2


class Watch(Protocol):
    """Receives the events of a run."""

    def job(self, job: Job, run: Run | None) -> None:
        """Handle the start of a job (no run) or its end."""

    def standing(self, standing: Standing) -> None:
        """Handle what is known after a round, or once every family has answered."""


# What the judge says of the runs so far, and of what is planned of each candidate.
Judged = Callable[[Sequence[Run], Mapping[str, Whole]], Chances | None]


@dataclass
class Summary:
    """What a run left out, by candidate and reason, and whether the user ended it."""

    interrupted: bool = False
    _left: dict[tuple[str, Reason | None], dict[str, Any]] = field(default_factory=dict)

    def leave(
        self, name: str, reason: Reason | None, jobs: Iterable[Job] = (), **figures: Any
    ) -> None:
        """Count jobs of a candidate that did not run, and record figures of the reason."""
        own = self._left.setdefault((name, reason), {"trials": Counter()})
        own["trials"].update(job.part for job in jobs)
        own.update(figures)

    def all(self) -> list[LeftOut]:
        """Return everything that was left out."""
        return [LeftOut(candidate=c, reason=why, **own) for (c, why), own in self._left.items()]


@dataclass(kw_only=True)
class Loop:
    """Runs what the store does not hold yet and the budget allows.

    Attributes:
        rounds: in their order.
        judged: asks the judge, which alone decides who goes on; without it, all do.
        executor: runs the trials, and is closed at the end; without it, this process does.
        spent: returns the dollars that the command has spent.
    """

    rounds: Sequence[Round]
    pools: Pools
    store: Store
    budget: Budget
    watch: Watch
    judged: Judged | None = None
    executor: Executor | None = None
    spent: Callable[[], float] = lambda: 0.0
    summary: Summary = field(default_factory=Summary, init=False)
    chances: Chances | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        trials = [job.trial for round in self.rounds for job in round.jobs]
        self.states = {t.candidate: State(t.candidate, find(t.strategy)) for t in trials}
        compared = [round for round in self.rounds if round.part == COMPARISON]
        self._last_round = compared[-1] if compared else Round(0, COMPARISON, 0, 0, ())
        self._whole = self._last_round.rows
        self._runner = self.executor or LocalExecutor(Worker(self.pools))
        self._aims: dict[str, float] = {}
        self._numbers, self._ran, self._told = 0, False, False

    def run(self) -> Summary:
        """Run all rounds; return what was left out."""
        done = 0
        try:
            for round in self.rounds:
                self._round(round)
                done += 1
        except KeyboardInterrupt:
            self.summary.interrupted = True
            for job in (job for round in self.rounds[done:] for job in round.jobs):
                if job.trial.key not in self._of(job).runs:
                    self.summary.leave(job.trial.candidate, None, [job])
        finally:
            self._runner.close()
        return self.summary

    def _round(self, round: Round) -> None:
        self._told, self._ran = bool(round.number), False
        self._execute(round, self._missing(self._jobs(round)))
        if round.part in (COMPARISON, REPETITIONS) and self._ran:
            if round.part == COMPARISON:
                self._execute(round, self._missing(self._beside()))
            self._tell(round, ended=round.part == COMPARISON)
            self._leave_behind()

    # Which jobs a round has.

    def _jobs(self, round: Round) -> Iterator[Job]:
        """Yield the jobs of candidates that take part."""
        for job in round.jobs:
            one = self._of(job)
            last = one.last.get(0)
            if one.out:
                self.summary.leave(one.name, one.why, [job])
            elif round.part != COMPARISON:
                yield from self._later(one, job)
            elif last is None or not (one.held or self._waits(one, last, job)):
                yield job
            elif job.trial.fold == 0:
                yield replace(last, ask=max(job.ask, last.ask))

    def _waits(self, one: State, last: Job, job: Job) -> bool:
        """Return whether a slow candidate keeps its last fit, as a later one on more rows fits."""
        size, before = job.trial.train_size, last.trial.train_size
        most = GROWTH * before if 2 * GROWTH * before < self._whole else self._whole
        if not one.slow or not before < size < most:
            return False
        return (one.pace.fit(most) or 0.0) <= AMPLE * self.budget.left()

    def _later(self, one: State, job: Job) -> Iterator[Job]:
        """Yield a job after the comparison, on the rows that its candidate answered there."""
        always = job.part in (CONTROLS, DRILLS)  # what reading loses is told of all that read
        if one.held or not (always or self._takes_part(one)):
            self.summary.leave(one.name, "out-of-time" if one.held else "not-needed", [job])
        elif job.trial.scenario.kind not in ("standard", "noise"):
            yield job
        elif (last := one.last.get(job.trial.fold)) and (rows := one.had(last)):
            yield replace(job, ask=rows)

    def _takes_part(self, one: State) -> bool:
        """Return whether a candidate may be the one to use, or is the best fast one."""
        chance = self.chances.candidates if self.chances and self.chances.named else {}
        fast = [n for n in chance if n in self.states and not self.states[n].slow]
        best = max(fast, key=lambda n: chance[n], default="")
        return not chance or one.name == best or chance.get(one.name, 0.0) > LEAST_CHANCE

    def _beside(self) -> Iterator[Job]:
        """Yield what fast candidates lack of the rows that slow ones answered after a pool.

        Only answers after the same pool are compared.
        """
        asked = Counter[int]()
        for one in self.states.values():
            if one.slow and (last := one.last.get(0)):
                size = last.trial.train_size
                asked[size] = max(asked[size], one.had(last))
        for job in (job for r in self.rounds if r.part == COMPARISON for job in r.jobs):
            one, ask = self._of(job), asked[job.trial.train_size]
            if job.ask < ask and not (one.out or one.slow or job.trial.fold):
                yield replace(job, ask=ask)

    def _missing(self, jobs: Iterable[Job]) -> list[Sequence[Job]]:
        """Return by candidate the jobs that no run answers; take runs that the store holds."""
        found: dict[str, list[Job]] = {}
        for job in {(j.trial.key, j.ask, j.views): j for j in jobs}.values():
            one, key = self._of(job), job.trial.key
            if key in one.runs and answers(job, one.runs[key]):
                continue
            run = self.store.get(job.trial)
            if run is not None and run.error is None:
                one.add(job, run)
                if answers(job, run):
                    self.watch.job(job, run)
                    self._ran = True
                    continue
            found.setdefault(one.name, []).append(job)
        return [*found.values()]

    # Requests, and what comes of them.

    def _execute(self, round: Round, waiting: list[Sequence[Job]]) -> None:
        """Run jobs of candidates as workers become free, and take their results."""
        flying: dict[int, tuple[GroupRequest, int]] = {}
        while waiting or flying:
            while waiting and self._runner.free:
                jobs, *waiting = self._sorted(round, waiting)
                together = MOST_TOGETHER if hasattr(self._of(jobs[0]).cls, "fit_group") else 1
                if rest := jobs[together:]:
                    waiting.append(rest)
                if (request := self._request(round, jobs[:together], waiting)) is not None:
                    flying[request.number] = request, 1
                    self.watch.job(jobs[0], None)
                    self._runner.submit(request)
            if not flying:
                continue
            with closing(self._runner.results()) as results:
                for result in results:
                    if cut := self._take(round, result, flying):
                        waiting.append(cut)

    def _sorted(self, round: Round, waiting: Iterable[Sequence[Job]]) -> list[Sequence[Job]]:
        """Return jobs by candidate in the order of their turns; fast ones come first.

        In the first round a family with fewer answers precedes others, by the same member until it
        has all. Later the cheaper one comes first.
        """

        def turn(jobs: Sequence[Job]) -> tuple[float, ...]:
            one = self._of(jobs[0])
            if not one.slow:
                return (0,)
            if round.number:
                return 1, self._needed(jobs).seconds
            most = min(
                round.ask, max(o.rows for o in self.states.values() if o.family == one.family)
            )
            return 1, most, one.rows if most == round.ask else -one.rows

        order = list(self.states)  # of equal ones the first of the plan
        return sorted(waiting, key=lambda jobs: (turn(jobs), order.index(jobs[0].trial.candidate)))

    def _needed(self, jobs: Sequence[Job]) -> Needed:
        return self._of(jobs[0]).needed(jobs, self.pools.dataset)

    def _owed(self, one: State) -> float:
        """Return the seconds of cheaper members of a family, which answer all their rows first."""
        rests = dict[State, float]()
        for other in self.states.values():
            if other.slow and other.last and not other.out and other.family == one.family:
                every = (j for j in self._last_round.jobs if j.trial.candidate == other.name)
                more = [job for job in every if not (other.held or other.has_ended(job))]
                rests[other] = self._needed(more).seconds if more else 0.0
        return sum(rest for rest in rests.values() if rest < rests.get(one, 0.0))

    def _request(
        self, round: Round, jobs: Sequence[Job], waiting: Sequence[Sequence[Job]]
    ) -> GroupRequest | None:
        """Return the request of some jobs; None where it would not end in time."""
        one, needed = self._of(jobs[0]), self._needed(jobs)
        fits, slow = any(needed.fits), one.slow and round.number and round.part == COMPARISON
        # What is answered until the end counts.
        seconds = needed.seconds if fits else min(needed.answers, needed.chunk)
        owed, reserve = self._owed(one) if slow and fits else 0.0, RESERVE if slow else 0.0
        ends = self.budget.fits(seconds + owed, dollars=needed.dollars, reserve=reserve)
        if not ends or self.budget.left() <= 0:
            self._cannot(one, jobs, needed)
            return None
        self._numbers += 1
        others, silent = dict[State, float](), self._unanswered_families()
        for rest in waiting:
            other = self._of(rest[0])
            others[other] = others.get(other, 0.0) + self._needed(rest).seconds
        limits = limits_of(one, needed.fits, others, budget=self.budget, unanswered=silent)
        self._aims |= {job.trial.key: limits.fit for job in jobs if not one.had(job)}
        keys = {job.trial.key for job in jobs}
        return GroupRequest(
            number=self._numbers,
            jobs=tuple(jobs),
            earlier={key: run for key, run in one.runs.items() if key in keys},
            seconds=limits.all,
            fit_seconds=limits.fit,
            answer_seconds=limits.answers,
        )

    def _cannot(self, one: State, jobs: Sequence[Job], needed: Needed) -> None:
        """Record jobs that would not end in time; their candidate keeps its last fit."""
        paid = self.budget.pays(needed.dollars)
        self.summary.leave(one.name, "out-of-time" if paid else "out-of-money", jobs)
        last, fit, size = one.last.get(0), max(needed.fits), jobs[0].trial.train_size
        if jobs[0].part != COMPARISON or one.held or last is None:
            return
        one.held = True
        if paid and fit >= 1 and size > last.trial.train_size:
            keeps = last.trial.train_size
            self.summary.leave(one.name, "too-long", seconds=fit, learns=size, keeps=keeps)

    def _take(
        self, round: Round, result: GroupResult, flying: dict[int, tuple[GroupRequest, int]]
    ) -> list[Job]:
        """Store what came of a request; return jobs that go on after the first verdict."""
        request, attempts = flying[result.number]
        if result.lost and attempts < ATTEMPTS:
            flying[result.number] = request, attempts + 1
            self._runner.submit(request)
            return []
        runs = list(result.runs)
        if result.lost:
            error = f"Two workers could not run it: {result.lost}"
            lost = (Run(trial=j.trial, error=error, versions=versions()) for j in request.jobs)
            runs = [(run, None) for run in lost]
        by_key = {job.trial.key: job for job in request.jobs}
        for run, traceback in runs:
            # What the store then holds of the trial: it may have had it before.
            stored = run if self.store.add(run, traceback) else self.store.get(run.trial) or run
            self._count(by_key[run.trial.key], stored)
        if result.last or result.lost:
            del flying[result.number]
            self._left_by(request, result)
        if not self._told and not self._unanswered_families():
            self._tell(round, ended=False)
            self._told = True
        if not result.last or result.stopped or request.answer_seconds == inf:
            return []
        one = self.states[request.candidate]
        return [j for j in request.jobs if j.trial.key in one.runs and not one.has_ended(j)]

    def _count(self, job: Job, run: Run) -> None:
        """Count a run that ended, and the dollars of its answers."""
        one, had = self._of(job), self._of(job).had(job)
        one.add(job, run, self._aims.get(run.trial.key, inf))
        spent = self.spent() - self.budget.spent
        self.budget.spent += spent
        if spent > 0 and (rows := one.had(job) - had) > 0:
            one.pace.dollars = spent / rows
        self._ran = True
        self.watch.job(job, run)

    def _left_by(self, request: GroupRequest, result: GroupResult) -> None:
        """Record what a request that was stopped did not end."""
        one, paid = self.states[request.candidate], result.stopped != "money"
        missing = [job for job in request.jobs if not one.has_ended(job)]
        if not missing or not result.stopped:
            return
        self.summary.leave(one.name, "out-of-time" if paid else "out-of-money", missing)
        if not paid:
            one.leave("out-of-money")
        elif missing[0].part == COMPARISON and one.last:
            one.held = True
        elif missing[0].part == COMPARISON:
            one.leave("out-of-time")
            self.summary.leave(one.name, "too-long", seconds=result.needed)

    def _of(self, job: Job) -> State:
        return self.states[job.trial.candidate]

    def _unanswered_families(self) -> set[Family]:
        answered = {one.family for one in self.states.values() if one.last}
        return {one.family for one in self.states.values() if not one.out} - answered

    # Who goes on.

    def _tell(self, round: Round, ended: bool) -> None:
        """Ask the judge for the chances, and say how candidates stand."""
        runs = [
            run
            for one in self.states.values()
            for run in one.runs.values()
            if not run.error and run.trial.scenario == STANDARD and not run.trial.variant
        ]
        if self.judged is not None and runs:
            self.chances = self.judged(runs, self._planned())
        said = self.chances
        self.watch.standing(
            Standing(
                round=round,
                named=said.named if said else None,
                chances={said.members[f]: said.families[f] for f in said.families} if said else {},
                scores=said.scores if said else {},
                unanswered=[one.name for one in self.states.values() if not one.last],
                ended=ended,
            )
        )

    def _planned(self) -> dict[str, Whole]:
        """Return what candidates will have answered if all rounds that are left take place."""
        jobs = (job for r in self.rounds if r.part == REPETITIONS for job in r.jobs)
        repeats = Counter(job.trial.candidate for job in jobs if job.trial.fold == 0)
        rows, labels = Counter[str](), dict[str, int]()
        for job in self._last_round.jobs:
            one = self._of(job)
            if not one.out and not (one.held and job.trial.fold):
                rows[one.name] += job.ask
                labels[one.name] = (one.last.get(0, job) if one.held else job).trial.train_size
        return {name: Whole(rows[name], 1 + repeats[name], labels[name]) for name in rows}

    def _leave_behind(self) -> None:
        """Leave slow candidates behind that cannot be the one to use any more.

        All stop once no round that is left could move a chance across a word, but the named one
        where it has learned from all rows: its repetitions tell how much its runs vary. The
        likeliest of each family answers some rows first, and so do all prompts and models of the
        named family that may be its best: which of them to use is asked too.
        """
        said = self.chances
        if said is None or said.named is None:
            return
        # Among those that go on; of equal ones the first of the plan, whatever the clock says.
        going = [o for o in self.states.values() if o.name in said.candidates and not o.out]
        best: dict[Family, State] = {}
        for one in sorted(going, key=lambda o: -said.candidates[o.name]):
            best.setdefault(one.family, one)
        for one in [o for o in self.states.values() if o.slow and o.last and not o.out]:
            rows, chance = one.rows, said.candidates.get(one.name, 0.0)
            behind = chance <= LEAST_CHANCE  # one beyond a limit has none
            open_yet = one.family == said.family != "fine-tuning" and not behind
            most = max(job.trial.train_size for job in one.last.values())
            stays = said.worth_asking or (one.name == said.named and most >= self._whole)
            if rows < ROWS_OF_A_FAMILY and (open_yet or one is best.get(one.family)):
                continue
            if behind or not stays:
                one.leave("dropped" if behind else "not-needed")
            if behind:
                within = one.name in said.candidates
                self.summary.leave(one.name, "dropped", answered=rows if within else None)

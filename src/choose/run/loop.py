"""The loop of a study: run its rounds within a budget, and drop candidates that are behind.

This process alone writes the store. It hands requests to an executor: this process, or a cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import inf
from typing import Any

from choose.data.scenarios import Pools
from choose.judge.decision.chance import Chances
from choose.judge.scores.joint_distribution import Whole
from choose.run.budget import Budget
from choose.run.forecast import Needed, State, limits_of
from choose.run.trial import answers, failed_run
from choose.run.worker import Executor, GroupRequest, GroupResult, LocalExecutor, Observer, Worker
from choose.schema.plan import COMPARISON, REPETITIONS, Job, LeftOut, Reason, Round, Standing
from choose.store.store import Store
from choose.strategy import find
from choose.study.rounds import CONTROLS, DRILLS
from choose.types import STANDARD, Family, Run

# A candidate takes part in the next round while its chance of being the one to use is above it.
LEAST_CHANCE = 0.02

# Seconds of a fit that is made even for a candidate that is behind.
SHORT_FIT = 2.0

# Test rows that the likeliest member of every family answers before it can be left behind.
ROWS_OF_A_FAMILY = 100

# A slow candidate is fitted again on so many times the rows where that is sure to end in time: all
# its fits then take a third more than the last one, and not twice as long.
GROWTH, AMPLE = 4, 0.5

# Pools of folds are as large within this share of their rows.
ALIKE = 0.95

# Share of the budget that fits of the comparison leave for repetitions and what follows them.
RESERVE = 0.1

# Trials that are fitted together at most, and attempts at one that a worker does not survive.
MOST_TOGETHER, ATTEMPTS = 10, 2


# What the judge says of the runs so far, and of what is planned of each candidate.
Judged = Callable[[Sequence[Run], Mapping[str, Whole]], Chances | None]


@dataclass
class Summary:
    """What a run left out, by candidate and reason, and whether the user ended it."""

    interrupted: bool = False
    _facts: dict[tuple[str, Reason | None], dict[str, Any]] = field(default_factory=dict)

    def leave(
        self, name: str, reason: Reason | None, jobs: Iterable[Job] = (), **figures: Any
    ) -> None:
        """Count jobs of a candidate that did not run, and record figures of the reason."""
        facts = self._facts.setdefault((name, reason), {"trials": Counter()})
        facts["trials"].update(job.part for job in jobs)
        facts.update(figures)

    def all(self) -> list[LeftOut]:
        return [LeftOut(candidate=c, reason=why, **f) for (c, why), f in self._facts.items()]


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
    observer: Observer
    judged: Judged | None = None
    executor: Executor | None = None
    spent: Callable[[], float] = lambda: 0.0
    summary: Summary = field(default_factory=Summary, init=False)
    chances: Chances | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        trials = [job.trial for round in self.rounds for job in round.jobs]
        self.states = {t.candidate: State(t.candidate, find(t.strategy)) for t in trials}
        self._compared = [round for round in self.rounds if round.part == COMPARISON]
        self._last_round = (self._compared or [Round(0, COMPARISON, 0, 0, ())])[-1]
        self._whole = self._last_round.rows
        self._runner = self.executor or LocalExecutor(Worker(self.pools))
        self._waiting, self._patient = set[State](), True
        self._flying: dict[int, tuple[GroupRequest, int]] = {}  # with the number of the attempt
        self._numbers, self._has_run, self._reported, self._repeated = 0, False, False, False

    def run(self) -> Summary:
        """Run all rounds; return what was left out."""
        left = [*self.rounds]
        try:
            while left:
                self._run_round(left[0])
                left[:1] = self._rounds_again() if left[0] is self._last_round else ()
        except KeyboardInterrupt:
            self.summary.interrupted = True
            for job in (job for round in left for job in round.jobs):
                if job.trial.key not in self._state_of(job).runs:
                    self.summary.leave(job.trial.candidate, None, [job])
        finally:
            self._runner.close()
        return self.summary

    def _run_round(self, round: Round) -> None:
        """Run a round; who is repeated comes one by one, as that may tell who need not be."""
        turns, self._reported = [round.jobs], bool(round.number)
        self._repeated = self._repeated or round.part == REPETITIONS
        if round.part == REPETITIONS and self._runner.free == 1:
            turns = [tuple(own) for _, own in groupby(round.jobs, lambda j: j.trial.candidate)]
        for jobs in sorted(turns, key=lambda jobs: self._forecast(jobs).seconds):
            self._has_run = False
            self._execute(round, self._take_part(jobs))
            if round.part in (COMPARISON, REPETITIONS) and self._has_run:
                if round.part == COMPARISON:
                    self._execute(round, self._answer_alike())
                self._report_chances(round, ended=round.part == COMPARISON)
                self._drop_candidates()
        for early in self._early_repetitions() if round.part == COMPARISON else ():
            self._run_round(early)

    # Which jobs a round has.

    def _take_part(self, jobs: Sequence[Job]) -> Iterator[Job]:
        """Yield the jobs of candidates that take part; leave the others out."""
        others = any(job.trial.fold for job in jobs)
        for job in jobs:
            state = self._state_of(job)
            last = state.last.get(0)
            if state.out:
                self.summary.leave(state.name, state.why, [job])
            elif job.part != COMPARISON:
                yield from self._follow(state, job)
            elif last is None or not (state.held or state.behind or self._waits(state, last, job)):
                yield from [job] if others else self._with_later_folds(state, job)
            elif job.trial.fold == 0:
                yield replace(last, ask=max(job.ask, last.ask))

    def _waits(self, state: State, last: Job, job: Job) -> bool:
        """Return whether a slow candidate keeps its last fit, as a later one on more rows fits.

        A fit also waits while another candidate has less left than it takes: by then its own may be
        behind for certain.
        """
        size, before = job.trial.train_size, last.trial.train_size
        if not (self._patient and state.slow and before < min(size, self._whole)):
            return False
        own = (j.trial for r in self._compared for j in r.jobs if self._state_of(j) is state)
        runs = (self.store.get(t) for t in own if t.train_size >= size and not t.fold)
        if made := {run.trial.train_size for run in runs if run is not None and not run.error}:
            return size not in made  # by an earlier command
        most = GROWTH * before if 2 * GROWTH * before < self._whole else self._whole
        if size < most and (state.pace.fit(most) or 0.0) <= AMPLE * self.budget.left():
            return True
        rests = [self._rest(other) for other in self.states.values()]
        shorter = any(0 < rest < (state.pace.fit(size) or 0.0) for rest in rests)
        if shorter and self._runner.free == 1 and self.budget.fits(sum(rests), reserve=RESERVE):
            self._waiting.add(state)
        return state in self._waiting

    def _rounds_again(self) -> Iterator[Round]:
        """Yield the rounds on all rows again for candidates whose fits have waited."""
        self._patient = False
        going = {state for state in self._waiting if not state.out}
        for round in (round for round in self._compared if round.rows == self._whole):
            if own := tuple(job for job in round.jobs if self._state_of(job) in going):
                yield replace(round, jobs=own)

    def _early_repetitions(self) -> Iterator[Round]:
        """Yield first repetitions that take less than the rows that another candidate still lacks.

        There must be time for all of these rows, too.
        """
        rests = {state: self._rest(state) for state in self.states.values()}
        first = next((round for round in self.rounds if round.part == REPETITIONS), None)
        for name, own in groupby(first.jobs if first else (), lambda j: j.trial.candidate):
            state = self.states[name]
            jobs = tuple(job for job in own if not state.has_ended(job))
            ended = state.slow and state.last and not (state.out or state.held or rests[state])
            if first and jobs and ended and self._runner.free == 1 and self._may_be_used(state):
                seconds, others = self._forecast(jobs).seconds, rests.values()
                if seconds < max(others) and self.budget.fits(seconds + sum(others)):
                    yield replace(first, jobs=jobs)

    def _with_later_folds(self, state: State, job: Job) -> Sequence[Job]:
        """Return a job, or those of all folds once the first is fitted, if sure to end in time.

        Folds that are trained together give each core a pass of its own. Those of a first fold that
        time has shortened are not.
        """
        whole, first = self._whole_jobs(state), state.fit_of(job)
        together = state.slow and hasattr(state.cls, "fit_group") and job.trial == whole[0].trial
        if not together or first is None or first.shortened:
            return [job]
        return whole if self._forecast(whole).seconds <= AMPLE * self.budget.left() else [job]

    def _follow(self, state: State, job: Job) -> Iterator[Job]:
        """Yield a job after the comparison, on the rows that its candidate answered there."""
        always = job.part in (CONTROLS, DRILLS)  # what reading loses is told of all that read
        if state.held or not (always or self._may_be_used(state)):
            self.summary.leave(state.name, "out-of-time" if state.held else "not-needed", [job])
        elif job.trial.scenario.kind not in ("standard", "noise"):
            yield job
        elif (last := state.last.get(job.trial.fold)) and (rows := state.had(last)):
            yield replace(job, ask=rows)

    def _may_be_used(self, state: State) -> bool:
        """Return whether a candidate may be the one to use, or is the best fast one."""
        chance = self.chances.candidates if self.chances and self.chances.named else {}
        fast = [n for n in chance if n in self.states and not self.states[n].slow]
        best = max(fast, key=lambda n: chance[n], default="")
        return not chance or state.name == best or chance.get(state.name, 0.0) > LEAST_CHANCE

    def _answer_alike(self) -> Iterator[Job]:
        """Yield what fast candidates lack of the rows that slow ones answered after a pool.

        Only answers after the same pool are compared.
        """
        asked = Counter[int]()
        for state in self.states.values():
            if state.slow and (last := state.last.get(0)):
                size = last.trial.train_size
                asked[size] = max(asked[size], state.had(last))
        for job in (job for r in self.rounds if r.part == COMPARISON for job in r.jobs):
            state, ask = self._state_of(job), asked[job.trial.train_size]
            if job.ask < ask and not (state.out or state.slow or job.trial.fold):
                yield replace(job, ask=ask)

    def _resume(self, jobs: Iterable[Job]) -> list[Sequence[Job]]:
        """Take the runs that the store holds; return the jobs that remain, by candidate."""
        left: dict[str, list[Job]] = {}
        for job in {(j.trial.key, j.ask, j.views): j for j in jobs}.values():
            state = self._state_of(job)
            if state.has_ended(job):
                continue
            run = self.store.get(job.trial)
            if run is not None and run.error is None:
                state.add(job, run)
                if answers(job, run):
                    self.observer.job(job, run)
                    self._has_run = True
                    continue
            left.setdefault(state.name, []).append(job)
        return [*left.values()]

    # Requests, and what comes of them.

    def _execute(self, round: Round, jobs: Iterable[Job]) -> None:
        """Run jobs as workers become free, and take their results."""
        waiting = self._resume(jobs)
        while waiting or self._flying:
            while waiting and self._runner.free:
                group, *waiting = self._sort_by_turn(round, waiting)
                cls = self._state_of(group[0]).cls
                together = MOST_TOGETHER if hasattr(cls, "fit_group") else 1
                if rest := group[together:]:
                    waiting.append(rest)
                self._begin(round, group[:together], waiting)
            with closing(self._runner.results()) as results:
                for result in results:
                    if cut := self._take(round, result):
                        waiting.append(cut)

    def _sort_by_turn(self, round: Round, waiting: Iterable[Sequence[Job]]) -> list[Sequence[Job]]:
        """Return jobs by candidate in the order of their turns; fast ones come first.

        In the first round a family with fewer answers precedes others, by the same member until it
        has all. Later the cheaper one comes first.
        """

        def turn(jobs: Sequence[Job]) -> tuple[float, ...]:
            state = self._state_of(jobs[0])
            if not state.slow:
                return (0,)
            if round.number:
                return 1, self._forecast(jobs).seconds
            family = (s.rows for s in self.states.values() if s.family == state.family)
            most = min(round.ask, max(family))
            return 1, most, state.rows if most == round.ask else -state.rows

        return sorted(waiting, key=turn)  # of equal ones the first of the plan

    def _forecast(self, jobs: Sequence[Job]) -> Needed:
        """Return what jobs need; of a slow candidate that is new the quickest fit of its family."""
        state = self._state_of(jobs[0])
        needed = state.needed(jobs, self.pools.dataset)
        if state.slow and state.pace.answer is None:
            alike = [s for s in self.states.values() if s.slow and s.family == state.family]
            fits = filter(None, (s.pace.fit(jobs[0].trial.train_size) for s in alike))
            return needed._replace(fits=[min(fits, default=0.0)] * len(jobs))
        return needed

    def _owed(self, state: State) -> float:
        """Return the seconds of cheaper members of a family, which answer all their rows first."""
        own = self._rest(state)
        rests = (self._rest(s) for s in self.states.values() if s.family == state.family)
        return sum(rest for rest in rests if rest < own)

    def _rest(self, state: State) -> float:
        """Return the seconds that a slow candidate needs for all rows of the comparison."""
        if not state.slow or not state.last or state.out or state.held:
            return 0.0
        more = [job for job in self._whole_jobs(state) if not state.has_ended(job)]
        return self._forecast(more).seconds if more else 0.0

    def _whole_jobs(self, state: State) -> list[Job]:
        """Return the jobs of a candidate that learn from all rows and answer all."""
        return [job for job in self._last_round.jobs if job.trial.candidate == state.name]

    def _begin(self, round: Round, jobs: Sequence[Job], waiting: list[Sequence[Job]]) -> None:
        """Send some jobs to the executor; where they would not end in time, half of them."""
        state, needed = self._state_of(jobs[0]), self._forecast(jobs)
        fits, slow = any(needed.fits), state.slow and round.number and round.part == COMPARISON
        # What is answered until the end counts.
        seconds = needed.seconds if fits else min(needed.answers, needed.chunk)
        owed = self._owed(state) if slow and fits else 0.0
        reserve = RESERVE if slow and not self._repeated else 0.0
        ends = self.budget.fits(seconds + owed, dollars=needed.dollars, reserve=reserve)
        if not ends or self.budget.left() <= 0:
            if half := len(jobs) // 2:
                waiting += [jobs[:half], jobs[half:]]
            else:
                self._leave_out(state, jobs, needed)
            return
        self._numbers += 1
        others, first = dict[State, float](), not round.number
        for rest in waiting:
            other = self._state_of(rest[0])
            others[other] = others.get(other, 0.0) + self._forecast(rest).seconds
        silent = self._unanswered_families()
        limits = limits_of(state, needed, others, budget=self.budget, silent=silent, first=first)
        keys = {job.trial.key for job in jobs}
        request = GroupRequest(
            number=self._numbers,
            jobs=tuple(jobs),
            earlier={key: run for key, run in state.runs.items() if key in keys},
            first=self._decided_first(jobs[0]),
            seconds=limits.all,
            fit_seconds=limits.fit,
            answer_seconds=limits.answers,
        )
        self._flying[request.number] = request, 1
        self.observer.job(jobs[0], None)
        self._runner.submit(request)

    def _decided_first(self, job: Job) -> Mapping[str, float]:
        """Return what time decided in the first fit on all rows, which the others follow."""
        trial, state = job.trial, self._state_of(job)
        first = next((state.fit_of(j) for j in self._whole_jobs(state) if not j.trial.fold), None)
        if first is None or trial.variant or trial.train_size < ALIKE * first.trial.train_size:
            return {}
        return first.shortened

    def _leave_out(self, state: State, jobs: Sequence[Job], needed: Needed) -> None:
        """Record jobs that would not end in time; their candidate keeps its last fit."""
        paid = self.budget.pays(needed.dollars)
        self.summary.leave(state.name, "out-of-time" if paid else "out-of-money", jobs)
        last, fit, size = state.last.get(0), max(needed.fits), jobs[0].trial.train_size
        if jobs[0].part != COMPARISON or state.held or last is None:
            return
        state.held = True
        if paid and fit >= 1 and size > last.trial.train_size:
            keeps = last.trial.train_size
            self.summary.leave(state.name, "too-long", seconds=fit, learns=size, keeps=keeps)

    def _take(self, round: Round, result: GroupResult) -> Sequence[Job]:
        """Store what came of a request; return jobs that go on after the first verdict."""
        request, attempts = self._flying[result.number]
        if result.lost and attempts < ATTEMPTS:
            self._flying[result.number] = request, attempts + 1
            self._runner.submit(request)
            return ()
        runs = list(result.runs)
        if result.lost:
            error = f"Two workers could not run it: {result.lost}"
            runs = [(failed_run(job.trial, error), None) for job in request.jobs]
        by_key = {job.trial.key: job for job in request.jobs}
        for run, traceback in runs:
            # What the store then holds of the trial: it may have had it before.
            stored = run if self.store.add(run, traceback) else self.store.get(run.trial) or run
            self._count(by_key[run.trial.key], stored)
        if result.last or result.lost:
            del self._flying[result.number]
            self._leave_rest(request, result)
        if not self._reported and not self._unanswered_families():
            self._report_chances(round, ended=False)
            self._reported = True
        if not result.last or result.stopped or request.answer_seconds == inf:
            return ()
        state = self.states[request.candidate]
        return [j for j in request.jobs if j.trial.key in state.runs and not state.has_ended(j)]

    def _count(self, job: Job, run: Run) -> None:
        """Count a run that ended, and the dollars of its answers."""
        state = self._state_of(job)
        had = state.had(job)
        state.add(job, run)
        spent = self.spent() - self.budget.spent
        self.budget.spent += spent
        if spent > 0 and (rows := state.had(job) - had) > 0:
            state.pace.dollars = spent / rows
        self._has_run = True
        self.observer.job(job, run)

    def _leave_rest(self, request: GroupRequest, result: GroupResult) -> None:
        """Record what a request that was stopped did not end."""
        state, paid = self.states[request.candidate], result.stopped != "money"
        left = [job for job in request.jobs if not state.has_ended(job)]
        if not left or not result.stopped:
            return
        self.summary.leave(state.name, "out-of-time" if paid else "out-of-money", left)
        if not paid:
            state.leave("out-of-money")
        elif left[0].part == COMPARISON and state.last:
            state.held = True
        elif left[0].part == COMPARISON:
            state.leave("out-of-time")
            self.summary.leave(state.name, "too-long", seconds=result.needed)

    def _state_of(self, job: Job) -> State:
        return self.states[job.trial.candidate]

    def _unanswered_families(self) -> set[Family]:
        answered = {state.family for state in self.states.values() if state.last}
        return {state.family for state in self.states.values() if not state.out} - answered

    # Who goes on.

    def _report_chances(self, round: Round, ended: bool) -> None:
        """Ask the judge for the chances, and report how candidates stand."""
        runs = [
            run
            for state in self.states.values()
            for run in state.runs.values()
            if not run.error and run.trial.scenario == STANDARD and not run.trial.variant
        ]
        if self.judged is not None and runs:
            self.chances = self.judged(runs, self._planned_answers())
        chances = self.chances
        by_member = {m: chances.stated[f] for f, m in chances.members.items()} if chances else {}
        self.observer.standing(
            Standing(
                round=round,
                named=chances.named if chances else None,
                chances=by_member,
                scores=chances.scores if chances else {},
                rows={state.name: state.rows for state in self.states.values()},
                ended=ended,
            )
        )

    def _planned_answers(self) -> dict[str, Whole]:
        """Return what candidates will have answered if all rounds that are left take place."""
        jobs = (job for r in self.rounds if r.part == REPETITIONS for job in r.jobs)
        repeats = Counter(job.trial.candidate for job in jobs if job.trial.fold == 0)
        rows, labels = Counter[str](), dict[str, int]()
        for job in self._last_round.jobs:
            state = self._state_of(job)
            if not state.out and not (state.held and job.trial.fold):
                rows[state.name] += job.ask
                fit = state.last.get(0, job) if state.held else job
                labels[state.name] = fit.trial.train_size
        return {name: Whole(rows[name], 1 + repeats[name], labels[name]) for name in rows}

    def _drop_candidates(self) -> None:
        """Drop slow candidates that cannot be the one to use any more.

        All stop once no round that is left could move a chance across a word, but the named one
        where it has learned from all rows or can: its repetitions tell how much its runs vary. The
        likeliest of each family answers some rows first, and so do all prompts and models of the
        named family that may be its best: which of them to use is asked too.
        """
        chances = self.chances
        if chances is None or chances.named is None:
            return
        # Among those that go on; of equal ones the first of the plan, whatever the clock says.
        going = [s for s in self.states.values() if s.name in chances.candidates and not s.out]
        best: dict[Family, State] = {}
        first = len(self.pools.dataset.folds[0].questions)
        for state in sorted(going, key=lambda s: -chances.candidates[s.name]):
            best.setdefault(state.family, state)
        for state in [s for s in self.states.values() if s.slow and s.last and not s.out]:
            rows, chance = state.rows, chances.candidates.get(state.name, 0.0)
            behind = chance <= LEAST_CHANCE  # one beyond a limit has none
            open_yet = state.family == chances.family != "fine-tuning" and not behind
            most = max(job.trial.train_size for job in state.last.values())
            whole = most >= self._whole or state in self._waiting
            stays = chances.worth_asking or (state.name == chances.named and whole)
            # It would need another fit to answer more than the rows of the first fold.
            state.behind = behind and (state.pace.fit(most) or 0.0) > SHORT_FIT
            few = min(ROWS_OF_A_FAMILY, first) if state.behind else ROWS_OF_A_FAMILY
            if rows < few and (open_yet or state is best.get(state.family)):
                continue
            if behind or not stays:
                state.leave("dropped" if behind else "not-needed")
            if behind:
                within = state.name in chances.candidates
                self.summary.leave(state.name, "dropped", answered=rows if within else None)

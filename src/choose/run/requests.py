"""Requests: jobs go to an executor while they fit the budget, and what comes of them is stored."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from choose.engines.weights.spec import names_endpoint
from choose.run.budget import Budget
from choose.run.forecast import ALIKE, FIRST_ANSWERS, SLOWER, Needed, State, limits_of
from choose.run.predict_test_rows import FIRST_CHUNK
from choose.run.trial import SPARE, Limits, answers, failed_run
from choose.run.worker import Executor, GroupRequest, GroupResult, Observer
from choose.schema.plan import COMPARISON, Job, LeftOut, Reason, Round
from choose.store.store import Store
from choose.types import Family, Run

# Share of the budget that is left for repetitions and what follows them when a fit in the first
# fold of the comparison begins, or answers beyond the first rows of a candidate.
RESERVE = 0.1

# Seconds that the libraries of models take to load, at least, for the first that needs them.
LOADING = 2.0

# Trials that are fitted together at most, and attempts at one that a worker does not survive.
MOST_TOGETHER, ATTEMPTS = 10, 2


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

    def take_back(self, name: str) -> None:
        """Forget what was left out of a candidate, as it goes on."""
        self._facts = {place: facts for place, facts in self._facts.items() if place[0] != name}

    def all(self) -> list[LeftOut]:
        return [LeftOut(candidate=c, reason=why, **f) for (c, why), f in self._facts.items()]


@dataclass(kw_only=True)
class Requests:
    """Sends the jobs of a round to an executor, and takes what comes of them.

    Attributes:
        states: of all candidates.
        spent: returns the dollars that the command has spent.
        first_verdict: called with the first round, as soon as every family has answered a row.
    """

    states: Mapping[str, State]
    runner: Executor
    store: Store
    budget: Budget
    observer: Observer
    summary: Summary
    spent: Callable[[], float]
    first_verdict: Callable[[Round], None]
    _flying: dict[int, tuple[GroupRequest, int]] = field(default_factory=dict)  # and the attempt
    _numbers: int = 0
    _found: bool = False
    _told: bool = False
    _loaded: bool = False

    def run(self, round: Round, jobs: Iterable[Job]) -> bool:
        """Run jobs as workers become free, and take their results; return whether there are any."""
        self._found = False
        waiting = self._resume(jobs)
        while waiting or self._flying:
            while waiting and self.runner.free:
                group, *waiting = self._sort_by_turn(round, waiting)
                cls = self._state_of(group[0]).cls
                together = MOST_TOGETHER if hasattr(cls, "fit_group") else 1
                if rest := group[together:]:
                    waiting.append(rest)
                self._begin(round, group[:together], waiting)
            waiting += self._take_results(round)
        return self._found

    def _take_results(self, round: Round) -> list[Sequence[Job]]:
        """Store what has come; return jobs that go on after the first verdict."""
        with closing(self.runner.results()) as results:
            return [cut for result in results if (cut := self._take(round, result))]

    def fit_again(self, round: Round, jobs: Sequence[Job], seconds: float, enough: float) -> bool:
        """Learn from all rows within so many seconds, if the last fit read some of them.

        A fit that has read enough rows takes `enough` seconds.

        Return whether that was begun: all can be read then or twice as many as by the last fit, and
        the rows of round 0 or as many as it had answered; it has not failed, and no other has
        followed. All jobs are of a candidate.
        """
        state = self._state_of(jobs[0])
        compared = [job for job in jobs if job.part == COMPARISON and not job.trial.fold]
        self._resume(compared)
        whole, last = compared[-1], state.last[0]
        before, asked = state.runs[last.trial.key], max(state.had(last), compared[0].ask)
        failed = state.runs.get(whole.trial.key, before).error
        if failed or before.share_read * last.trial.train_size >= whole.trial.train_size:
            return False
        others = [job for job in jobs if job.trial != whole.trial]
        if any(self._decided_first(job) and self.store.get(job.trial) for job in others):
            return False
        after = SLOWER * state.pace.seconds_anew(asked, state.had(last))
        seconds, enough = seconds - after, (enough - after) / (1 + SPARE)
        if min(state.pace.fit_seconds(whole), 2 * (before.fit_seconds or 0.0)) > seconds:
            return False
        limits = Limits(self.budget.left(), seconds, enough=max(0.0, enough))
        self._send([replace(whole, ask=asked)], limits, anew=True)
        while self._flying:
            self._take_results(round)
        return True

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
                    self._found = True
                    continue
            left.setdefault(state.name, []).append(job)
        return [*left.values()]

    def _sort_by_turn(self, round: Round, waiting: Iterable[Sequence[Job]]) -> list[Sequence[Job]]:
        """Return jobs by candidate in the order of their turns; fast ones come first.

        In the first round a family with fewer answers precedes others, by the same member until it
        has all. Later the cheaper one comes first, after families that lack first answers only.
        """

        def turn(jobs: Sequence[Job]) -> tuple[float, ...]:
            state = self._state_of(jobs[0])
            if not state.slow:
                return (0,)
            answered = max(s.rows for s in self.states.values() if s.family == state.family)
            if round.number:
                needed = self.forecast(jobs)
                return 1, answered >= FIRST_ANSWERS or any(needed.fits), needed.seconds
            most = min(round.ask, answered)
            return 1, most, state.rows if most == round.ask else -state.rows

        order = list(self.states)  # of equal ones the first of the plan
        return sorted(waiting, key=lambda jobs: (turn(jobs), order.index(jobs[0].trial.candidate)))

    def forecast(self, jobs: Sequence[Job]) -> Needed:
        """Return what jobs need; of a slow candidate that is new the quickest fit of its family."""
        state = self._state_of(jobs[0])
        needed = state.needed(jobs)
        if state.slow and state.pace.answer is None:
            alike = [s for s in self.states.values() if s.slow and s.family == state.family]
            fits = filter(None, (s.pace.fit(jobs[0].trial.train_size) for s in alike))
            return needed._replace(fits=[min(fits, default=0.0)] * len(jobs))
        return needed

    def _begin(self, round: Round, jobs: Sequence[Job], waiting: list[Sequence[Job]]) -> None:
        """Send some jobs to the executor; where they would not end in time, half of them."""
        state, needed = self._state_of(jobs[0]), self.forecast(jobs)
        fits, slow = any(needed.fits), state.slow and round.number and round.part == COMPARISON
        # What is answered until the end counts.
        few = FIRST_CHUNK * (state.pace.answer or 0)
        seconds = needed.seconds if fits else min(needed.answers, few)
        # Cheaper members of the family answer all their rows first.
        rests = (s.rest for s in self.states.values() if s.family == state.family)
        owed = sum(rest for rest in rests if rest < state.rest) if slow and fits else 0.0
        begins = fits and not jobs[0].trial.fold
        reserve = RESERVE if slow and (begins or state.rows >= FIRST_ANSWERS) else 0.0
        least = LOADING if self._loads(jobs[0]) and not self._loaded else 0.0
        seconds = max(least, seconds + owed)
        ends = self.budget.fits(seconds, dollars=needed.dollars, reserve=reserve)
        if not ends or self.budget.left() <= 0:
            if half := len(jobs) // 2:
                waiting += [jobs[:half], jobs[half:]]
            else:
                waiting += self._leave_out(state, jobs, needed)
            return
        others, first = dict[State, float](), not round.number
        for rest in waiting:
            other = self._state_of(rest[0])
            others[other] = others.get(other, 0.0) + self.forecast(rest).seconds
        lacking = self.families_below(FIRST_ANSWERS if state.last else 0)
        limits = limits_of(state, needed, others, budget=self.budget, lacking=lacking, first=first)
        self._send(jobs, limits)

    def _send(self, jobs: Sequence[Job], limits: Limits, *, anew: bool = False) -> None:
        """Send jobs of a candidate to the executor."""
        keys, state = {job.trial.key for job in jobs}, self._state_of(jobs[0])
        self._numbers += 1
        request = GroupRequest(
            number=self._numbers,
            jobs=tuple(jobs),
            earlier={key: run for key, run in state.runs.items() if key in keys},
            first=None if anew else self._decided_first(jobs[0]),
            limits=limits,
            anew=anew,
            pace=state.pace.answer or 0.0,
        )
        self._flying[request.number] = request, 1
        self.observer.job(jobs[0], None)
        self.runner.submit(request)

    def _decided_first(self, job: Job) -> Mapping[str, float] | None:
        """Return what time decided in the first fit on all rows, if the others follow it."""
        trial, state = job.trial, self._state_of(job)
        first = next((state.runs.get(j.trial.key) for j in state.whole if not j.trial.fold), None)
        if not first or first.error or trial.variant:
            return None
        return first.shortened if trial.train_size >= ALIKE * first.trial.train_size else None

    def _leave_out(self, state: State, jobs: Sequence[Job], needed: Needed) -> list[Sequence[Job]]:
        """Record jobs that would not end in time; return what the last fit answers for them."""
        paid = self.budget.pays(needed.dollars)
        self.summary.leave(state.name, "out-of-time" if paid else "out-of-money", jobs)
        last, fit, size = state.last.get(0), max(needed.fits), jobs[0].trial.train_size
        if jobs[0].part != COMPARISON or state.held or last is None:
            return []
        state.held = True
        if paid and fit >= 1 and size > last.trial.train_size:
            keeps = state.learned
            self.summary.leave(state.name, "too-long", seconds=fit, learns=size, keeps=keeps)
        again = replace(last, ask=max(last.ask, *(job.ask for job in jobs)))
        return [[again]] if paid and fit and not state.has_ended(again) else []

    def _take(self, round: Round, result: GroupResult) -> Sequence[Job]:
        """Store what came of a request; return jobs that go on after the first verdict."""
        request, attempts = self._flying[result.number]
        if result.lost and attempts < ATTEMPTS:
            self._flying[result.number] = request, attempts + 1
            self.runner.submit(request)
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
        if not (self._told or round.number or self.families_below(0)):
            self._told = True
            self.first_verdict(round)
        if not result.last or result.stopped or request.limits.answers == inf:
            return ()
        state = self.states[request.candidate]
        left = [j for j in request.jobs if j.trial.key in state.runs and not state.has_ended(j)]
        tuned = [s for s in self.states.values() if s.family == "fine-tuning" and not s.out]
        if tuned == [state]:  # where time cut its fit short, it answers the rest by a longer one
            return [j for j in left if state.runs[j.trial.key].share_read == 1]
        return left

    def _count(self, job: Job, run: Run) -> None:
        state = self._state_of(job)
        had = state.had(job)
        state.add(job, run)
        self._loaded |= run.error is None and self._loads(job)
        spent = self.spent() - self.budget.spent
        self.budget.spent += spent
        if spent > 0 and (rows := state.had(job) - had) > 0:
            state.pace.dollars = spent / rows
        self._found = True
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

    def _loads(self, job: Job) -> bool:
        return self._state_of(job).slow and not names_endpoint(job.trial.params)

    def families_below(self, rows: int) -> set[Family]:
        """Return the families of which no candidate has answered, and so many rows."""
        answered = {s.family for s in self.states.values() if s.last and s.rows >= rows}
        return {state.family for state in self.states.values() if not state.out} - answered

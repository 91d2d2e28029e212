"""The loop of a study: run its rounds within a budget, and drop candidates that are behind.

This process alone writes the store. It hands requests to an executor: this process, or a cluster.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from math import inf, isfinite

from choose.data.scenarios import Pools
from choose.judge.decision.chance import Chances
from choose.judge.scores.joint_distribution import Whole
from choose.run.budget import Budget
from choose.run.forecast import ALIKE, EARLY_SHARE, FAST_SHARE, FIRST_ANSWERS, TOGETHER, State
from choose.run.requests import RESERVE, Requests, Summary
from choose.run.worker import Executor, LocalExecutor, Observer, Worker
from choose.schema.plan import COMPARISON, REPETITIONS, Job, Round, Standing
from choose.store.store import Store
from choose.strategy import find
from choose.study.rounds import CONTROLS, DRILLS
from choose.types import STANDARD, Family, Run

# A candidate takes part in the next round while its chance of being the one to use is above it.
LEAST_CHANCE = 0.02

# Seconds of a fit that is made even for a candidate that is behind.
SHORT_FIT = 2.0

# A slow candidate is fitted again on so many times the rows where that is sure to end in time: all
# its fits then take a third more than the last one, and not twice as long.
JUMP, AMPLE = 4, 0.5

# What the judge says of the runs so far, and of what is planned of each candidate.
Judged = Callable[[Sequence[Run], Mapping[str, Whole]], Chances | None]


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
        self._compared = [round for round in self.rounds if round.part == COMPARISON]
        self._last_round = (self._compared or [Round(0, COMPARISON, 0, 0, ())])[-1]
        self._whole = self._last_round.rows
        self.states = dict[str, State]()
        for trial in (job.trial for round in self.rounds for job in round.jobs):
            name = trial.candidate
            own = [job for job in self._last_round.jobs if job.trial.candidate == name]
            self.states[name] = State(name, find(trial.strategy), self.pools.dataset, own)
        self._runner = self.executor or LocalExecutor(Worker(self.pools))
        self._waiting, self._patient, self._best = set[State](), True, dict[Family, State]()
        self._first = min(FIRST_ANSWERS, len(self.pools.dataset.folds[0].questions))
        self._requests = Requests(
            states=self.states,
            runner=self._runner,
            store=self.store,
            budget=self.budget,
            observer=self.observer,
            summary=self.summary,
            spent=self.spent,
            first_verdict=partial(self._report_chances, ended=False),
        )

    def run(self) -> Summary:
        """Run all rounds; return what was left out."""
        left = [*self.rounds]
        try:
            while left:
                self._run_round(left[0])
                if left[0] is self._last_round:
                    self._catch_up()
                elif left[0].part == COMPARISON:
                    self._learn_early()
                del left[0]
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
        turns = [round.jobs]
        if round.part == REPETITIONS and self._runner.free == 1:
            turns = [tuple(own) for _, own in groupby(round.jobs, lambda j: j.trial.candidate)]
        for jobs in sorted(turns, key=lambda jobs: self._requests.forecast(jobs).seconds):
            found = self._requests.run(round, self._take_part(jobs))
            if round.part in (COMPARISON, REPETITIONS) and found:
                if round.part == COMPARISON:
                    self._requests.run(round, self._answer_alike())
                self._report_chances(round, ended=round.part == COMPARISON)
                self._drop_candidates()

    # Fits that are made again.

    def _catch_up(self) -> None:
        """Use the time that no round needs: for fits that have waited, or read some rows only."""
        self._patient = False
        waiting = [state for state in self._waiting if not state.out]
        self._learn_from_part(waiting)
        self._learn_from_all(waiting)
        for state in (states := self._likeliest_trained()):
            self._fit_again(state, self.budget.left(RESERVE))
        self._learn_from_all([state for state in states if not (state.held or state.out)])
        first = self._compared[0]  # which may be the only round
        slow = [job for job in first.jobs if self._state_of(job).slow]
        if left := [job for job in slow if 0 < self._state_of(job).rows < job.ask]:
            self._run_round(replace(first, jobs=tuple(left)))

    def _learn_from_part(self, states: Collection[State]) -> None:
        """Let unlikely ones whose fits have waited learn from a quarter, which may tell enough.

        All rows that candidates lack must have time after it.
        """
        chance = self.chances.candidates if self.chances else {}
        few = max((r.rows for r in self._compared if r.rows * JUMP <= self._whole), default=0)
        for round in [round for round in self._compared if round.rows == few]:
            own = [
                replace(job, ask=state.last[0].ask)
                for job in round.jobs
                if (state := self._state_of(job)) in states
                if state.last[0].trial.train_size < few and chance.get(state.name, 1.0) * JUMP < 1
            ]
            before = sum(self._requests.forecast([job]).seconds for job in own)
            rests = sum(state.rest for state in self.states.values())
            if own and self.budget.fits(before + rests, reserve=RESERVE):
                self._run_round(replace(round, jobs=tuple(own)))

    def _learn_from_all(self, states: Collection[State]) -> None:
        """Run the rounds on all rows again for some candidates."""
        for round in (round for round in self._compared if round.rows == self._whole):
            if own := [job for job in round.jobs if self._state_of(job) in states]:
                self._run_round(replace(round, jobs=tuple(own)))

    def _learn_early(self) -> None:
        """Fit the likeliest fine-tuned one again, if it cannot soon read more.

        That may take what the first answers of all families do not need, and most of the time if it
        reads too few rows in it. One whose fit was cut short does not wait for all rows of cheaper
        ones.
        """
        trained, left = self._likeliest_trained(), self.budget.left(RESERVE)
        if not trained:
            return
        likeliest, last = trained[0], trained[0].last[0].trial
        longer = likeliest.pace.fit(2 * last.train_size) or 0.0
        if likeliest.runs[last.key].share_read < 1:
            longer += sum(state.rest for state in trained if state.rest < likeliest.rest)
        if longer > left:
            needed = 0.0
            for state in (s for s in self.states.values() if s.slow and self._is_best(s)):
                more = max(0, self._first - state.rows)
                had = TOGETHER if self.pools.dataset.task.labels else state.rows
                needed += state.pace.seconds_anew(more, had)
            self._fit_again(likeliest, max(EARLY_SHARE * left, left - needed), left - needed)

    def _likeliest_trained(self) -> list[State]:
        """Return the fine-tuned candidates that may be the one to use, the likeliest first."""
        tuned = (s for s in self.states.values() if s.family == "fine-tuning" and s.cls.learns)
        going = [state for state in tuned if state.last.get(0)]
        chance = self.chances.candidates if self.chances else dict.fromkeys(self.states, 0.0)
        return sorted(filter(self._may_be_used, going), key=lambda s: -chance.get(s.name, 0.0))

    def _fit_again(self, state: State, seconds: float, enough: float = inf) -> None:
        """Let a candidate learn from all rows within so many seconds, if its last fit did not."""
        own = [job for r in self.rounds for job in r.jobs if self._state_of(job) is state]
        # The named one that nothing can change any more: what it reaches with more rows is told.
        settled = state.out and state.why == "not-needed" and isfinite(seconds)
        goes_on = not state.out or (settled and self.chances and state.name == self.chances.named)
        if goes_on and self._requests.fit_again(self._last_round, own, seconds, enough):
            state.held = settled
            self._report_chances(self._last_round, ended=False)
            if not settled or (self.chances and self.chances.worth_asking):
                state.out = state.held = False
                self.summary.take_back(state.name)
            self._drop_candidates()

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
                # A text takes less time where all of the first rows are asked at once.
                free = not (self.pools.dataset.task.labels or state.pace.dollars)
                first = self._first if state.slow and free and self._is_best(state) else 0
                yield replace(last, ask=max(job.ask, last.ask, first))

    def _waits(self, state: State, last: Job, job: Job) -> bool:
        """Return whether a slow candidate keeps its last fit, as a later one on more rows fits.

        A fit also waits while others, each of which needs less, need less than it takes together:
        by then its own candidate may have stopped.
        """
        size, before = job.trial.train_size, last.trial.train_size
        cut_short = state.runs[last.trial.key].share_read < 1
        if size < ALIKE * before or (self._patient and job.trial.fold and cut_short):
            return True
        if not (self._patient and state.slow and before < min(size, self._whole)):
            return False
        made = self.store.get(state.whole[0].trial) if state.whole else None
        if size < self._whole and made is not None and not made.error:
            return True  # by an earlier command
        most = JUMP * before if 2 * JUMP * before < self._whole else self._whole
        if size < most and (state.pace.fit(most) or 0.0) <= AMPLE * self.budget.left():
            return True
        rests = [other.rest for other in self.states.values()]
        fit = state.pace.fit(size) or 0.0
        shorter = 0 < sum(rest for rest in rests if rest < fit) < fit
        if shorter and self._runner.free == 1 and self.budget.fits(sum(rests), reserve=RESERVE):
            self._waiting.add(state)
        return state in self._waiting

    def _with_later_folds(self, state: State, job: Job) -> Sequence[Job]:
        """Return a job, or those of all folds once the first is fitted, if sure to end in time.

        Folds that are trained together give each core a pass of its own. Those of a first fold that
        time has shortened are not.
        """
        whole, first = state.whole, state.runs.get(job.trial.key)
        if first is None or first.error or first.shortened or job.trial != whole[0].trial:
            return [job]
        together = state.slow and hasattr(state.cls, "fit_group")
        ends = self._requests.forecast(whole).seconds <= AMPLE * self.budget.left()
        return whole if together and ends else [job]

    def _follow(self, state: State, job: Job) -> Iterator[Job]:
        """Yield a job after the comparison, on the rows that its candidate answered there."""
        always = job.part in (CONTROLS, DRILLS)  # what reading loses is told of all that read
        wanted = self._may_be_used(state, repeated=job.part == REPETITIONS)
        if state.held or not (always or wanted):
            self.summary.leave(state.name, "out-of-time" if state.held else "not-needed", [job])
        elif job.trial.scenario.kind not in ("standard", "noise"):
            yield job
        elif (last := state.last.get(job.trial.fold)) and (rows := state.had(last)):
            yield replace(job, ask=rows)

    def _may_be_used(self, state: State, *, repeated: bool = False) -> bool:
        """Return whether a candidate may be the one to use, or is the best fast one.

        Where the named family is likelier than all others together, slow candidates of others than
        this one and the next need not be `repeated`.
        """
        chances = self.chances
        if chances is None or chances.named is None:
            return True
        chance, families = chances.candidates, chances.families
        apart = state.slow and families.get(state.family, 0.0) < sorted(families.values())[-2:][0]
        if repeated and apart and chances.family and families[chances.family] > 0.5:
            return False
        fast = [n for n in chance if n in self.states and not self.states[n].slow]
        best = max(fast, key=lambda n: chance[n], default="")
        return state.name == best or chance.get(state.name, 0.0) > LEAST_CHANCE

    def _answer_alike(self) -> Iterator[Job]:
        """Yield what fast candidates lack of the rows that slow ones answered after a pool.

        Only answers after the same pool are compared. Rows that take long come after the first ones
        of every family.
        """
        lacking, asked = self._requests.families_below(self._first), Counter[int]()
        for state in self.states.values():
            if state.slow and (last := state.last.get(0)):
                asked |= Counter({last.trial.train_size: state.had(last)})
        for job in (job for round in self._compared for job in round.jobs):
            state, ask = self._state_of(job), asked[job.trial.train_size]
            if lacking and (state.pace.answer or 0.0) * ask > FAST_SHARE * self.budget.left():
                ask = min(ask, self._first)
            if job.ask < ask and not (state.out or state.slow or job.trial.fold):
                yield replace(job, ask=ask)

    def _state_of(self, job: Job) -> State:
        return self.states[job.trial.candidate]

    def _is_best(self, state: State) -> bool:
        return not state.out and self._best.get(state.family, state) is state

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
                learned={state.name: state.learned for state in self.states.values() if state.last},
                usable=bool(chances and chances.usable),
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
        likeliest of each family answers some rows first, the better of those that are behind, and
        so do all of the named family that may be its best: which of them to use is asked too.
        """
        chances = self.chances
        if chances is None or chances.named is None:
            return
        # Among those that go on; of equal ones the first of the plan, whatever the clock says.
        going = [s for s in self.states.values() if s.name in chances.candidates and not s.out]
        self._best.clear()
        chance = {s.name: chances.candidates[s.name] for s in going}
        chance |= {name: 0.0 for name, own in chance.items() if own <= LEAST_CHANCE}
        likely = {name: (own, chances.scores.get(name, 0)) for name, own in chance.items()}
        for state in sorted(going, key=lambda s: likely[s.name], reverse=True):
            self._best.setdefault(state.family, state)
        for state in [s for s in self.states.values() if s.slow and s.last and not s.out]:
            rows, behind = state.rows, not chance.get(state.name)  # one beyond a limit has none
            open_yet = state.family == chances.family != "fine-tuning" and not behind
            most = max(job.trial.train_size for job in state.last.values())
            whole = most >= self._whole or state in self._waiting or not chances.usable
            stays = chances.worth_asking or (state.name == chances.named and whole)
            # It would need another fit to answer more than the rows of the first fold.
            state.behind = behind and (state.pace.fit(most) or 0.0) > SHORT_FIT
            few = self._first if state.behind else FIRST_ANSWERS
            if rows < few and (open_yet or state is self._best.get(state.family)):
                continue
            if behind or not stays:
                state.leave("dropped" if behind else "not-needed")
            if behind:
                within = state.name in chances.candidates
                self.summary.leave(state.name, "dropped", answered=rows if within else None)

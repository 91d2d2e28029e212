"""Run jobs one after another in this process, within a budget of seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from time import perf_counter

from choose.data.pools import Pools
from choose.errors import MoneySpent
from choose.models.weights.spec import names_endpoint
from choose.progress import TimeLimitReached, time_limit
from choose.run.budget import FirstPassBudget, UnfinishedPasses
from choose.run.events import RunSummary
from choose.run.race import Race, TrialHistory
from choose.run.spending_limit import DollarBudget, DollarShare
from choose.run.timed_predict import Deadline
from choose.run.trial import Fitted, run_trials
from choose.store.store import Store
from choose.strategy import Groups, find
from choose.study.grid import Job
from choose.study.grid_points import FIRST_PASS
from choose.types import Run

# Trials learnt side by side; more would save little and risk more at an interruption.
MAX_BATCH = 10


def next_batch(jobs: Sequence[Job], done: Callable[[Job], bool], most: float) -> list[Job]:
    """Return the first job, and those right after it that can be learnt beside it, at most `most`.

    The first is always among them.
    """
    first = jobs[0]
    if not issubclass(find(first.trial.strategy), Groups):
        return [first]
    found: list[Job] = []
    keys: set[str] = set()
    for job in jobs:
        if _batch_key(job) != _batch_key(first) or job.trial.key in keys or done(job):
            break
        found.append(job)
        keys.add(job.trial.key)
    return found[: max(1, int(min(MAX_BATCH, most)))]


def _batch_key(job: Job) -> tuple[str, str, str]:
    return job.trial.candidate, job.trial.strategy, job.part


# A fit or a question that is still going at the end of the budget may go on for this part of it.
GRACE = 0.05


OnJob = Callable[[Job, Run | None], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to run, and whether candidates that can no longer win are spared.

    `money` is whether dollars are limited, so that a first pass may end early.
    """

    seconds: float | None = None
    racing: bool = False
    margin: float = 0.02
    money: bool = False


def run_jobs(
    jobs: Sequence[Job],
    pools: Pools,
    store: Store,
    limits: Limits,
    watch: OnJob,
) -> RunSummary:
    """Run what the store does not hold yet and the limits allow.

    A candidate that has not answered anything yet is given one trial unless its fit alone is
    forecast to take far more than is left, so that a small budget leaves out repetitions and not
    candidates. Dear ones answer as many rows of that trial as fit three quarters of the time left,
    all the same number of rows. `watch` is called before (without a run) and after each job.
    """
    return _Runner(jobs, pools, store, limits, watch).go()


class _Runner:
    """The state of a run."""

    def __init__(
        self, jobs: Sequence[Job], pools: Pools, store: Store, limits: Limits, watch: OnJob
    ) -> None:
        self.jobs, self.pools, self.store = list(jobs), pools, store
        self.limits, self.watch = limits, watch
        self.outcome, self.start = RunSummary(money=limits.money), perf_counter()
        dataset = pools.dataset
        targets = {id: e.target for id, e in dataset.examples.items()}
        race = Race(targets, limits.margin, dataset.clusters)
        self.standing, self.outcome.dropped = TrialHistory(race, limits.racing), race.out
        self.grouped: set[int] = set()
        self.going: Sequence[Job] = ()
        firsts: dict[str, Job] = {}
        for job in jobs:
            if not find(job.trial.strategy).cheap:
                firsts.setdefault(job.trial.candidate, job)
        waiting = {name: job for name, job in firsts.items() if not self._done(job)}
        self.purses = DollarBudget(pools)
        self.unasked = UnfinishedPasses(pools)
        self.pacing = FirstPassBudget(pools, limits.seconds or inf, waiting)

    def go(self) -> RunSummary:
        for number, _ in enumerate(self.jobs):  # grows where a dropped candidate is in again
            if number in self.grouped:
                continue
            try:
                self._step(number)
            except MoneySpent:
                self.outcome.unpaid += [j for j in self.going if not self._done(j)]
            except TimeLimitReached:
                self.outcome.left_out += [j for j in self.going if not self._done(j)]
            except KeyboardInterrupt:
                self._interrupted(number)
                break
        else:
            self._ask_on()
        for cut in self.unasked.cut.values():
            self.outcome.unasked[cut.job.trial.candidate] += cut.run.unasked
        self.outcome.seconds = perf_counter() - self.start
        return self.outcome

    def _step(self, number: int) -> None:
        job = self.jobs[number]
        if self._done(job):
            self._known(job)
        elif self.standing.only_fails(job):
            self.outcome.skipped.append(job)
        elif self.standing.hopeless(job):
            self.standing.spare(job)
        else:
            self._put_dearest_last(number)
            self._run(number, self.jobs[number])

    def _interrupted(self, number: int) -> None:
        self.outcome.stopped += [j for j in self.jobs[number:] if not self._done(j)]
        self.outcome.interrupted = True

    def _ask_on(self) -> None:
        """Ask what shares of the time did not reach, where time is left when all else is done."""
        try:
            with time_limit(self._left):
                for run in self.unasked.ask_on(lambda: self._left, self._not_asked_on):
                    self.store.add(run)
        except KeyboardInterrupt:
            self._interrupted(len(self.jobs))

    def _put_dearest_last(self, number: int) -> None:
        """Before the first of the first passes of dear candidates, put them in order of cost.

        Where time runs short, the one that takes most is then the one that is asked least.
        """
        waiting = list(self.pacing.waiting.values())
        if self.limits.seconds is None or self.pacing.paces or self.jobs[number] not in waiting:
            return
        self.pacing.look(self._left)
        places = [i for i, job in enumerate(self.jobs) if job in waiting]
        for place, job in zip(places, self.pacing.ordered(), strict=True):
            self.jobs[place] = job

    def _done(self, job: Job) -> bool:
        return self.store.done(job.trial, job.all_views, job.repeats)

    def _known(self, job: Job) -> None:
        run, name = self.store.get(job.trial), job.trial.candidate
        if run is not None:
            self.jobs += self.standing.add(job, run, earlier=True)
        if self.pacing.waiting.get(name) is job:
            self.pacing.start(name)
        self.watch(job, run)

    @property
    def _left(self) -> float:
        if self.limits.seconds is None:
            return inf
        return self.limits.seconds - (perf_counter() - self.start)

    def _run(self, number: int, job: Job) -> None:
        name = job.trial.candidate
        first = name not in self.standing.cost
        cheap = find(job.trial.strategy).cheap
        # The cheap ones that keep the dear ones honest get a first trial whatever it takes.
        fits = self.standing.cost.get(name, 0.0) < self._left or name in self.pacing.fitted
        if not (first and cheap) and not fits:
            self.outcome.left_out.append(job)
            return
        self.watch(job, None)
        self.going = [job]
        purse = self._purse(number)
        deadline, together = None, [job]
        fitted: dict[str, Fitted] = {}
        if self.limits.seconds is not None and name in self.pacing.waiting:
            if (fit := self.pacing.too_long(name, self._left)) is not None:
                self.outcome.too_long[name] = self.standing.cost[name] = fit
                self.outcome.left_out.append(job)
                self.pacing.start(name)
                return
            deadline = self.pacing.deadline(name, self._left)._replace(purse=purse)
            fitted = self.pacing.start(name)
        elif purse is not None:  # in parts, so that what is paid for counts
            deadline = Deadline(end=perf_counter() + self._left, purse=purse)
        elif not first:
            cost = self.standing.cost[name]
            most = self._left / cost if cost > 0 and self._left < inf else inf
            together = next_batch(self.jobs[number:], self._done, most)
            self.grouped |= set(range(number + 1, number + len(together)))
        self.going = together
        with time_limit(self._left + GRACE * (self.limits.seconds or 0.0)):
            for run, traceback in run_trials(together, self.pools, deadline, fitted):
                own = next(j for j in together if j.trial.key == run.trial.key)
                kept = self._keep(own, run, traceback)
                again = self.limits.seconds is not None and not self._not_asked_on(own)
                self.unasked.note(own, kept, fitted.get(run.trial.key) if again else None)

    def _keep(self, job: Job, run: Run, traceback: str | None) -> Run:
        """Store a run, take note of it, and return what the store holds of its trial now."""
        if not self.store.add(run, traceback):
            if run.error is not None:
                self.outcome.failed_again[run.trial.candidate] = run.error
            run = self.store.get(job.trial) or run
        self.jobs += self.standing.add(job, run)
        self.watch(job, run)
        return run

    def _not_asked_on(self, job: Job) -> bool:
        # Dollars were shared so that all had as many rows, and none are left for more.
        return self.standing.hopeless(job) or (
            self.limits.money and names_endpoint(job.trial.params)
        )

    def _purse(self, number: int) -> DollarShare | None:
        job = self.jobs[number]
        if not self.limits.money or job.part != FIRST_PASS or not names_endpoint(job.trial.params):
            return None
        with time_limit(self._left):
            later = [j for j in self.jobs[number + 1 :] if j.part == FIRST_PASS]
            waiting = [j for j in later if not (self.standing.hopeless(j) or self._done(j))]
            return self.purses.deal(job, waiting)

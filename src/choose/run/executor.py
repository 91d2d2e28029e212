"""Run jobs one after another in this process, within the limits on time and dollars.

The summary says what did not run, and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from math import inf
from time import perf_counter

from choose.data.scenarios import Pools
from choose.errors import MoneySpent
from choose.formatting import plural
from choose.models.weights.spec import names_endpoint
from choose.progress import TimeLimitReached, time_limit
from choose.run.closed_book import closed_book
from choose.run.race import Race, TrialHistory
from choose.run.requests import GroupRequest, Pace
from choose.run.spending_limit import DollarBudget, DollarShare
from choose.run.time_budget import FirstPassBudget, UnfinishedPasses
from choose.run.worker import LocalExecutor, Worker
from choose.schema.plan import Job
from choose.schema.words import too_long
from choose.store.store import Store
from choose.strategy import Groups, find
from choose.study.grid_points import FIRST_PASS
from choose.types import Run


@dataclass
class RunSummary:
    """Trials that did not run, and why.

    Attributes:
        left_out: jobs that did not fit into the time budget.
        stopped: jobs that were still to come when the user stopped the run.
        unpaid: jobs that did not fit into --max-usd.
        skipped: jobs of candidates whose earlier trials all failed.
        failed_again: candidate -> error of a second attempt; the first attempt counts.
        unasked: candidate -> test rows of its first pass without an answer.
        too_long: candidate -> forecast seconds of a fit that the remaining time could not hold.
        dropped: candidate -> why it left the race.
        limited_dollars: whether --max-usd was set.
    """

    left_out: list[Job] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    unpaid: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed_again: dict[str, str] = field(default_factory=dict)
    unasked: Counter[str] = field(default_factory=Counter)
    too_long: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    limited_dollars: bool = False
    seconds: float = 0.0


def left_out_sentences(summary: RunSummary) -> list[str]:
    """Say by candidate what was planned and not run, and why."""
    or_dollars = " or of --max-usd" if summary.limited_dollars else ""
    return [
        *(f"{candidate}: {reason}." for candidate, reason in summary.dropped.items()),
        *(
            f"{candidate}: its first pass left {plural(n, 'test row')} unanswered: it ran out of "
            f"time{or_dollars}. Candidates are compared on the rows both answered."
            for candidate, n in summary.unasked.items()
            if n
        ),
        *(too_long(candidate, seconds) for candidate, seconds in summary.too_long.items()),
        *(
            f"{candidate}: a second attempt at a trial failed ({error}); the answers of the first "
            "attempt count."
            for candidate, error in summary.failed_again.items()
        ),
        *_by_candidate(summary.skipped, "all its trials until then had failed"),
        *_by_candidate(summary.left_out, "the budget was used up"),
        *_by_candidate(summary.stopped, "stopped by you"),
        *_by_candidate(
            summary.unpaid,
            "--max-usd was used up; run again with a higher limit to continue, no answer is paid "
            "for twice",
        ),
    ]


def _by_candidate(jobs: Sequence[Job], why: str) -> list[str]:
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        counts.setdefault(job.trial.candidate, Counter())[job.part] += 1
    return [
        f"{candidate}: {', '.join(_trials(part, n) for part, n in parts.items())}: {why}."
        for candidate, parts in counts.items()
    ]


def _trials(part: str, count: int) -> str:
    return f"{part} ({plural(count, 'trial')})"


# Trials that are fitted together at most; more would save little and lose more if interrupted.
MAX_BATCH = 10

# Share of the budget by which a fit or prediction may overrun its end.
GRACE = 0.05

OnJob = Callable[[Job, Run | None], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a run.

    Attributes:
        seconds: time budget, None for no limit.
        racing: whether candidates that can no longer win are dropped.
        margin: smallest gain that matters, for the race.
        money: whether dollars are limited, so that a first pass may end early.
    """

    seconds: float | None = None
    racing: bool = False
    margin: float = 0.02
    money: bool = False


def next_batch(jobs: Sequence[Job], done: Callable[[Job], bool], most: float) -> list[Job]:
    """Return the first job and those right after it to fit together with it, at most `most`."""
    first = jobs[0]
    if not issubclass(find(first.trial.strategy), Groups):
        return [first]
    batch: list[Job] = []
    keys: set[str] = set()
    for job in jobs:
        if _batch_key(job) != _batch_key(first) or job.trial.key in keys or done(job):
            break
        batch.append(job)
        keys.add(job.trial.key)
    return batch[: max(1, int(min(MAX_BATCH, most)))]


def _batch_key(job: Job) -> tuple[str, str, str]:
    return job.trial.candidate, job.trial.strategy, job.part


def run_jobs(
    jobs: Sequence[Job], pools: Pools, store: Store, limits: Limits, watch: OnJob
) -> RunSummary:
    """Run what the store does not hold yet and the limits allow.

    A candidate without any answers gets one trial unless its fit alone is forecast to overrun the
    remaining time, so that a small budget leaves out repetitions rather than candidates. Slow
    candidates share three quarters of the remaining time, so that all answer the same number of
    test rows. `watch` is called before (without a run) and after each job.
    """
    return _Runner(jobs, pools, store, limits, watch).run()


class _Runner:
    """The state of a run."""

    def __init__(
        self, jobs: Sequence[Job], pools: Pools, store: Store, limits: Limits, watch: OnJob
    ) -> None:
        self.jobs, self.pools, self.store = list(jobs), pools, store
        self.limits, self.watch, self.start = limits, watch, perf_counter()
        targets = {id: e.target for id, e in pools.dataset.examples.items()}
        race = Race(targets, limits.margin, pools.dataset.clusters)
        rule = closed_book(pools.dataset, limits.margin)
        self.history = TrialHistory(race, limits.racing, rule)
        self.summary = RunSummary(limited_dollars=limits.money, dropped=race.dropped)
        self.batched: set[int] = set()
        self.cut: set[str] = set()
        self.current: Sequence[Job] = ()
        firsts: dict[str, Job] = {}
        for job in jobs:
            if not find(job.trial.strategy).cheap:
                firsts.setdefault(job.trial.candidate, job)
        waiting = {name: job for name, job in firsts.items() if not self._done(job)}
        self.dollars = DollarBudget(pools)
        self.unfinished = UnfinishedPasses(pools)
        self.executor, self.numbers = LocalExecutor(Worker(pools)), count()
        self.first_passes = FirstPassBudget(pools, limits.seconds or inf, waiting)

    def run(self) -> RunSummary:
        for number, _ in enumerate(self.jobs):  # grows when a dropped candidate rejoins
            if number in self.batched:
                continue
            try:
                self._step(number)
            except MoneySpent:
                self.summary.unpaid += [j for j in self.current if not self._done(j)]
            except TimeLimitReached:
                left_out = [j for j in self.current if not self._done(j)]
                self.summary.left_out += left_out
                self.cut |= {job.trial.candidate for job in left_out}
            except KeyboardInterrupt:
                self._interrupt(number)
                break
        else:
            self._spend_leftover_time()
        for cut in self.unfinished.passes.values():
            self.summary.unasked[cut.job.trial.candidate] += cut.run.unasked
        self.summary.seconds = perf_counter() - self.start
        return self.summary

    @property
    def _left(self) -> float:
        """Seconds until the budget ends."""
        if self.limits.seconds is None:
            return inf
        return self.limits.seconds - (perf_counter() - self.start)

    def _done(self, job: Job) -> bool:
        return self.store.done(job.trial, job.all_views, job.repeats)

    def _step(self, number: int) -> None:
        job = self.jobs[number]
        if self._done(job):
            self._count_stored(job)
        elif self.history.only_fails(job):
            self.summary.skipped.append(job)
        elif self.history.futile(job):
            self.history.skip(job)
            self.first_passes.waiting.pop(job.trial.candidate, None)
        else:
            self._order_first_passes(number)
            self._run_next(number, self.jobs[number])

    def _interrupt(self, number: int) -> None:
        self.summary.stopped += [j for j in self.jobs[number:] if not self._done(j)]
        self.summary.interrupted = True

    def _spend_leftover_time(self) -> None:
        """Predict test rows that first passes had no time for."""
        try:
            with time_limit(self._left):
                for run in self.unfinished.extend(lambda: self._left, self._not_extended):
                    self.store.add(run)
        except KeyboardInterrupt:
            self._interrupt(len(self.jobs))

    def _order_first_passes(self, number: int) -> None:
        """Before the first of the slow candidates' first passes, sort them by cost.

        Where time runs short, the slowest candidate then answers the fewest rows.
        """
        waiting = list(self.first_passes.waiting.values())
        known = self.limits.seconds is None or self.first_passes.speeds
        # After the budget has ended nothing is begun any more, so no speed is of use.
        if known or self._left <= 0 or self.jobs[number] not in waiting:
            return
        self.first_passes.probe_all(self._left)
        places = [i for i, job in enumerate(self.jobs) if job in waiting]
        for place, job in zip(places, self.first_passes.fastest_first(), strict=True):
            self.jobs[place] = job

    def _count_stored(self, job: Job) -> None:
        run, name = self.store.get(job.trial), job.trial.candidate
        if run is not None:
            self.jobs += self.history.add(job, run, earlier=True)
        if self.first_passes.waiting.get(name) is job:
            self.first_passes.take(name)
        self.watch(job, run)

    def _run_next(self, number: int, job: Job) -> None:
        name, timed = job.trial.candidate, self.limits.seconds is not None
        first, fast = name not in self.history.cost, find(job.trial.strategy).cheap
        # Baselines always get a first trial, but one that the budget cut short no second one: other
        # candidates are compared with them.
        fits = self.history.cost.get(name, 0.0) < self._left or name in self.first_passes.fitted
        if not (first and fast and name not in self.cut) and not fits:
            self.summary.left_out.append(job)
            return
        self.watch(job, None)
        self.current = batch = [job]
        dollars = self._dollar_share(number)
        pace = None
        if timed and name in self.first_passes.waiting:
            if (fit := self.first_passes.overrun(name, self._left)) is not None:
                self.summary.too_long[name] = self.history.cost[name] = fit
                self.summary.left_out.append(job)
                self.first_passes.take(name)
                return
            pace = self.first_passes.pace(name, self._left)
            self.executor.worker.fits |= self.first_passes.take(name)
        elif dollars is not None:  # predicts in chunks, so that paid answers count
            pace = Pace(end=self._left)
        elif not first:
            self.current = batch = self._batch(number)
        self._execute(batch, pace, dollars)

    def _execute(
        self, batch: Sequence[Job], pace: Pace | None, dollars: DollarShare | None
    ) -> None:
        request = GroupRequest(
            number=next(self.numbers),
            jobs=tuple(batch),
            data=self.pools.dataset.fingerprint,
            seconds=self._left + GRACE * (self.limits.seconds or 0.0),
            pace=pace,
            keep_fit=pace is not None,
        )
        self.executor.submit(request, dollars)
        with closing(self.executor.results()) as results:
            for result in results:
                for run, traceback in result.runs:
                    job = next(j for j in batch if j.trial.key == run.trial.key)
                    self._finish(job, run, traceback)
                if result.stopped:
                    raise MoneySpent if result.stopped == "money" else TimeLimitReached

    def _batch(self, number: int) -> list[Job]:
        cost = self.history.cost[self.jobs[number].trial.candidate]
        most = self._left / cost if cost > 0 and self._left < inf else inf
        batch = next_batch(self.jobs[number:], self._done, most)
        self.batched |= set(range(number + 1, number + len(batch)))
        return batch

    def _finish(self, job: Job, run: Run, traceback: str | None) -> None:
        """Store a run and record what the store then holds of its trial."""
        if not self.store.add(run, traceback):
            if run.error is not None:
                self.summary.failed_again[run.trial.candidate] = run.error
            run = self.store.get(job.trial) or run
        self.jobs += self.history.add(job, run)
        self.watch(job, run)
        extend = self.limits.seconds is not None and not self._not_extended(job)
        fit = self.executor.worker.fits.pop(run.trial.key, None)
        self.unfinished.record(job, run, fit if extend else None)

    def _not_extended(self, job: Job) -> bool:
        # The dollar budget is already fully allocated.
        return self.history.futile(job) or (self.limits.money and names_endpoint(job.trial.params))

    def _dollar_share(self, number: int) -> DollarShare | None:
        job = self.jobs[number]
        if not self.limits.money or job.part != FIRST_PASS or not names_endpoint(job.trial.params):
            return None
        with time_limit(self._left):
            later = [j for j in self.jobs[number + 1 :] if j.part == FIRST_PASS]
            waiting = [j for j in later if not (self.history.futile(j) or self._done(j))]
            return self.dollars.share_of(job, waiting)

"""Run the jobs of a study: ask the scheduler, hand its requests to an executor, store what comes.

This process alone writes the store and holds the ledger of what endpoints cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter

from choose.data.scenarios import Pools
from choose.errors import MoneySpent
from choose.judge.decision.open_question import OpenQuestion, Whole, open_question
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.models.weights.spec import names_endpoint
from choose.progress import TimeLimitReached, time_limit
from choose.run.run_records import (
    Executor,
    GroupRequest,
    GroupResult,
    Limits,
    RunSummary,
    Stop,
    StudyFacts,
)
from choose.run.scheduling.closed_book import closed_book, memorises
from choose.run.scheduling.next_trial import ALWAYS, COMPARED, Now
from choose.run.scheduling.scheduler import Scheduler
from choose.run.spending_limit import DollarBudget, DollarShare
from choose.run.trial import versions
from choose.run.worker import LocalExecutor, Worker
from choose.schema.plan import Job
from choose.schema.score_names import words_of
from choose.store.store import Store
from choose.strategy import Groups, find
from choose.study.grid_points import FIRST_PASS
from choose.tasks.answering import corpus_of
from choose.types import Run

OnJob = Callable[[Job, Run | None], None]


# What is told about a trial before it begins: what its answers decide.
Tell = Callable[[str], None]

# What is said of a study, in sentences.
Note = Callable[[Sequence[str]], None]

# What is told of the verdict after each trial, once every candidate has answered but those whose
# fit takes long: who is named, whether it is recommended, the families that are still open, and
# the candidates that have not answered.
OnVerdict = Callable[[str, bool, Sequence[str], Sequence[str]], None]

# What is told of each run that is stored, before its job ends: one that has ended before may have
# answered more rows since.
OnAnswers = Callable[[Run], None]


@dataclass
class Measured:
    """What was measured so far of the comparison, and what it leaves open.

    Attributes:
        evidence: the study without any run.
        rule: of the study.
        whole: by candidate what the whole grid would measure.
    """

    evidence: Evidence
    rule: Rule
    whole: Mapping[str, Whole]
    _runs: dict[tuple[str, int, int], Run] = field(default_factory=dict)
    _found: list[OpenQuestion | None] = field(default_factory=list)

    @classmethod
    def nothing_of(cls, evidence: Evidence, rule: Rule, jobs: Iterable[Job]) -> Measured:
        """Return the state before the first trial of a study with these jobs."""
        cells: dict[str, set[tuple[int, int]]] = {}
        for job in jobs:
            if job.part in COMPARED:
                cells.setdefault(job.trial.candidate, set()).add((job.trial.fold, job.trial.draw))
        rows = len(evidence.items.ids)
        whole = {name: Whole(rows, len({draw for _, draw in own})) for name, own in cells.items()}
        return cls(evidence, rule, whole)

    def add(self, job: Job, run: Run) -> None:
        """Count the clean answers of a trial if candidates are compared by them."""
        if job.part in COMPARED:
            trial = run.trial
            self._runs[trial.candidate, trial.fold, trial.draw] = run
            self._found.clear()

    def extend(self, run: Run) -> None:
        """Count further answers of a trial that is counted already."""
        trial = run.trial
        before = self._runs.get((trial.candidate, trial.fold, trial.draw))
        if before is not None and before.trial.key == trial.key and run.error is None:
            self._runs[trial.candidate, trial.fold, trial.draw] = run
            self._found.clear()

    def question(self) -> OpenQuestion | None:
        """Return what is open; None where nothing was answered."""
        if not self._found:
            evidence = replace(self.evidence, runs=tuple(self._runs.values()))
            self._found.append(open_question(evidence, self.rule, self.whole))
        return self._found[0]


def run_jobs(
    jobs: Sequence[Job],
    pools: Pools,
    store: Store,
    limits: Limits,
    watch: OnJob,
    measured: Measured | None = None,
    tell: Tell = lambda _: None,
    executor: Executor | None = None,
    note: Note = lambda _: None,
    verdict: OnVerdict = lambda *_: None,
    answered: OnAnswers = lambda _: None,
) -> RunSummary:
    """Run what the store does not hold yet and the limits allow.

    Args:
        jobs: in the order in which they were planned.
        pools: the pools of the study.
        store: where runs are written.
        limits: time, dollars and the race.
        watch: called before (without a run) and after each job; once for a job that is stored.
        measured: what keeps the question open; without it, jobs run in their order.
        tell: called with what a trial decides, before it begins; empty where that is not known.
        executor: runs the trials, and is closed at the end; without it, this process does.
        note: called with what passages and fine-tuning can bring, before the first is fine-tuned.
        verdict: called with the verdict so far, once every candidate has answered but those whose
            fit takes long.
        answered: called with each run as it is stored: its job may have ended with fewer rows.
    """
    executor = executor or LocalExecutor(Worker(pools))
    events = watch, tell, note, verdict, answered
    return _Driver(jobs, pools, store, limits, events, measured, executor).run()


def study_facts(jobs: Sequence[Job], pools: Pools, margin: float) -> StudyFacts:
    """Return what the scheduler has to know of a study."""
    dataset = pools.dataset
    first = {job.trial.candidate: job.trial for job in reversed(jobs)}
    classes = {name: find(trial.strategy) for name, trial in first.items()}
    return StudyFacts(
        data=dataset.fingerprint,
        targets={id: example.target for id, example in dataset.examples.items()},
        clusters=dataset.clusters,
        rows=lambda job: len(dataset.folds[job.trial.fold].questions),
        fast={name for name, cls in classes.items() if cls.cheap},
        baselines={n for n, cls in classes.items() if cls.cheap and cls.family == "baseline"},
        grouped={name for name, cls in classes.items() if issubclass(cls, Groups)},
        remote={name for name, trial in first.items() if names_endpoint(trial.params)},
        closed_book=closed_book(dataset, margin),
        late={n for n, cls in classes.items() if memorises(cls)} if corpus_of(dataset.task) else (),
        folds=len(dataset.folds),
        baseline=f"a cheap {words_of(dataset.task.labels, '').baseline}",
    )


class _Driver:
    """The store, the ledger and the clock of a run."""

    def __init__(
        self,
        jobs: Sequence[Job],
        pools: Pools,
        store: Store,
        limits: Limits,
        events: tuple[OnJob, Tell, Note, OnVerdict, OnAnswers],
        measured: Measured | None,
        executor: Executor,
    ) -> None:
        self.watch, self.tell, self.note, self.verdict, self.answered = events
        self.measured = measured
        self.store, self.limits, self.start = store, limits, perf_counter()
        self.executor, self.dollars = executor, DollarBudget(pools)
        facts = study_facts(jobs, pools, limits.margin)
        self.scheduler = Scheduler(jobs, facts, limits, workers=executor.free)

    def run(self) -> RunSummary:
        scheduler = self.scheduler
        try:
            self._report(scheduler.recall(self._stored))
            while (requests := scheduler.next(self._now, self.executor.free)) or scheduler.busy:
                for request in requests:
                    self._begin(request)
                if requests and self.executor.free:  # what goes to endpoints takes no worker
                    continue
                self._say_verdict()  # before a fit that takes long
                with closing(self.executor.results()) as results:
                    for result in results:
                        self._take(result)
                self._say_verdict()
        except KeyboardInterrupt:
            scheduler.interrupt()
        finally:
            self.executor.close()
        summary = scheduler.conclude()
        summary.seconds = self._now.elapsed
        return summary

    def _say_verdict(self) -> None:
        now, missing = self._now, self.scheduler.unanswered
        if self.measured is None or not self.scheduler.tells_verdict(now):
            return
        if (question := self.measured.question()) is not None:
            families = [*dict.fromkeys(one.family for one in question.open)]
            self.verdict(question.named, question.final and not missing, families, missing)

    @property
    def _now(self) -> Now:
        asks = self.measured is not None and self.scheduler.asks
        question = self.measured.question() if self.measured and asks else None
        return Now(perf_counter() - self.start, question)

    def _stored(self, job: Job) -> Run | None:
        if self.store.done(job.trial, job.all_views, job.repeats):
            return self.store.get(job.trial)
        return self._left_unfinished(job)

    def _left_unfinished(self, job: Job) -> Run | None:
        """Return a slow first pass with rows left, where the question tells who answers more."""
        facts, name = self.scheduler.facts, job.trial.candidate
        paid = self.limits.money and name in facts.remote
        asks = self.measured is not None and self.limits.racing and not paid
        if not asks or job.part not in (FIRST_PASS, *ALWAYS) or name in facts.fast:
            return None
        run = self.store.get(job.trial)
        if run is None or run.error is not None or not run.unasked:
            return None
        return run if all((view, 0) in run.answers for view in job.all_views) else None

    def _report(self, ended: Sequence[tuple[Job, Run]]) -> None:
        for job, run in ended:
            self.watch(job, run)
            if self.measured is not None:
                self.measured.add(job, run)

    def _begin(self, request: GroupRequest) -> None:
        job = request.jobs[0]
        self.tell(request.why)
        if request.action != "run":
            if request.begins:
                self.watch(job, None)
            self.executor.submit(request)
            return
        rule = self.scheduler.facts.closed_book
        if rule is not None and (bounds := rule.bounds(job)):
            self.note(bounds)
        self.watch(job, None)
        start = perf_counter()
        try:
            with time_limit(request.pace.end if request.pace else inf):
                dollars = self._dollar_share(job)
        except (MoneySpent, TimeLimitReached) as end:  # while the price of a row was measured
            stop: Stop = "money" if isinstance(end, MoneySpent) else "time"
            self._take(GroupResult(number=request.number, stopped=stop))
        else:  # outside of that limit, which a thread of the executor would take over
            self.executor.submit(request.after(perf_counter() - start), dollars)

    def _dollar_share(self, job: Job) -> DollarShare | None:
        if not self.limits.money or job.part != FIRST_PASS or not names_endpoint(job.trial.params):
            return None
        return self.dollars.share_of(job, self.scheduler.later_first_passes(job))

    def _take(self, result: GroupResult) -> None:
        """Store what came of a request, and tell the scheduler what the store then holds."""
        if result.lost and (jobs := self.scheduler.hopeless(result.number)):
            error = f"Two workers could not run it: {result.lost}"
            failed = (Run(trial=job.trial, error=error, versions=versions()) for job in jobs)
            result = replace(result, runs=tuple((run, None) for run in failed))
        kept = tuple((self._store(run, traceback), None) for run, traceback in result.runs)
        for run, _ in kept:  # also the longer answers of a pass that goes on
            self.answered(run)
            if self.measured is not None:
                self.measured.extend(run)
        self._report(self.scheduler.on_result(replace(result, runs=kept)))

    def _store(self, run: Run, traceback: str | None) -> Run:
        """Store a run and return what the store then holds of its trial."""
        if self.store.add(run, traceback):
            return run
        if run.error is not None:
            self.scheduler.summary.failed_again[run.trial.candidate] = run.error
        return self.store.get(run.trial) or run

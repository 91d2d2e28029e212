"""Run requests: the only part of a run that holds fitted strategies.

A worker is this process, or an actor on another machine. It gets the labelled set once, runs one
request after another, and keeps a fit only where a request says so.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from functools import cached_property
from queue import SimpleQueue
from threading import Thread
from time import perf_counter

from choose.data.scenarios import Pools
from choose.errors import MoneySpent, StudyError
from choose.models.endpoints.command_session import current_session
from choose.models.environment_settings import cores
from choose.models.results.output_cache import caching
from choose.progress import TimeLimitReached, time_limit
from choose.run.predict_test_rows import Deadline, SpendingShare, predict_until
from choose.run.run_records import GroupRequest, GroupResult, Stop
from choose.run.speed_probe import probe
from choose.run.trial import Fitted, cached_seconds, fit_alone, run_trials, with_views
from choose.tasks.scoring import scored
from choose.types import Run


@dataclass
class Worker:
    """The labelled set, and fits that later requests go on with.

    Attributes:
        pools: the pools of the study.
        fits: trial key -> fit that a request asked to keep.
    """

    pools: Pools
    fits: dict[str, Fitted] = field(default_factory=dict)

    @cached_property
    def data(self) -> str:
        """The fingerprint of the labelled set, which takes a while to compute."""
        return self.pools.dataset.fingerprint

    def run_group(self, request: GroupRequest, dollars: SpendingShare | None = None) -> GroupResult:
        """Run a request to its end and return everything that came of it.

        Args:
            request: what to run.
            dollars: limits what is sent to endpoints; it refers to the ledger of this process.
        """
        parts = list(self.parts(request, dollars))
        runs = tuple(run for part in parts for run in part.runs)
        return replace(parts[-1], runs=runs, kept=tuple(key for part in parts for key in part.kept))

    def parts(
        self, request: GroupRequest, dollars: SpendingShare | None = None
    ) -> Generator[GroupResult]:
        """Yield a result for each run as it ends, then the last one, without a run.

        Raises:
            StudyError: if the worker holds another labelled set.
        """
        if request.data != self.data:
            raise StudyError(
                f"The request is about the labelled set {request.data}, and this worker holds "
                f"{self.data}. Start the workers anew with the study's data."
            )
        with _settings(request), caching() if request.cache else nullcontext():
            if request.action == "measure":
                yield self._probe(request)
            elif request.action in ("extend", "views"):
                yield self._go_on(request)
            else:
                yield from self._run(request, dollars)

    def _run(self, request: GroupRequest, dollars: SpendingShare | None) -> Iterator[GroupResult]:
        deadline, number = _deadline(request, dollars), request.number
        keys = [job.trial.key for job in request.jobs]
        fits = {key: fit for key in keys if (fit := self.fits.pop(key, None)) is not None}
        with time_limit(request.seconds):
            try:
                for run, traceback, fit in run_trials(request.jobs, self.pools, deadline, fits):
                    # What has no model says nothing of threads, and could use all of them.
                    run = replace(run, threads=run.threads or cores())
                    kept = self._keep(run, fit, request)
                    yield GroupResult(
                        number=number, runs=((run, traceback),), last=False, kept=kept
                    )
            except MoneySpent:
                yield GroupResult(number=number, stopped="money")
            except TimeLimitReached as end:
                yield GroupResult(number=number, stopped="time", needed=end.needed)
            else:
                yield GroupResult(number=number)

    def _probe(self, request: GroupRequest) -> GroupResult:
        (job,) = request.jobs
        try:
            begun = probe(job, self.pools, request.seconds)
        except Exception:
            return GroupResult(number=request.number)  # its trial will fail and record the error
        kept = tuple[str, ...]()
        if request.keep_fit and begun.fitted is not None:
            self.fits[job.trial.key], kept = begun.fitted, (job.trial.key,)
        return GroupResult(number=request.number, speed=begun.speed, kept=kept)

    def _go_on(self, request: GroupRequest) -> GroupResult:
        """Answer more test rows, or other views, of a trial that answered some."""
        (job,), earlier = request.jobs, request.earlier
        stopped: Exception | None = None
        assert earlier is not None
        fit = self.fits.pop(job.trial.key, None)
        try:
            with time_limit(request.seconds):
                if fit is None:  # another worker held it
                    fit = fit_alone(job, self.pools)
                    spent = (earlier.seconds_spent or 0.0) + fit.seconds
                    earlier = replace(earlier, seconds_spent=spent)
                run = _extended(earlier, fit, self.pools, request)
                if request.action == "views":
                    run, stopped = with_views(run, job, fit, self.pools)
        except Exception:
            return GroupResult(number=request.number)  # the earlier answers still count
        kept = self._keep(run, fit, request)
        ended: Stop = "money" if isinstance(stopped, MoneySpent) else "time" if stopped else ""
        return GroupResult(number=request.number, runs=((run, None),), kept=kept, stopped=ended)

    def _keep(self, run: Run, fit: Fitted | None, request: GroupRequest) -> tuple[str, ...]:
        """Keep a fit that a later request goes on with; return its key if it is kept."""
        wanted = request.keep_whole or (request.keep_fit and run.unasked)
        if fit is None or not wanted:
            return ()
        self.fits[run.trial.key] = fit
        return (run.trial.key,)


@contextmanager
def _settings(request: GroupRequest) -> Iterator[None]:
    """Apply the number type, threads and cache of a request, through the documented variables."""
    wanted: Mapping[str, object] = {
        "CHOOSE_DTYPE": request.dtype,
        "CHOOSE_THREADS": request.threads,
        "CHOOSE_CACHE": request.cache,
    }
    before = {name: os.environ.get(name) for name, value in wanted.items() if value is not None}
    os.environ.update({name: str(wanted[name]) for name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _deadline(request: GroupRequest, dollars: SpendingShare | None) -> Deadline | None:
    if (pace := request.pace) is None:
        return None
    now = perf_counter()
    return Deadline(now + pace.share, now + pace.end, pace.least, dollars)


def _extended(run: Run, fitted: Fitted, pools: Pools, request: GroupRequest) -> Run:
    """Return a first pass with answers to more of its test rows, if it has too few."""
    least = request.pace.least if request.pace else 0
    if request.action == "views" and (len(run.asked["clean", 0]) >= least or not run.unasked):
        return run
    strategy, dataset = fitted.strategy, pools.dataset
    questions = [dataset.examples[id].item() for id in pools.of(run.trial).questions]
    start, before = perf_counter(), cached_seconds(strategy)
    deadline = _deadline(request, None) or Deadline(least=0)
    answered, answers = predict_until(
        strategy, questions, dataset, deadline, run.answers["clean", 0]
    )
    spent = perf_counter() - start
    alone = spent + cached_seconds(strategy) - before
    longer = replace(
        run,
        answers={**run.answers, ("clean", 0): answers},
        asked={**run.asked, ("clean", 0): tuple(item.id for item in answered)},
        predict_seconds=(run.predict_seconds or 0.0) + alone,
        seconds_spent=(run.seconds_spent or 0.0) + spent,
        seconds_alone=None if run.seconds_alone is None else run.seconds_alone + alone,
        unasked=len(questions) - len(answered),
    )
    return scored(longer, dataset)


class ThreadExecutor:
    """Runs requests one after another in a thread, so that the caller can wait for others too."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._todo: SimpleQueue[tuple[Context, GroupRequest, SpendingShare | None] | None]
        self._todo, self._done = SimpleQueue(), SimpleQueue[GroupResult | BaseException]()
        self._thread: Thread | None = None
        self._under_way = 0

    @property
    def busy(self) -> bool:
        """Return whether a request waits or is under way."""
        return self._under_way > 0

    def submit(self, request: GroupRequest, dollars: SpendingShare | None = None) -> None:
        """Take a request; it runs in the context of the caller: its session and its limits."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name="choose-endpoints", daemon=True)
            self._thread.start()
        self._under_way += 1
        self._todo.put((copy_context(), request, dollars))

    def ready(self) -> list[GroupResult]:
        """Return what has come since the last call.

        Raises:
            BaseException: what a request raised.
        """
        found = list[GroupResult]()
        while not self._done.empty():
            result = self._done.get()
            if isinstance(result, BaseException):
                raise result
            self._under_way -= result.last
            found.append(result)
        return found

    def close(self) -> None:
        """Begin no further request; what is under way sends nothing more to endpoints."""
        if self.busy:
            current_session().stop()
        self._todo.put(None)

    def _work(self) -> None:
        while (item := self._todo.get()) is not None:
            context, request, dollars = item
            try:
                context.run(self._run, request, dollars)
            except BaseException as error:
                self._done.put(error)

    def _run(self, request: GroupRequest, dollars: SpendingShare | None) -> None:
        for result in self._worker.parts(request, dollars):
            self._done.put(result)


@dataclass
class LocalExecutor:
    """Runs requests one after another in this process, while their results are waited for."""

    worker: Worker
    _waiting: deque[tuple[GroupRequest, SpendingShare | None]] = field(default_factory=deque)

    @property
    def free(self) -> int:
        """Return 1 while nothing waits, else 0."""
        return 0 if self._waiting else 1

    def submit(self, request: GroupRequest, dollars: SpendingShare | None = None) -> None:
        """Take a request, with the dollars that it may spend at endpoints."""
        self._waiting.append((request, dollars))

    def results(self) -> Generator[GroupResult]:
        """Run what waits, and yield each run as it ends."""
        while self._waiting:
            yield from self.worker.parts(*self._waiting.popleft())

    def close(self) -> None:
        """Forget what waits, and the fits that were kept."""
        self._waiting.clear()
        self.worker.fits.clear()

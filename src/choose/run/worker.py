"""Run requests: the only part of a run that holds fitted strategies.

A worker is this process, or an actor on another machine. It gets the labelled set once and runs one
request after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from threading import Thread
from time import perf_counter

from choose.data.scenarios import Pools
from choose.engines.environment_settings import cores
from choose.errors import MoneySpent
from choose.models.endpoints.command_session import current_session
from choose.progress import TimeLimitReached, time_limit
from choose.run.records import GroupRequest, GroupResult
from choose.run.trial import Fitted, run_trials
from choose.types import STANDARD, Run


@dataclass
class Worker:
    """The labelled set, and the newest fit of each candidate in each fold.

    Attributes:
        pools: the pools of the study.
        fits: trial key -> fit, which later requests of the trial go on with.
    """

    pools: Pools
    fits: dict[str, Fitted] = field(default_factory=dict)
    _newest: dict[tuple[str, int], str] = field(default_factory=dict)

    def run_group(self, request: GroupRequest) -> GroupResult:
        """Run a request to its end and return everything that came of it."""
        parts = list(self.parts(request))
        runs = tuple(run for part in parts for run in part.runs)
        return replace(parts[-1], runs=runs, kept=tuple(key for part in parts for key in part.kept))

    def parts(self, request: GroupRequest) -> Generator[GroupResult]:
        """Yield a result for each run as it ends, then the last one, without a run."""
        number = request.number
        end = perf_counter() + min(request.seconds, request.answer_seconds)
        fits = {key: self.fits[key] for key in request.keys if key in self.fits}
        with time_limit(request.seconds):
            try:
                for run, traceback, fit in run_trials(
                    request.jobs,
                    self.pools,
                    end=end,
                    fit_seconds=request.fit_seconds,
                    fits=fits,
                    earlier=request.earlier,
                ):
                    # What has no model says nothing of threads, and could use all of them.
                    run = replace(run, threads=run.threads or cores())
                    kept = self._keep(run, fit)
                    yield GroupResult(
                        number=number, runs=((run, traceback),), last=False, kept=kept
                    )
            except MoneySpent:
                yield GroupResult(number=number, stopped="money")
            except TimeLimitReached as end_of_time:
                yield GroupResult(number=number, stopped="time", needed=end_of_time.needed)
            else:
                yield GroupResult(number=number)

    def _keep(self, run: Run, fit: Fitted | None) -> tuple[str, ...]:
        """Keep a fit of the comparison in place of an older one of its candidate and fold."""
        trial = run.trial
        if fit is None or trial.scenario != STANDARD or trial.variant or trial.draw:
            return ()
        place = trial.candidate, trial.fold
        if self._newest.get(place) != trial.key:
            self.fits.pop(self._newest.get(place, ""), None)
            self._newest[place] = trial.key
        self.fits[trial.key] = fit
        return (trial.key,)


class ThreadExecutor:
    """Runs requests one after another in a thread, so that the caller can wait for others too."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._todo: SimpleQueue[tuple[Context, GroupRequest, float] | None]
        self._todo, self._done = SimpleQueue(), SimpleQueue[GroupResult | BaseException]()
        self._thread: Thread | None = None
        self._under_way = 0

    @property
    def busy(self) -> bool:
        return self._under_way > 0

    def submit(self, request: GroupRequest) -> None:
        """Take a request; it runs in the context of the caller: its session and its limits."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name="choose-endpoints", daemon=True)
            self._thread.start()
        self._under_way += 1
        self._todo.put((copy_context(), request, perf_counter()))

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
            context, request, came = item
            try:
                context.run(self._run, request.after(perf_counter() - came))
            except BaseException as error:
                self._done.put(error)

    def _run(self, request: GroupRequest) -> None:
        for result in self._worker.parts(request):
            self._done.put(result)


@dataclass
class LocalExecutor:
    """Runs requests one after another in this process, while their results are waited for."""

    worker: Worker
    _waiting: deque[GroupRequest] = field(default_factory=deque)

    @property
    def free(self) -> int:
        """Return 1 while nothing waits, else 0."""
        return 0 if self._waiting else 1

    def submit(self, request: GroupRequest) -> None:
        """Take a request."""
        self._waiting.append(request)

    def results(self) -> Generator[GroupResult]:
        """Run what waits, and yield each run as it ends."""
        while self._waiting:
            yield from self.worker.parts(self._waiting.popleft())

    def close(self) -> None:
        """Forget what waits, and the fits that were kept."""
        self._waiting.clear()
        self.worker.fits.clear()

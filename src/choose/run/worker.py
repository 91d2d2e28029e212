"""Run requests: the only part of a run that holds fitted strategies.

A worker is this process, or an actor on another machine. It gets the labelled set once and runs one
request after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from threading import Lock, Thread
from time import perf_counter

from choose.data.scenarios import Pools
from choose.engines.environment_settings import cores
from choose.errors import MoneySpent
from choose.models.endpoints.command_session import current_session
from choose.progress import TimeLimitReached, time_limit
from choose.run.trial import Fitted, run_trials
from choose.run.worker_messages import GroupRequest, GroupResult
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
    """Runs requests one after another in threads, so that the caller can wait for others too."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._turn = worker, Lock()
        self._done = SimpleQueue[GroupResult | BaseException]()
        self._under_way, self._closed = 0, False

    @property
    def busy(self) -> bool:
        return self._under_way > 0

    def submit(self, request: GroupRequest) -> None:
        """Take a request; it runs in the context of the caller: its session and its limits."""
        self._under_way += 1
        run, came = copy_context().run, perf_counter()
        Thread(target=run, args=(self._run, request, came), daemon=True).start()

    def ready(self) -> list[GroupResult]:
        """Return what has come since the last call.

        Raises:
            BaseException: what a request raised.
        """
        results = list[GroupResult]()
        while not self._done.empty():
            result = self._done.get()
            if isinstance(result, BaseException):
                raise result
            self._under_way -= result.last
            results.append(result)
        return results

    def close(self) -> None:
        """Begin no further request; what is under way sends nothing more to endpoints."""
        self._closed = True
        if self.busy:
            current_session().stop()

    def _run(self, request: GroupRequest, came: float) -> None:
        try:
            with self._turn:
                if not self._closed:
                    for result in self._worker.parts(request.after(perf_counter() - came)):
                        self._done.put(result)
        except BaseException as error:
            self._done.put(error)


@dataclass
class LocalExecutor:
    """Runs requests one after another in this process, while their results are waited for."""

    worker: Worker
    _waiting: deque[GroupRequest] = field(default_factory=deque)

    @property
    def free(self) -> int:
        return 0 if self._waiting else 1

    def submit(self, request: GroupRequest) -> None:
        self._waiting.append(request)

    def results(self) -> Generator[GroupResult]:
        while self._waiting:
            yield from self.worker.parts(self._waiting.popleft())

    def close(self) -> None:
        """Forget what waits, and the fits that were kept."""
        self._waiting.clear()
        self.worker.fits.clear()

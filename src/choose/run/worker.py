"""Run requests: the only part of a run that holds fitted strategies.

A worker is this process, or an actor on another machine. It gets the labelled set once, runs one
request after another, and keeps a fit only where a request says so.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter

from choose.data.scenarios import Pools
from choose.engines.environment_settings import cores
from choose.engines.output_cache import caching
from choose.errors import MoneySpent, StudyError
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

    @cached_property
    def data(self) -> str:
        """The fingerprint of the labelled set, which takes a while to compute."""
        return self.pools.dataset.fingerprint

    def run_group(self, request: GroupRequest) -> GroupResult:
        """Run a request to its end and return everything that came of it."""
        parts = list(self.parts(request))
        runs = tuple(run for part in parts for run in part.runs)
        return replace(parts[-1], runs=runs, kept=tuple(key for part in parts for key in part.kept))

    def parts(self, request: GroupRequest) -> Generator[GroupResult]:
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
            yield from self._run(request)

    def _run(self, request: GroupRequest) -> Iterator[GroupResult]:
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

"""Run requests: the only part of a run that holds fitted strategies.

A worker is this process, or an actor on another machine. It gets the labelled set once and runs one
request after another. What it is sent and sends back, and who is told of it, comes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from threading import Lock, Thread
from time import perf_counter
from typing import Literal, Protocol

from choose.data.scenarios import Pools
from choose.engines.environment_settings import cores
from choose.errors import MoneySpent
from choose.models.endpoints.request_session import current_session
from choose.progress import TimeLimitReached, time_limit
from choose.run.trial import UNLIMITED, Fitted, Limits, run_trials
from choose.schema.plan import Job, LeftOut, Reach, Round, Standing, Traffic
from choose.strategy import find
from choose.types import STANDARD, Dataset, Run

# Why a request ended before all its jobs were done.
Stop = Literal["", "time", "money"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRequest:
    """Jobs of one candidate that a worker runs together.

    Attributes:
        number: identifies the request in its results.
        jobs: what to run; several are of one strategy, and fitted together where it can.
        limits: of seconds; after all, work stops at its next report of progress.
        earlier: by trial key, the runs to go on with: rows and views that they answer are kept.
        first: what time decided in the candidate's first fit on as many rows, made alike by all;
            None before it.
        anew: whether to fit again, in more steps than those that `earlier` runs had time for.
        pace: seconds of an answer after an earlier fit of the candidate; 0 before the first.
    """

    number: int
    jobs: tuple[Job, ...]
    limits: Limits = UNLIMITED
    earlier: Mapping[str, Run] = field(default_factory=dict)
    first: Mapping[str, float] | None = None
    anew: bool = False
    pace: float = 0.0

    @property
    def candidate(self) -> str:
        return self.jobs[0].trial.candidate

    @property
    def keys(self) -> set[str]:
        return {job.trial.key for job in self.jobs}

    def after(self, waited: float) -> GroupRequest:
        """Return the request with the seconds that it has waited taken off its limits."""
        return replace(self, limits=Limits(*(max(0.0, own - waited) for own in self.limits)))


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """What came of a request, or of a part of it.

    Attributes:
        number: of the request.
        runs: runs with the traceback of a strategy that raised.
        stopped: why jobs were not done; empty where they were, or failed.
        needed: forecast seconds of a fit that was stopped; None where none was, or it is unknown.
        last: whether nothing more comes for this request.
        kept: keys of the trials whose fits stay with the worker.
        lost: why the worker ended without an answer, such as too little memory; empty otherwise.
    """

    number: int
    runs: tuple[tuple[Run, str | None], ...] = ()
    stopped: Stop = ""
    needed: float | None = None
    last: bool = True
    kept: tuple[str, ...] = ()
    lost: str = ""


class Executor(Protocol):
    """Runs requests, in this process or elsewhere; it decides nothing and writes nothing."""

    @property
    def free(self) -> int:
        """Return how many further requests could begin at once."""

    def submit(self, request: GroupRequest) -> None:
        """Take a request; return before it is done, or even begun."""

    def results(self) -> Generator[GroupResult]:
        """Yield what has come since the last call; wait for the first if requests are under way.

        A request that a worker did not survive yields a result with `lost`. An interruption by the
        user (KeyboardInterrupt) propagates.
        """

    def close(self) -> None:
        """Stop all requests and free the workers; nothing of them is yielded any more."""


class Observer(Protocol):
    """Receives the events of a run."""

    def sending(self, traffic: Traffic) -> None:
        """Handle that requests will go to endpoints; `traffic` counts them as they go."""
        return

    def noted(self, sentences: Sequence[str]) -> None:
        """Handle what was remarkable in reading the rows, or is known before fine-tuning begins."""
        return

    def planned(
        self,
        dataset: Dataset,
        rounds: Sequence[Round],
        refusals: Sequence[LeftOut],
        budget: float | None,
        reach: Reach,
    ) -> None:
        """Handle the plan, before anything runs, with what the budget should reach."""
        return

    def job(self, job: Job, run: Run | None) -> None:
        """Handle the start of a job (no run) or its end; a later round may go on with its run."""
        return

    def standing(self, standing: Standing) -> None:
        """Handle what is known after a round, and once every family has answered."""
        return


class Silent(Observer):
    """Ignores every event."""


@dataclass
class Worker:
    """The labelled set, and by trial key the newest fits: of cheap candidates one of each pool."""

    pools: Pools
    fits: dict[str, Fitted] = field(default_factory=dict)
    _newest: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def run_group(self, request: GroupRequest) -> GroupResult:
        """Run a request to its end and return everything that came of it."""
        parts = list(self.parts(request))
        runs = tuple(run for part in parts for run in part.runs)
        return replace(parts[-1], runs=runs, kept=tuple(key for part in parts for key in part.kept))

    def parts(self, request: GroupRequest) -> Generator[GroupResult]:
        """Yield a result for each run as it ends, then the last one, without a run."""
        limits = request.limits
        end = perf_counter() + min(limits.all, limits.answers)
        fits = {} if request.anew else {k: self.fits[k] for k in request.keys if k in self.fits}
        with time_limit(limits.all):
            try:
                for run, traceback, fit in run_trials(
                    request.jobs,
                    self.pools,
                    end=end,
                    limits=limits,
                    fits=fits,
                    earlier={} if request.anew else request.earlier,
                    pace=request.pace,
                    first=request.first,
                ):
                    # What has no model says nothing of threads, and could use all of them.
                    run = replace(run, threads=run.threads or cores())
                    before = request.earlier.get(run.trial.key)
                    kept = self._keep(run, fit) if not before or run.replaces(before) else ()
                    yield GroupResult(
                        number=request.number, runs=((run, traceback),), last=False, kept=kept
                    )
            except MoneySpent:
                yield GroupResult(number=request.number, stopped="money")
            except TimeLimitReached as end_of_time:
                yield GroupResult(number=request.number, stopped="time", needed=end_of_time.needed)
            else:
                yield GroupResult(number=request.number)

    def _keep(self, run: Run, fit: Fitted | None) -> tuple[str, ...]:
        """Keep a fit of the comparison in place of an older one of its candidate and fold.

        What is cheap answers after earlier pools, too, as often as slow candidates do.
        """
        trial = run.trial
        if fit is None or trial.scenario != STANDARD or trial.variant or trial.draw:
            return ()
        cheap = find(trial.strategy).cheap
        place = trial.candidate, trial.fold, trial.train_size if cheap else 0
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

"""What workers are sent and send back, and who is told of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal, Protocol

from choose.schema.plan import Job, LeftOut, Reach, Round, Standing, Traffic
from choose.types import Dataset, Run

# Why a request ended before all its jobs were done.
Stop = Literal["", "time", "money"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRequest:
    """Jobs of one candidate that a worker runs together.

    Attributes:
        number: identifies the request in its results.
        jobs: what to run; several are of one strategy, and fitted together where it can.
        seconds: after which work stops at its next report of progress.
        fit_seconds: after which a fit should have ended: it makes fewer steps where it would not.
        answer_seconds: after which no more rows are begun; a few are answered in any case.
        earlier: by trial key, the runs to go on with: rows and views that they answer are kept.
    """

    number: int
    jobs: tuple[Job, ...]
    seconds: float = inf
    fit_seconds: float = inf
    answer_seconds: float = inf
    earlier: Mapping[str, Run] = field(default_factory=dict)

    @property
    def candidate(self) -> str:
        return self.jobs[0].trial.candidate

    @property
    def keys(self) -> set[str]:
        return {job.trial.key for job in self.jobs}

    def after(self, waited: float) -> GroupRequest:
        """Return the request with the seconds that it has waited taken off its limits."""
        limits = ("seconds", "fit_seconds", "answer_seconds")
        left = {name: max(0.0, getattr(self, name) - waited) for name in limits}
        return replace(self, **left)


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

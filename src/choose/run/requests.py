"""What travels between the process that plans a study and those that run its trials.

A request holds everything that a worker needs besides the labelled set, which it gets once and
refers to by its fingerprint. Both directions can be pickled: no clock readings, no open files, no
ledger. Times are seconds from the moment at which a worker begins.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from math import inf
from typing import Literal, Protocol

from choose.run.predict import MIN_ROWS, SpendingShare
from choose.run.speed_probe import Speed
from choose.schema.plan import Job
from choose.types import Run

# What a worker does: run the jobs; begin the first one to measure its speed; or answer more test
# rows of a first pass that stopped early.
Action = Literal["run", "measure", "extend"]

# Why a request ended before all its jobs were done.
Stop = Literal["", "time", "money"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When to stop answering clean rows, in seconds from the start of the request.

    Attributes:
        share: when the candidate's share of the time ends.
        end: when the budget of the study ends.
        least: rows to answer even after the share has ended.
    """

    share: float = inf
    end: float = inf
    least: int = MIN_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRequest:
    """Jobs of one candidate that a worker runs together.

    Attributes:
        number: identifies the request in its results.
        jobs: what to run; `measure` and `extend` take one.
        data: fingerprint of the labelled set, which the worker holds.
        action: what to do with the jobs.
        seconds: after which work stops at its next report of progress; of a probe, the seconds for
            its fit and again for its predictions.
        pace: when to stop answering clean rows; None answers all of them at once.
        keep_fit: whether a fit stays with the worker if it leaves clean rows unanswered, or ends
            within a probe, for a later request of the same trial.
        earlier: the run to `extend`.
        dtype: number type of models; None leaves it to the worker's environment, as the next two.
        threads: threads of models.
        cache: folder for weights and results.
        why: what the answers decide, in words for the user; empty where it is not known.
    """

    number: int
    jobs: tuple[Job, ...]
    data: str
    action: Action = "run"
    seconds: float = inf
    pace: Pace | None = None
    keep_fit: bool = False
    earlier: Run | None = None
    dtype: str | None = None
    threads: int | None = None
    cache: str | None = None
    why: str = ""

    @property
    def candidate(self) -> str:
        """Return the candidate whose jobs these are."""
        return self.jobs[0].trial.candidate

    def after(self, waited: float) -> GroupRequest:
        """Return the request with the seconds that it has waited taken off its limits."""
        pace = self.pace
        if pace is not None:
            pace = replace(pace, share=pace.share - waited, end=pace.end - waited)
        # Those of a measurement are for its work alone.
        seconds = self.seconds if self.action == "measure" else max(0.0, self.seconds - waited)
        return replace(self, pace=pace, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """What came of a request, or of a part of it.

    Attributes:
        number: of the request.
        runs: finished runs, each with the traceback of a strategy that raised.
        stopped: why jobs without a run were not done; empty where they failed or none is missing.
        last: whether nothing more comes for this request.
        speed: of a probe; None where its strategy raised.
        kept: keys of the trials whose fits stay with the worker.
        lost: why the worker ended without an answer, such as too little memory; empty otherwise.
        worker: which worker it was, in words; empty for this process.
    """

    number: int
    runs: tuple[tuple[Run, str | None], ...] = ()
    stopped: Stop = ""
    last: bool = True
    speed: Speed | None = None
    kept: tuple[str, ...] = ()
    lost: str = ""
    worker: str = ""


class Executor(Protocol):
    """Runs requests, in this process or elsewhere; it decides nothing and writes nothing."""

    @property
    def free(self) -> int:
        """Return how many further requests could begin at once."""

    def submit(self, request: GroupRequest, dollars: SpendingShare | None = None) -> None:
        """Take a request, with the dollars that it may spend at endpoints.

        Returns before it is done, or even begun.
        """

    def results(self) -> Generator[GroupResult]:
        """Yield what has come since the last call; wait for the first if requests are under way.

        A request that a worker did not survive yields a result with `lost`. An interruption by the
        user (KeyboardInterrupt) propagates.
        """

    def close(self) -> None:
        """Stop all requests and free the workers; nothing of them is yielded any more."""

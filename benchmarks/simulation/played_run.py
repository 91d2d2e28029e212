"""Play a run without running a trial: the real scheduler, a clock that jumps, and given answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from choose.run.run_records import GroupRequest, GroupResult
from choose.run.scheduling.next_trial import Now
from choose.run.scheduling.scheduler import Scheduler
from choose.schema.plan import Job
from choose.types import Run

# What a worker would answer, and how many seconds it would take.
Answer = Callable[[GroupRequest], tuple[GroupResult, float]]


@dataclass(frozen=True, slots=True)
class Step:
    """A request that ended: when, what came of it, and the jobs that ended with it."""

    elapsed: float
    request: GroupRequest
    result: GroupResult
    ended: list[tuple[Job, Run]]


def play(
    scheduler: Scheduler, answer: Answer, workers: int = 1, now: Callable[[float], Now] = Now
) -> Iterator[Step]:
    """Yield every request as it ends on one of the workers, until nothing is left to do.

    Args:
        scheduler: of the run.
        answer: what comes of a request.
        workers: how many requests run at once.
        now: what the scheduler is told at a moment.
    """
    elapsed, flying, ties = 0.0, list[tuple[float, int, GroupRequest, GroupResult]](), count()
    while True:
        for request in scheduler.next(now(elapsed), workers - len(flying)):
            result, seconds = answer(request)
            heappush(flying, (elapsed + seconds, next(ties), request, result))
        if not flying:
            return
        elapsed, _, request, result = heappop(flying)
        yield Step(elapsed, request, result, scheduler.on_result(result))

"""Which trials are learnt side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from choose.strategy import Groups, find
from choose.study.grid import Job

# Trials learnt side by side; more would save little and risk more at an interruption.
MOST_TOGETHER = 10


def beside(jobs: Sequence[Job], done: Callable[[Job], bool], most: float) -> list[Job]:
    """Return the first job, and those right after it that can be learnt beside it, at most `most`.

    The first is always among them.
    """
    first = jobs[0]
    if not issubclass(find(first.trial.strategy), Groups):
        return [first]
    found: list[Job] = []
    keys: set[str] = set()
    for job in jobs:
        if _kind(job) != _kind(first) or job.trial.key in keys or done(job):
            break
        found.append(job)
        keys.add(job.trial.key)
    return found[: max(1, int(min(MOST_TOGETHER, most)))]


def _kind(job: Job) -> tuple[str, str, str]:
    return job.trial.candidate, job.trial.strategy, job.part

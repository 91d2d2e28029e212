"""The jobs of a run that have not begun, in the order in which they were planned."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count

from choose.schema.plan import Job
from choose.types import Run


class WaitingJobs:
    """Jobs by their place in the order, and the answers that are there already.

    Several jobs may need the same trial: one that adds views, or another candidate's.

    Attributes:
        at: the jobs by place, in order.
        lost: trial key -> how often a worker did not survive it.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.at: dict[int, Job] = {}
        self.lost: Counter[str] = Counter()
        self._places = count()
        self._same: dict[str, list[int]] = defaultdict(list)
        self._answered: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for job in jobs:
            self.append(job)

    @property
    def first(self) -> int | None:
        """Return the first place where a job waits."""
        return next(iter(self.at), None)

    def append(self, job: Job) -> None:
        """Let a job wait after all others."""
        place = next(self._places)
        self.at[place] = job
        self._same[job.trial.key].append(place)

    def put_back(self, jobs: Sequence[tuple[int, Job]]) -> None:
        """Let jobs wait again in their places, because their worker did not survive them."""
        self.at = dict(sorted([*self.at.items(), *jobs]))
        self.lost.update(job.trial.key for _, job in jobs)

    def exchange(self, jobs: Sequence[Job]) -> None:
        """Put some waiting jobs, in this order, into the places that they have now."""
        places = [place for place, job in self.at.items() if job in jobs]
        self.at.update(zip(places, jobs, strict=True))

    def take_batch(self, place: int, most: int, barred: Callable[[Job], bool]) -> dict[int, Job]:
        """Take a job and those right after it of the same candidate and part, at most `most`.

        A trial that is among them already, or is `barred`, ends the batch. One that a worker did
        not survive is a batch alone: together they may take too much memory.
        """
        first = self.at.pop(place)
        batch, keys = {place: first}, {first.trial.key}
        most = 1 if self.lost[first.trial.key] else most
        for number, job in self.at.items():
            if number < place:
                continue
            same = (job.trial.candidate, job.part) == (first.trial.candidate, first.part)
            if not same or len(batch) >= most or job.trial.key in keys or barred(job):
                break
            if self.lost[job.trial.key]:
                break
            batch[number] = job
            keys.add(job.trial.key)
        for number in batch.keys() & self.at.keys():
            del self.at[number]
        return batch

    def served(self, run: Run) -> list[tuple[Job, Run]]:
        """Take and return the jobs that a run answers as well, each with the run as its own."""
        if run.error is not None or run.unasked:
            return []
        self._answered[run.trial.key] |= run.answers.keys()
        places = [p for p in self._same[run.trial.key] if p in self.at and self.answers(self.at[p])]
        jobs = [self.at.pop(place) for place in places]
        return [(job, replace(run, trial=job.trial)) for job in jobs]

    def answers(self, job: Job) -> bool:
        """Return whether its trial has answered all that a job asks."""
        wanted = {(view, 0) for view in job.all_views}
        wanted |= {("clean", repeat) for repeat in range(job.repeats)}
        return self._answered[job.trial.key] >= wanted

"""How candidates stand while a study runs: what a trial takes, and whether more are worth it."""

from __future__ import annotations

from dataclasses import dataclass, field

from choose.run.racing import Race
from choose.strategy import find
from choose.study.grid import Job
from choose.study.points import FIRST_PASS
from choose.types import Run


@dataclass
class Standing:
    """Candidates by what their trials have shown, those of earlier commands included.

    Attributes:
        race: who is out, as far as candidates are raced.
        racing: whether they are.
        cost: seconds that a whole trial took lately, by candidate.
        failed: who has had a trial that failed.
        worked: who has had one that did not.
        spared: trials that were not run because their candidate was out.
    """

    race: Race
    racing: bool
    cost: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    worked: set[str] = field(default_factory=set)
    spared: dict[str, list[Job]] = field(default_factory=dict)

    def add(self, job: Job, run: Run, earlier: bool = False) -> list[Job]:
        """Take note of a run; return what was spared of candidates that are in again for it.

        One of an `earlier` command may have loaded and embedded what is here by now: half counts.
        """
        name, again = run.trial.candidate, []
        cost = whole_cost(run) * (0.5 if earlier else 1.0)
        self.cost[name] = max(cost, 0.5 * self.cost.get(name, 0.0))
        (self.failed if run.error else self.worked).add(name)
        if run.error or job.part == FIRST_PASS:
            for freed in self.race.add(run):
                again += self.spared.pop(freed, [])
        return again

    def hopeless(self, job: Job) -> bool:
        """Return whether a trial is not worth its time: its candidate only fails, or is out."""
        dear = not find(job.trial.strategy).cheap
        return self.only_fails(job) or (
            self.racing and dear and self.race.drop(job.trial.candidate)
        )

    def only_fails(self, job: Job) -> bool:
        """Return whether a trial's candidate has only failed so far, and so has said it all."""
        return job.trial.candidate in self.failed - self.worked

    def spare(self, job: Job) -> None:
        """Remember a trial that is not run because its candidate is out."""
        self.spared.setdefault(job.trial.candidate, []).append(job)


def whole_cost(run: Run) -> float:
    """Return the seconds that a trial takes when all its questions are asked."""
    spent, asked = run.seconds_spent or 0.0, len(run.asked.get(("clean", 0), ()))
    asking = min(run.predict_seconds or 0.0, spent)
    return spent + asking * run.unasked / asked if asked else spent

"""Count, while a study runs, what each candidate got right so far; provisional by nature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from choose.types import Dataset, Run, Trial

CLEAN = ("clean", 0)


class Planned(Protocol):
    """A job of the grid, as far as a watcher needs to know it."""

    @property
    def trial(self) -> Trial:
        """Return the trial."""

    @property
    def part(self) -> str:
        """Return which part of the study the job belongs to."""


@dataclass
class Standing:
    """The first pass of one candidate: how much of it has ended, and how well it went."""

    name: str
    part: str
    planned: int = 0
    ended: int = 0
    failed: int = 0
    right: int = 0
    rows: int = 0
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Return whether every planned job of the first pass has ended."""
        return self.ended >= self.planned

    @property
    def accuracy(self) -> float | None:
        """Return the raw share of right answers so far, or None before the first answer."""
        return self.right / self.rows if self.rows else None


@dataclass
class Standings:
    """The first passes of all candidates, in the order in which they were planned."""

    targets: Mapping[str, str]
    of: dict[str, Standing] = field(default_factory=dict)

    @classmethod
    def planned(cls, dataset: Dataset, jobs: Iterable[Planned]) -> Standings:
        """Lay out an empty standing for each candidate: its first part is its first pass."""
        standings = cls({id: example.target for id, example in dataset.examples.items()})
        for job in jobs:
            name = job.trial.candidate
            standing = standings.of.setdefault(name, Standing(name, job.part))
            standing.planned += job.part == standing.part
        return standings

    def add(self, job: Planned, run: Run) -> Standing | None:
        """Count a run in; return the standing if the run belongs to a first pass."""
        standing = self.of.get(job.trial.candidate)
        if standing is None or job.part != standing.part:
            return None
        standing.ended += 1
        standing.failed += run.error is not None
        standing.seconds += run.seconds_spent or 0.0
        if run.error is None and CLEAN in run.answers:
            outputs, asked = run.answers[CLEAN].outputs, run.asked[CLEAN]
            standing.rows += len(asked)
            standing.right += sum(
                output == self.targets.get(id) for id, output in zip(asked, outputs, strict=True)
            )
        return standing

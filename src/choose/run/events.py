"""What a run came to: what was left out, and why, as sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from choose.models.endpoints.session import Traffic
from choose.study.grid import Job
from choose.types import Dataset, Run


class Observer(Protocol):
    """Hears what happens while a study runs."""

    def sending(self, traffic: Traffic) -> None:
        """Requests will go to endpoints; `traffic` counts them as they do."""

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Job],
        refusals: Sequence[str],
        budget: float | None,
    ) -> None:
        """The grid stands; nothing has run yet."""

    def job(self, job: Job, run: Run | None) -> None:
        """A job starts (no run) or has ended."""


class Silent:
    """Hears and says nothing."""

    def sending(self, traffic: Traffic) -> None:
        """Ignore the traffic."""

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Job],
        refusals: Sequence[str],
        budget: float | None,
    ) -> None:
        """Ignore the plan."""

    def job(self, job: Job, run: Run | None) -> None:
        """Ignore the job."""


@dataclass
class RunSummary:
    """What was not run, who was dropped and why, and whether the user stopped it.

    `stopped` is what was still to come when the user stopped it. `skipped` are trials of a
    candidate that had only failed; `failed_again` is what went wrong in a second attempt at a
    trial, whose first one stands. `unasked` counts the first-pass rows that a candidate's share of
    the budget did not reach; `unpaid` is what the limit of dollars left; `too_long` are seconds
    that one fit was forecast to take where that was far more than was left, so that it was not
    begun.
    """

    left_out: list[Job] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    unpaid: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed_again: dict[str, str] = field(default_factory=dict)
    unasked: Counter[str] = field(default_factory=Counter)
    too_long: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    money: bool = False
    seconds: float = 0.0


def left_out_sentences(outcome: RunSummary) -> list[str]:
    """Say by candidate what was planned and not run, and why."""
    dropped = [f"{candidate}: {reason}." for candidate, reason in outcome.dropped.items()]
    cut = [
        f"{candidate}: {n} rows of its first pass were not asked: its share of the budget"
        f"{' or of --max-usd' if outcome.money else ''} was used up. Whoever is asked fewer rows "
        "is compared on those."
        for candidate, n in outcome.unasked.items()
        if n
    ]
    unpaid = "--max-usd was used up; run again with more to go on, nothing is paid for twice"
    long = [
        f"{candidate}: one fit would take about {seconds:,.0f} s, far more than was left of "
        "the budget."
        for candidate, seconds in outcome.too_long.items()
    ]
    again = [
        f"{candidate}: a second attempt at a trial failed ({error}); what the first one answered "
        "counts."
        for candidate, error in outcome.failed_again.items()
    ]
    left = [
        *_by_candidate(outcome.skipped, "it had only failed until then"),
        *_by_candidate(outcome.left_out, "the budget was used up"),
        *_by_candidate(outcome.stopped, "stopped by you"),
        *_by_candidate(outcome.unpaid, unpaid),
    ]
    return [*dropped, *cut, *long, *again, *left]


def _by_candidate(jobs: Sequence[Job], why: str) -> list[str]:
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        counts.setdefault(job.trial.candidate, Counter())[job.part] += 1
    return [
        f"{candidate}: {', '.join(_trials(part, n) for part, n in parts.items())}: {why}."
        for candidate, parts in counts.items()
    ]


def _trials(part: str, count: int) -> str:
    return f"{part} ({count} {'trial' if count == 1 else 'trials'})"

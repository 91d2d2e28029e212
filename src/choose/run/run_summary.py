"""What a run left out: trials that did not run, and the sentences that say why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from choose.formatting import plural
from choose.schema.plan import Job


@dataclass
class RunSummary:
    """Trials that did not run, and why.

    Attributes:
        left_out: jobs that did not fit into the time budget.
        stopped: jobs that were still to come when the user stopped the run.
        unpaid: jobs that did not fit into --max-usd.
        skipped: jobs of candidates whose earlier trials all failed.
        failed_again: candidate -> error of a second attempt; the first attempt counts.
        unasked: candidate -> test rows of its first pass without an answer.
        too_long: candidate -> forecast seconds of a fit that the remaining time could not hold.
        dropped: candidate -> why it left the race.
        limited_dollars: whether --max-usd was set.
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
    limited_dollars: bool = False
    seconds: float = 0.0


def left_out_sentences(summary: RunSummary) -> list[str]:
    """Say by candidate what was planned and not run, and why."""
    or_dollars = " or of --max-usd" if summary.limited_dollars else ""
    return [
        *(f"{candidate}: {reason}." for candidate, reason in summary.dropped.items()),
        *(
            f"{candidate}: its first pass left {plural(n, 'test row')} unanswered: it ran out of "
            f"time{or_dollars}. Candidates are compared on the rows both answered."
            for candidate, n in summary.unasked.items()
            if n
        ),
        *(
            f"{candidate}: one fit would take about {seconds:,.0f} s, far more than the remaining "
            "budget."
            for candidate, seconds in summary.too_long.items()
        ),
        *(
            f"{candidate}: a second attempt at a trial failed ({error}); the answers of the first "
            "attempt count."
            for candidate, error in summary.failed_again.items()
        ),
        *_by_candidate(summary.skipped, "all its trials until then had failed"),
        *_by_candidate(summary.left_out, "the budget was used up"),
        *_by_candidate(summary.stopped, "stopped by you"),
        *_by_candidate(
            summary.unpaid,
            "--max-usd was used up; run again with a higher limit to continue, no answer is paid "
            "for twice",
        ),
    ]


def _by_candidate(jobs: Sequence[Job], why: str) -> list[str]:
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        counts.setdefault(job.trial.candidate, Counter())[job.part] += 1
    return [
        f"{candidate}: {', '.join(_trials(part, n) for part, n in parts.items())}: {why}."
        for candidate, parts in counts.items()
    ]


def _trials(part: str, count: int) -> str:
    return f"{part} ({plural(count, 'trial')})"

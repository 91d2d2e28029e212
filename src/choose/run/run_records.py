"""What a run is told before it starts, and what it reports: what it left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from choose.formatting import plural
from choose.run.scheduling.closed_book import ClosedBook
from choose.schema.plan import Job
from choose.schema.words import NOT_NEEDED, too_long


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a run.

    Attributes:
        seconds: time budget, None for no limit.
        racing: whether candidates that can no longer win are dropped.
        margin: smallest gain that matters, for the race.
        money: whether dollars are limited, so that a first pass may end early.
        stated: parts whose settings the study names, which run whichever candidate is named.
    """

    seconds: float | None = None
    racing: bool = False
    margin: float = 0.02
    money: bool = False
    stated: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What the scheduler knows of a study.

    Attributes:
        data: fingerprint of the labelled set.
        targets: id -> true label.
        clusters: id -> group or near-duplicates of a row.
        rows: returns the test rows of a job.
        fast: candidates that are fitted in seconds.
        grouped: candidates that can fit several trials together.
        remote: candidates that call an endpoint.
        closed_book: the rule for candidates that cannot know what stands in documents.
        folds: how many folds the labelled set has.
        baseline: what the family of cheap candidates is called in a sentence.
    """

    data: str
    targets: Mapping[str, str]
    rows: Callable[[Job], int]
    clusters: Mapping[str, str] = field(default_factory=dict)
    fast: Collection[str] = ()
    grouped: Collection[str] = ()
    remote: Collection[str] = ()
    closed_book: ClosedBook | None = None
    folds: int = 1
    baseline: str = "a cheap classifier"


@dataclass
class RunSummary:
    """Trials that did not run, and why.

    Attributes:
        left_out: jobs that did not fit into the time budget.
        stopped: jobs that were still to come when the user stopped the run.
        unpaid: jobs that did not fit into --max-usd.
        skipped: jobs of candidates whose earlier trials all failed.
        unneeded: jobs that would not change which family is named.
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
    unneeded: list[Job] = field(default_factory=list)
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
        *(too_long(candidate, seconds) for candidate, seconds in summary.too_long.items()),
        *(
            f"{candidate}: a second attempt at a trial failed ({error}); the answers of the first "
            "attempt count."
            for candidate, error in summary.failed_again.items()
        ),
        *_by_candidate(summary.skipped, "all its trials until then had failed"),
        *_by_candidate(summary.unneeded, NOT_NEEDED),
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

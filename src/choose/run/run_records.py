"""What a run is told, what its workers are sent and send back, and what it leaves out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal, Protocol

from choose.formatting import plural
from choose.run.predict_test_rows import MIN_ROWS, SpendingShare
from choose.run.scheduling.closed_book import ClosedBook
from choose.run.speed_probe import Speed
from choose.schema.plan import Job, LeftOut, Reason
from choose.types import Run

# What a worker does: run the jobs; begin the first one to measure its speed; answer more test rows
# of a first pass that stopped early; or answer other views of a trial whose fit it keeps.
Action = Literal["run", "measure", "extend", "views"]

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
        jobs: what to run.
        data: fingerprint of the labelled set, which the worker holds.
        action: what to do with the jobs; all but `run` take one.
        seconds: after which work stops at its next report of progress; of a probe, the seconds for
            its fit and again for its predictions.
        pace: when to stop answering clean rows; None answers all of them at once.
        keep_fit: whether a fit stays with the worker if it leaves clean rows unanswered, or ends
            within a probe, for a later request of the same trial.
        keep_whole: whether it stays in any case: another job needs it.
        earlier: the run to go on with.
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
    keep_whole: bool = False
    earlier: Run | None = None
    dtype: str | None = None
    threads: int | None = None
    cache: str | None = None
    why: str = ""

    @property
    def candidate(self) -> str:
        """Return the candidate whose jobs these are."""
        return self.jobs[0].trial.candidate

    @property
    def begins(self) -> bool:
        """Return whether its jobs end with it, rather than go on or are measured."""
        return self.action in ("run", "views")

    @property
    def keys(self) -> set[str]:
        """Return the keys of its trials."""
        return {job.trial.key for job in self.jobs}

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
        needed: forecast seconds of a fit that was stopped; None where none was, or it is unknown.
        last: whether nothing more comes for this request.
        speed: of a probe; None where its strategy raised.
        kept: keys of the trials whose fits stay with the worker.
        lost: why the worker ended without an answer, such as too little memory; empty otherwise.
        worker: which worker it was, in words; empty for this process.
    """

    number: int
    runs: tuple[tuple[Run, str | None], ...] = ()
    stopped: Stop = ""
    needed: float | None = None
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
        baselines: those of them that get a first trial even after the budget has ended.
        grouped: candidates that can fit several trials together.
        remote: candidates that call an endpoint.
        closed_book: the rule for candidates that cannot know what stands in documents.
        late: these candidates, whose first passes come last.
        folds: how many folds the labelled set has.
        baseline: what the family of cheap candidates is called in a sentence.
    """

    data: str
    targets: Mapping[str, str]
    rows: Callable[[Job], int]
    clusters: Mapping[str, str] = field(default_factory=dict)
    fast: Collection[str] = ()
    baselines: Collection[str] = ()
    grouped: Collection[str] = ()
    remote: Collection[str] = ()
    closed_book: ClosedBook | None = None
    late: Collection[str] = ()
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
        unneeded_rows: the same of candidates whose further rows would not change the verdict.
        too_long: candidate -> forecast seconds of a fit that the remaining time could not hold.
        dropped: candidate -> why it left the race, or was not begun.
        priced: candidates for which --max-usd counts.
    """

    left_out: list[Job] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    unpaid: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    unneeded: list[Job] = field(default_factory=list)
    failed_again: dict[str, str] = field(default_factory=dict)
    unasked: Counter[str] = field(default_factory=Counter)
    unneeded_rows: Counter[str] = field(default_factory=Counter)
    too_long: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, LeftOut] = field(default_factory=dict)
    interrupted: bool = False
    priced: Collection[str] = ()
    seconds: float = 0.0

    def leave(self, jobs: Sequence[Job], result: GroupResult) -> None:
        """Record jobs that a stopped request did not end, and how long a fit would have taken."""
        (self.unpaid if result.stopped == "money" else self.left_out).extend(jobs)
        if result.needed is not None and jobs:
            self.too_long[jobs[0].trial.candidate] = result.needed

    def settle(self, jobs: Iterable[Job], answered: Collection[str]) -> None:
        """Record jobs that still waited when nothing was open.

        Those of a candidate without any answer are not known to be needless: they had no time, or
        no money where that ended its first trial.
        """
        unpaid = {job.trial.candidate for job in self.unpaid}
        for job in jobs:
            name = job.trial.candidate
            late = self.unpaid if name in unpaid else self.left_out
            (self.unneeded if name in answered else late).append(job)


_NOT_NEEDED = "not run, since they are unlikely to change which family is named"
_UNPAID = (
    "--max-usd was used up; run again with a higher limit to continue, no answer is paid for twice"
)


def left_out_of(summary: RunSummary) -> list[LeftOut]:
    """Return by candidate what was planned and not run, and why."""
    return [
        *summary.dropped.values(),
        *(_unanswered(name, rows, summary) for name, rows in summary.unasked.items() if rows),
        *(
            LeftOut(
                candidate=name,
                reason="too-long",
                text=f"one fit would take about {fit:,.0f} s, more than the remaining budget.",
                seconds=fit,
            )
            for name, fit in summary.too_long.items()
        ),
        *(
            LeftOut(
                candidate=name,
                text=f"a second attempt at a trial failed ({error}); the answers of the first "
                "attempt count.",
            )
            for name, error in summary.failed_again.items()
        ),
        *_by_candidate(summary.skipped, None, "all its trials until then had failed"),
        *(
            LeftOut(
                candidate=name,
                reason="not-needed",
                text=f"{plural(rows, 'test row')} of its first pass: {_NOT_NEEDED}.",
                rows=rows,
            )
            for name, rows in summary.unneeded_rows.items()
        ),
        *_by_candidate(summary.unneeded, "not-needed", _NOT_NEEDED),
        *_by_candidate(summary.left_out, "out-of-time", "the budget was used up"),
        *_by_candidate(summary.stopped, None, "stopped by you"),
        *_by_candidate(summary.unpaid, "out-of-money", _UNPAID),
    ]


def _unanswered(candidate: str, rows: int, summary: RunSummary) -> LeftOut:
    reason: Reason | None = "out-of-time"
    ended = "it ran out of time"
    if summary.interrupted:
        reason, ended = None, "you stopped the run"
    elif candidate in summary.priced:
        reason, ended = "out-of-time-or-money", "it ran out of time or of --max-usd"
    return LeftOut(
        candidate=candidate,
        reason=reason,
        text=f"a trial of its first pass left {plural(rows, 'test row')} unanswered: {ended}. "
        "Candidates are compared on the rows both answered.",
        rows=rows,
    )


def _by_candidate(jobs: Sequence[Job], reason: Reason | None, why: str) -> list[LeftOut]:
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        counts.setdefault(job.trial.candidate, Counter())[job.part] += 1
    return [_not_run(name, parts, reason, why) for name, parts in counts.items()]


def _not_run(candidate: str, trials: Counter[str], reason: Reason | None, why: str) -> LeftOut:
    parts = (f"{part} ({plural(count, 'trial')})" for part, count in trials.items())
    text = f"{', '.join(parts)}: {why}."
    return LeftOut(candidate=candidate, reason=reason, text=text, trials=dict(trials))

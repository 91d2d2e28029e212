"""The first passes of slow candidates under a time budget: some rows each, then more of them.

Nothing here runs a trial or reads a clock: times are seconds since the run began.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, NamedTuple

from choose.corpus import CONDITIONS
from choose.judge.decision.open_question import OpenQuestion
from choose.run.predict_test_rows import CHUNK, MIN_ROWS
from choose.run.run_records import GroupRequest, GroupResult, Pace, RunSummary
from choose.run.speed_probe import Speed
from choose.schema.plan import Job
from choose.study.grid_points import CONTROLS
from choose.types import Run

# Share of the budget after which first passes of slow candidates give way where no question is
# open: to trials that fast candidates run in seconds, such as noise and sizes.
FIRST_PASS_SHARE = 0.75

# Share of the budget that the first verdict waits for: slow candidates whose first answers are
# forecast for later come after it.
FIRST_VERDICT_SHARE = 0.2

# Seconds that a probe may spend on its fit, and again on predictions, and the share of the budget
# that bounds both.
PROBE_SECONDS, PROBE_SHARE = 2.0, 0.01

# Share of the remaining time that bounds a second probe, before a candidate is left out.
SECOND_PROBE_SHARE = 0.1

# Most forecasts are within this factor of the measured time (`benchmarks/timings.py`), so a fit
# with a forecast above it times the remaining time will hardly finish.
FORECAST_FACTOR = 1.5

# Other work waits for fits that are forecast to end in time, unless it leaves so many times theirs.
RESERVE = 1.2

# A fit with a forecast above it times the remaining time is not probed again: the probe itself may
# take most of a minute, and no slow step explains so much.
HOPELESS_FACTOR = 5.0


@dataclass
class FirstPassBudget:
    """The slow candidates that wait for their first pass, and how fast they are.

    Each answers a few test rows at first, so that all have answered soon. Which of them answer
    more is decided then; those that do keep their fits.

    Attributes:
        budget: seconds of the run.
        waiting: candidate -> job of its first pass.
        remote: candidates that call an endpoint, which are not probed.
        late: candidates that come last: answers of others tell whether they are worth a fit.
        speeds: candidate -> probed speed; None where it is unknown.
        fitted: candidates whose fit a probe finished and its worker keeps.
        ordered: whether all are probed, and sorted by their speed.
        under_way: candidate -> when its first answers are forecast, in seconds of the run.
    """

    budget: float
    waiting: dict[str, Job]
    remote: Collection[str] = ()
    late: Collection[str] = ()
    speeds: dict[str, Speed | None] = field(default_factory=dict)
    fitted: set[str] = field(default_factory=set)
    ordered: bool = False
    under_way: dict[str, float] = field(default_factory=dict)
    _probed_again: set[str] = field(default_factory=set)

    def needs_probes(self, job: Job, left: float) -> bool:
        """Return whether a job is a first pass for which speeds have to be measured before."""
        name = job.trial.candidate
        # After the budget has ended nothing is begun any more, so no speed is of use.
        waits = self.budget > 0 and left > 0 and self.waiting.get(name) is job
        return waits and (not self.ordered or self._second_probe(name, left) is not None)

    def next_probe(self, job: Job, left: float) -> tuple[tuple[Job], float] | None:
        """Return what to probe before a job that needs probes, and for how many seconds.

        Each waiting candidate is probed once; None is returned where all have been begun.
        """
        if self.ordered:
            self._probed_again.add(job.trial.candidate)
            return (job,), min(PROBE_SECONDS, SECOND_PROBE_SHARE * left)
        for name, first in self.waiting.items():
            if name not in self.speeds:
                self.speeds[name] = None
                if name not in self.remote:
                    return (first,), min(PROBE_SECONDS, PROBE_SHARE * self.budget)
        return None

    def record(self, name: str, speed: Speed | None, fitted: bool) -> None:
        """Record what a probe measured, and whether its worker keeps the fit."""
        self.speeds[name] = speed
        if fitted:
            self.fitted.add(name)

    def fastest_first(self) -> list[Job]:
        """Return the waiting jobs by the time that a fit and 100 test rows take.

        Where time runs short, the slowest candidate then answers the fewest rows. Candidates of
        unknown speed come first: endpoints, and those that will soon fail.
        """
        return [
            self.waiting[n]
            for n in sorted(self.waiting, key=lambda n: (n in self.late, self._forecast(n)))
        ]

    def begin(self, name: str, elapsed: float) -> None:
        """Record that a candidate's first pass begins, if it waits."""
        if name in self.waiting:
            self.under_way[name] = elapsed + self._forecast(name, CHUNK)
        self.take(name)

    def take(self, name: str) -> None:
        """Remove a waiting candidate: its first pass begins, or it has none."""
        self.waiting.pop(name, None)
        self.fitted.discard(name)

    def answers_late(self, names: Collection[str], elapsed: float) -> bool:
        """Return whether the first verdict is given before any of these slow candidates answers.

        It waits for those whose first answers are forecast for the first fifth of the budget; for
        those of unknown speed, until that has passed.
        """
        known = self.under_way | {n: elapsed + self._forecast(n, CHUNK) for n in self.waiting}
        latest = FIRST_VERDICT_SHARE * self.budget
        ends = [max(elapsed, known[name]) if name in known else 0.0 for name in names]
        return not ends or (self.budget > 0 and min(ends) > latest)

    def _forecast(self, name: str, rows: int = MIN_ROWS) -> float:
        """Return the seconds of a fit and some test rows; 0 where the speed is unknown."""
        speed = self.speeds.get(name)
        if speed is None or speed.per_row is None:
            return 0.0
        return speed.fits[-1][1] + rows * speed.per_row

    def go_on(self, elapsed: float) -> bool:
        """Return whether first passes answer more rows before other trials begin."""
        return not self.waiting and elapsed <= FIRST_PASS_SHARE * self.budget

    def pace(self, left: float, priced: bool) -> Pace:
        """Return when the first pass of a waiting candidate should stop: after 25 rows.

        One that costs dollars goes on, for an even share of the time: its dollars are shared out.
        """
        share = FIRST_PASS_SHARE * left / len(self.waiting) if priced else 0.0
        return Pace(share=share, end=left, least=CHUNK)

    def overrun(self, name: str, left: float) -> float | None:
        """Return the forecast seconds of a fit that will not finish in time; None if it will."""
        speed = self.speeds.get(name)
        if speed is None or name in self.fitted or speed.fits[-1][1] <= FORECAST_FACTOR * left:
            return None
        return speed.fits[-1][1]

    def crowds_out(self, left: float, skip: Callable[[Job], bool], job: Job) -> bool:
        """Return whether a job is a first pass whose fit may take most of the remaining time.

        One that would hardly end in time after other work does not count, nor one that is skipped
        or left out because it is forecast to end far too late.
        """
        name = job.trial.candidate
        fit = self._fit(name) if self.waiting.get(name) is job else 0.0
        late = fit <= left < RESERVE * fit or self.overrun(name, left) is not None
        return fit > left / 2 and not late and not skip(job)

    def has_room(self, seconds: float, left: float, skip: Callable[[Job], bool]) -> bool:
        """Return whether other work of so many seconds leaves fits that wait their time.

        It does too where they cannot end in time without it either, by their forecasts. Candidates
        that are left out because of such a forecast do not count.
        """
        waiting = (n for n, job in self.waiting.items() if n not in self.late and not skip(job))
        fits = sum(self._fit(n) for n in waiting if self.overrun(n, left) is None)
        return fits == 0 or not fits <= left < RESERVE * fits + seconds

    def _fit(self, name: str) -> float:
        """Return the forecast seconds of a fit; 0 where it is done or its speed is unknown."""
        speed = None if name in self.fitted else self.speeds.get(name)
        return 0.0 if speed is None else speed.fits[-1][1]

    def _second_probe(self, name: str, left: float) -> float | None:
        """Return the forecast of a fit that seems too long and is worth another probe.

        A short probe measures two steps, and one slow step should not exclude a candidate. One is
        enough where its forecast is far beyond the remaining time.
        """
        fit = None if name in self._probed_again else self.overrun(name, left)
        return None if fit is None or fit > HOPELESS_FACTOR * left else fit


@dataclass(frozen=True, slots=True)
class UnfinishedPass:
    """A first pass without answers to all its test rows; `open` if a worker can go on with it.

    `fit` are the seconds of its fit where no worker keeps that.
    """

    job: Job
    run: Run
    open: bool
    fit: float = 0.0

    @property
    def answered(self) -> int:
        """Return how many test rows it answered."""
        return len(self.run.asked["clean", 0])

    def seconds(self, rows: int) -> float:
        """Return the seconds that more rows take."""
        return self.fit + rows * (self.run.predict_seconds or 0.0) / self.answered


class ViewsCost(NamedTuple):
    """What other views of a trial take: clean rows to answer before, and seconds in all."""

    rows: int
    seconds: float


@dataclass
class KeptFits:
    """Fits that workers keep, by trial key, with what they answered so far.

    Attributes:
        folds: how many folds the study has.
        runs: trial key -> its run.
    """

    folds: int = 1
    runs: dict[str, Run] = field(default_factory=dict)

    def record(self, request: GroupRequest, result: GroupResult) -> None:
        """Record the fits that a worker keeps after a request."""
        for key in request.keys:
            self.runs.pop(key, None)
        self.runs |= {run.trial.key: run for run, _ in result.runs if run.trial.key in result.kept}

    def cost(self, job: Job) -> ViewsCost | None:
        """Return what the views of a job take if a fit that is kept can answer them.

        Controls are on the rows that are answered first; other views may be on any.
        """
        if (run := self.runs.get(job.trial.key)) is None or job.repeats > 1:
            return None
        answered = len(run.asked["clean", 0])
        all_rows = answered + run.unasked
        each = (run.predict_seconds or 0.0) / max(1, answered)
        every = min(all_rows, max(1, job.view_rows // self.folds))
        views = [view for view in job.views if (view, 0) not in run.answers]
        rows = every if {*views} <= {*CONDITIONS} else all_rows
        return ViewsCost(rows, each * (max(0, rows - answered) + every * len(views)))

    def answers(self, job: Job) -> bool:
        """Return whether a fit that is kept can answer a job now, after few more clean rows.

        Other views than controls wait until all clean rows are answered, as they may be on any.
        """
        cost = self.cost(job)
        return cost is not None and (job.part == CONTROLS or not self.runs[job.trial.key].unasked)

    def seconds(self, job: Job, otherwise: float) -> float:
        """Return the seconds that the views of a job take; `otherwise` where no fit is kept."""
        cost = self.cost(job)
        return otherwise if cost is None else cost.seconds

    def request(self, job: Job, left: float) -> dict[str, Any]:
        """Return how a request asks a job's views of the fit that is kept; empty if it cannot."""
        if (cost := self.cost(job)) is None or cost.seconds > left:
            return {}
        pace = Pace(share=0.0, end=left, least=cost.rows)
        earlier = self.runs[job.trial.key]
        return {"action": "views", "earlier": earlier, "pace": pace, "keep_fit": True}


@dataclass
class UnfinishedPasses:
    """First passes that stopped early, by trial key.

    Once the verdict is final, only further rows of `wanted` candidates could change it.
    """

    passes: dict[str, UnfinishedPass] = field(default_factory=dict)
    wanted: Collection[str] | None = None

    def settle(self, question: OpenQuestion) -> None:
        """Record whose rows could still change the verdict as the run ends."""
        self.wanted = {*question.candidates, *question.near} if question.final else None

    def conclude(self, summary: RunSummary) -> None:
        """Add the rows that were not answered to a summary, by the reason."""
        for cut in self.passes.values():
            name = cut.job.trial.candidate
            needed = self.wanted is None or name in self.wanted
            (summary.unasked if needed else summary.unneeded_rows)[name] += cut.run.unasked

    def record(self, job: Job, run: Run, open: bool, fit: float = 0.0) -> None:
        """Add a first pass with unanswered rows, or remove one that has answered them all.

        A job that asks other views of the same trial leaves the first pass what it was.
        """
        before = self.passes.pop(run.trial.key, None)
        if run.unasked:
            first = job if before is None else before.job
            self.passes[run.trial.key] = UnfinishedPass(first, run, open, fit)

    def shut(self, key: str) -> None:
        """Let a pass be as it is: it could not be continued."""
        self.passes[key] = replace(self.passes[key], open=False)

    def shortest(
        self, left: float, skip: Callable[[Job], bool], busy: Collection[str], most: float = inf
    ) -> UnfinishedPass | None:
        """Return the pass with the fewest answers for which there is time; None if there is none.

        `busy` holds the keys of passes that are continued right now. Those with `most` answers or
        more are left as they are.
        """
        found = [
            one
            for key, one in self.passes.items()
            if one.open and key not in busy and one.answered < most
            if one.seconds(CHUNK) < left and not skip(one.job)
        ]
        return min(found, key=lambda one: one.answered, default=None)

    def of(self, names: Collection[str]) -> list[UnfinishedPass]:
        """Return the passes of some candidates that can go on."""
        return [p for p in self.passes.values() if p.open and p.job.trial.candidate in names]

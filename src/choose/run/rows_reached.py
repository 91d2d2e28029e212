"""Forecast how many test rows of its first passes each candidate answers within a time budget.

The run is played with forecast seconds, at the measured pace, a slower and a faster one. It follows
`scheduler` where no question is open: fast candidates first, with all their folds where that takes
little of the budget; a short probe of each slow one; 25 rows of each, then the same number of
further rows until three quarters of the time are over; then the other trials in their order, as
long as they fit; and leftover time answers rows that were cut. Which trials decide, and whether a
candidate is dropped because it can no longer win, depends on answers and is not forecast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf
from statistics import fmean

from choose.data.scenarios import Pools
from choose.run.first_passes import (
    FIRST_PASS_SHARE,
    FORECAST_FACTOR,
    PROBE_SECONDS,
    PROBE_SHARE,
)
from choose.run.predict_test_rows import CHUNK, MIN_ROWS, PassCost, allocate
from choose.run.scheduling.next_trial import early_candidates
from choose.run.speed_probe import Speed
from choose.schema.plan import Job
from choose.strategy import find
from choose.study.grid_points import FIRST_PASS

# How much faster the run may be than the measurement. Whether one long fit still fits a budget
# decides how many rows all others reach, so what is told is the mean over these.
PACES = (0.75, 1.0, 4 / 3)


@dataclass(frozen=True, slots=True)
class Reach:
    """Test rows of a candidate's first passes that are answered, of all that it has."""

    rows: int
    all: int


def rows_reached(
    jobs: Sequence[Job],
    seconds: Sequence[float | None],
    speeds: Mapping[str, Speed],
    pools: Pools,
    budget: float,
) -> dict[str, Reach]:
    """Return what a budget reaches, by candidate whose speed is known: the mean over `PACES`.

    Args:
        jobs: in the order of the run.
        seconds: of each job, None where it is unknown.
        speeds: by candidate.
        pools: the pools of the study.
        budget: in seconds.
    """
    whole: Counter[str] = Counter()
    for job in jobs:
        if job.part == FIRST_PASS:
            whole[job.trial.candidate] += len(pools.of(job.trial).questions)
    known = [name for name, speed in speeds.items() if speed.per_row is not None]
    reached: dict[str, list[float]] = {name: [] for name in known}
    for pace in PACES:
        play = _Play(jobs, seconds, speeds, pools, pace * budget)
        for job, needed in zip(jobs, seconds, strict=True):
            play.step(job, needed)
        play.more_rows(play.left)
        for name, rows in reached.items():
            rows.append(min(play.rows.get(name, 0.0), whole[name]))
    return {name: Reach(round(fmean(rows)), whole[name]) for name, rows in reached.items()}


@dataclass
class _Play:
    """The state of a run that is played: seconds spent, rows answered, first passes to come."""

    jobs: Sequence[Job]
    seconds: Sequence[float | None]
    speeds: Mapping[str, Speed]
    pools: Pools
    budget: float
    spent: float = 0.0
    rows: dict[str, float] = field(default_factory=dict)
    unanswered: dict[str, float] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    waiting: dict[str, Job] = field(default_factory=dict)
    later: list[tuple[Job, float | None]] = field(default_factory=list)
    begun: bool = False
    encoders: set[str] = field(default_factory=set)
    done: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        for job in self.jobs:
            name, fast = job.trial.candidate, find(job.trial.strategy).cheap
            if not fast:
                self.waiting.setdefault(name, job)
            elif name in self.speeds and (encoder := job.trial.params.get("encoder")):
                self.encoders.add(encoder)

    @property
    def left(self) -> float:
        """Seconds until the budget ends."""
        return max(0.0, self.budget - self.spent)

    def step(self, job: Job, needed: float | None) -> None:
        """Run a job if the run would."""
        name = job.trial.candidate
        if self.waiting.get(name) is job:
            self._first_passes()
            return
        if id(job) in self.done:
            return
        fast = find(job.trial.strategy).cheap
        first_of_fast = fast and name not in self.rows
        if fast and not first_of_fast and self.waiting and not self.begun:
            self.later.append((job, needed))  # slow ones answer a few rows before a second fold
            return
        if needed is None or name in self.left_out:
            return
        if not first_of_fast and needed > self.left:
            return
        self.spent += needed
        if job.part == FIRST_PASS:
            answered = len(self.pools.of(job.trial).questions)
            self.rows[name] = self.rows.get(name, 0.0) + answered

    def _first_passes(self) -> None:
        """Answer the first passes of all slow candidates, the fastest first."""
        if self.begun:
            return
        self.begun = True
        self._early()
        probe = min(PROBE_SECONDS, PROBE_SHARE * self.budget)
        costs = {name: self._cost(job) for name, job in self.waiting.items()}
        for name, cost in costs.items():
            if cost is not None:
                self.spent += self.speeds[name].load + 2 * probe
        for place, name in enumerate(sorted(costs, key=lambda name: _order(costs[name]))):
            self._first_rows(name, costs[name], len(costs) - place)
        for job, needed in self.later:
            self.step(job, needed)
        self.more_rows(FIRST_PASS_SHARE * self.budget - self.spent)

    def _early(self) -> None:
        """Run the other first passes of fast candidates that take little of the budget."""
        others: dict[str, list[tuple[Job, float]]] = {}
        for job, needed in zip(self.jobs, self.seconds, strict=True):
            fast = job.part == FIRST_PASS and find(job.trial.strategy).cheap
            if fast and needed is not None:
                others.setdefault(job.trial.candidate, []).append((job, needed))
        seconds = {name: sum(n for _, n in jobs[1:]) for name, jobs in others.items()}
        encoders = {name: jobs[0][0].trial.params.get("encoder") for name, jobs in others.items()}
        for name in early_candidates(seconds, encoders, self.budget):
            for job, needed in others[name][1:]:
                self.step(job, needed)
                self.done.add(id(job))

    def _cost(self, job: Job) -> PassCost | None:
        speed = self.speeds.get(job.trial.candidate)
        if speed is None:
            return None
        if job.trial.params.get("encoder") in self.encoders:
            speed = replace(speed, per_text=0.0)  # fast candidates, which run first, embed them
        return speed.first_pass(len(self.pools.of(job.trial).questions))

    def _first_rows(self, name: str, cost: PassCost | None, waiting: int) -> None:
        """Fit a candidate and answer its first rows; with it, `waiting` candidates wait."""
        if cost is None:  # an endpoint, or one that fails: it may take all of its share
            self.spent += FIRST_PASS_SHARE * self.left / waiting
            return
        if cost.fit > FORECAST_FACTOR * self.left:
            self.left_out.add(name)
            return
        if cost.fit > self.left / 2:
            self.more_rows(self.left, MIN_ROWS)
        rows = min(cost.rows, CHUNK, cost.rows_for(self.left))
        if rows <= 0:
            self.left_out.add(name)
            self.spent += self.left
            return
        self.spent += cost.fit + rows * cost.each
        self.rows[name] = rows
        self.unanswered[name] = cost.rows - rows

    def more_rows(self, seconds: float, most: float = inf) -> None:
        """Answer the same number of further rows of each first pass, until each has `most`."""
        costs: dict[str, PassCost | None] = {}
        for name, unanswered in self.unanswered.items():
            rows = min(unanswered, most - self.rows[name])
            if rows > 0:
                costs[name] = PassCost(0.0, self.speeds[name].per_row or 0.0, ceil(rows))
        for name, share in allocate(costs, max(0.0, seconds)).items():
            cost = costs[name]
            assert cost is not None
            more = min(self.unanswered[name], cost.rows, cost.rows_for(share))
            self.spent += more * cost.each
            self.rows[name] += more
            self.unanswered[name] -= more


def _order(cost: PassCost | None) -> float:
    return 0.0 if cost is None else cost.fit + MIN_ROWS * cost.each

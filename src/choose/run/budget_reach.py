"""How many test rows a time budget reaches: the run played with forecast seconds.

It follows `executor`: fast candidates first; a short probe of each slow one; slow candidates share
three quarters of the time that is then left, for the same number of rows each; then the other
trials in their order, as long as they fit; and leftover time answers rows that were cut. Whether a
candidate is dropped because it can no longer win depends on its answers and is not forecast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from choose.data.scenarios import Pools
from choose.run.predict import CHUNK, MIN_ROWS, PassCost, allocate
from choose.run.speed_probe import Speed
from choose.run.time_budget import (
    FIRST_PASS_SHARE,
    FORECAST_FACTOR,
    PROBE_SECONDS,
    PROBE_SHARE,
)
from choose.schema.plan import Job
from choose.strategy import find
from choose.study.grid_points import FIRST_PASS


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
    """Return what a budget reaches, by candidate whose speed is known.

    Args:
        jobs: in the order of the run.
        seconds: of each job, None where it is unknown.
        speeds: by candidate.
        pools: the pools of the study.
        budget: in seconds.
    """
    play = _Play(jobs, seconds, speeds, pools, budget)
    for job, needed in zip(jobs, seconds, strict=True):
        play.step(job, needed)
    play.spend_leftover()
    whole: Counter[str] = Counter()
    for job in jobs:
        if job.part == FIRST_PASS:
            whole[job.trial.candidate] += len(pools.of(job.trial).questions)
    return {
        name: Reach(min(round(play.rows.get(name, 0.0)), whole[name]), whole[name])
        for name, speed in speeds.items()
        if speed.per_row is not None
    }


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
    begun: bool = False

    def __post_init__(self) -> None:
        for job in self.jobs:
            if not find(job.trial.strategy).cheap:
                self.waiting.setdefault(job.trial.candidate, job)

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
        first_of_fast = find(job.trial.strategy).cheap and name not in self.rows
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
        probe = min(PROBE_SECONDS, PROBE_SHARE * self.budget)
        costs = {name: self._cost(job) for name, job in self.waiting.items()}
        for name, cost in costs.items():
            if cost is not None:
                self.spent += self.speeds[name].load + 2 * probe
        until = self.spent + FIRST_PASS_SHARE * self.left
        for name in sorted(costs, key=lambda name: _order(costs[name])):
            self._first_pass(name, costs, until)
            del costs[name]

    def _cost(self, job: Job) -> PassCost | None:
        speed = self.speeds.get(job.trial.candidate)
        return None if speed is None else speed.first_pass(len(self.pools.of(job.trial).questions))

    def _first_pass(self, name: str, costs: Mapping[str, PassCost | None], until: float) -> None:
        shares = allocate(costs, max(0.0, until - self.spent))
        cost = costs[name]
        if cost is None:  # an endpoint, or one that fails: it may take all of its share
            self.spent += shares[name]
            return
        if cost.fit > FORECAST_FACTOR * self.left:
            self.left_out.add(name)
            return
        share = shares[name] + max(0.0, until - self.spent - sum(shares.values()))
        least = min(MIN_ROWS, max(CHUNK, cost.rows_for(share)))
        rows = min(cost.rows, max(cost.rows_for(share), min(least, cost.rows_for(self.left))))
        if rows <= 0:
            self.left_out.add(name)
            self.spent += self.left
            return
        self.spent += cost.fit + rows * cost.each
        self.rows[name] = rows
        self.unanswered[name] = cost.rows - rows

    def spend_leftover(self) -> None:
        """Answer rows that first passes had no time for, the fewest answered first."""
        for name in sorted(self.unanswered, key=lambda name: self.rows[name]):
            each = self.speeds[name].per_row or 0.0
            more = min(self.unanswered[name], self.left / each if each else self.unanswered[name])
            self.rows[name] += more
            self.spent += more * each


def _order(cost: PassCost | None) -> float:
    return 0.0 if cost is None else cost.fit + MIN_ROWS * cost.each

"""Share the time budget among the first passes of slow candidates, then spend the leftover."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter

from choose.data.scenarios import Pools
from choose.models.weights.spec import names_endpoint
from choose.run.predict import CHUNK, MIN_ROWS, Deadline, PassCost, allocate, predict_until
from choose.run.requests import Pace
from choose.run.speed_probe import Speed, probe
from choose.run.trial import Fitted, cached_seconds
from choose.schema.plan import Job
from choose.tasks.scoring import scored
from choose.types import Run

# Share of the remaining time for first passes of slow candidates; the rest is for trials that fast
# candidates run in seconds: noise, sizes, cross-validation inside the training pool.
FIRST_PASS_SHARE = 0.75

# Seconds that a probe may spend on its fit, and again on predictions, and the share of the budget
# that bounds both.
PROBE_SECONDS, PROBE_SHARE = 2.0, 0.01

# Share of the remaining time that bounds a second probe, before a candidate is left out.
SECOND_PROBE_SHARE = 0.1

# Most forecasts are within this factor of the measured time (`benchmarks/timings.py`), so a fit
# with a forecast above it times the remaining time will hardly finish.
FORECAST_FACTOR = 1.5

# A fit with a forecast above it times the remaining time is not probed again: the probe itself may
# take most of a minute, and no slow step explains so much.
HOPELESS_FACTOR = 5.0


@dataclass
class FirstPassBudget:
    """The slow candidates that wait for their first pass, and how fast they are.

    Where the time is too short for all test rows, these candidates answer the same number of rows,
    because they are compared on the rows that both answered. Candidates that need little time for
    all rows answer all of them.

    Attributes:
        waiting: candidate -> job of its first pass.
        speeds: candidate -> probed speed; None where it is unknown.
        fitted: candidate -> strategy whose fit the probe finished.
        until: `perf_counter` at which the time for first passes ends.
    """

    pools: Pools
    budget: float
    waiting: dict[str, Job]
    speeds: dict[str, Speed | None] = field(default_factory=dict)
    fitted: dict[str, Fitted] = field(default_factory=dict)
    until: float = inf

    def probe_all(self, left: float) -> None:
        """Probe every waiting candidate once, except those that call an endpoint.

        Loading a model takes seconds, so none is probed once the time for first passes has ended.
        """
        self.until = perf_counter() + FIRST_PASS_SHARE * left
        seconds = min(PROBE_SECONDS, PROBE_SHARE * self.budget)
        for name, job in self.waiting.items():
            skipped = names_endpoint(job.trial.params) or perf_counter() > self.until
            self.speeds[name] = None if skipped else self._probe(job, seconds)

    def _probe(self, job: Job, seconds: float) -> Speed | None:
        try:
            result = probe(job, self.pools, seconds)
        except Exception:
            return None  # the trial itself will fail and record the error
        if result.fitted is not None:
            self.fitted[job.trial.candidate] = result.fitted
        return result.speed

    def fastest_first(self) -> list[Job]:
        """Return the waiting jobs by the time that a fit and 100 test rows take.

        Candidates of unknown speed come first: endpoints, and those that will soon fail.
        """

        def seconds(name: str) -> float:
            speed = self.speeds.get(name)
            if speed is None or speed.per_row is None:
                return 0.0
            return speed.fits[-1][1] + MIN_ROWS * speed.per_row

        return [self.waiting[name] for name in sorted(self.waiting, key=seconds)]

    def take(self, name: str) -> dict[str, Fitted]:
        """Remove a waiting candidate; return its fit by trial key, if the probe finished one."""
        job, fitted = self.waiting.pop(name), self.fitted.pop(name, None)
        return {} if fitted is None else {job.trial.key: fitted}

    def pace(self, name: str, left: float) -> Pace:
        """Return when the first pass of a waiting candidate should stop.

        It also gets the seconds that no candidate is forecast to need, in case it takes longer.
        """
        now = perf_counter()
        costs = {waiting: self._cost(waiting, job) for waiting, job in self.waiting.items()}
        allotted = allocate(costs, self.until - now)
        share = allotted[name] + max(0.0, self.until - now - sum(allotted.values()))
        cost = costs[name]
        least = CHUNK if cost is None else min(MIN_ROWS, max(CHUNK, int(cost.rows_for(share))))
        return Pace(share=share, end=left, least=least)

    def _cost(self, name: str, job: Job) -> PassCost | None:
        speed = self.speeds.get(name)
        if speed is None:
            return None
        if name in self.fitted:
            speed = replace(speed, fits=((speed.fits[-1][0], 0.0),))
        return speed.first_pass(len(self.pools.dataset.folds[job.trial.fold].questions))

    def overrun(self, name: str, left: float) -> float | None:
        """Return the forecast seconds of a fit if it will not finish, as two probes say.

        One is enough where its forecast is far beyond the remaining time.
        """
        speed = self.speeds.get(name)
        if speed is None or self._finishes(name, speed, left):
            return None
        if speed.fits[-1][1] > HOPELESS_FACTOR * left:
            return speed.fits[-1][1]
        # A short probe measures two steps, and one slow step should not exclude a candidate.
        seconds = min(PROBE_SECONDS, SECOND_PROBE_SHARE * left)
        speed = self.speeds[name] = self._probe(self.waiting[name], seconds)
        if speed is None or self._finishes(name, speed, left):
            return None
        return speed.fits[-1][1]

    def _finishes(self, name: str, speed: Speed | None, left: float) -> bool:
        return speed is None or name in self.fitted or speed.fits[-1][1] <= FORECAST_FACTOR * left


@dataclass(frozen=True, slots=True)
class UnfinishedPass:
    """A first pass without answers to all its test rows; `fitted` is None if it may not go on."""

    job: Job
    run: Run
    fitted: Fitted | None

    @property
    def answered(self) -> int:
        """Return how many test rows it answered."""
        return len(self.run.asked["clean", 0])

    @property
    def chunk_seconds(self) -> float:
        """Return the seconds that one more chunk of rows takes."""
        return CHUNK * (self.run.predict_seconds or 0.0) / self.answered


@dataclass
class UnfinishedPasses:
    """First passes that stopped early, by trial key."""

    pools: Pools
    passes: dict[str, UnfinishedPass] = field(default_factory=dict)

    def record(self, job: Job, run: Run, fitted: Fitted | None) -> None:
        """Add a first pass with unanswered rows, or remove one that has answered them all."""
        self.passes.pop(run.trial.key, None)
        if run.unasked:
            self.passes[run.trial.key] = UnfinishedPass(job, run, fitted)

    def extend(self, left: Callable[[], float], skip: Callable[[Job], bool]) -> Iterator[Run]:
        """Yield runs with more answers than before, fewest answers first, while time is left."""
        ended: set[str] = set()
        while True:
            open_passes = [
                one
                for key, one in self.passes.items()
                if one.fitted is not None
                and key not in ended
                and one.chunk_seconds < left()
                and not skip(one.job)
            ]
            if not open_passes:
                return
            shortest = min(open_passes, key=lambda one: one.answered)
            try:
                run = self._extended(shortest, left())
            except Exception:
                run = shortest.run  # its earlier answers still count
            if run.unasked == shortest.run.unasked:
                ended.add(run.trial.key)
                continue
            self.record(shortest.job, run, shortest.fitted)
            yield run

    def _extended(self, one: UnfinishedPass, left: float) -> Run:
        assert one.fitted is not None
        trial, strategy, run = one.job.trial, one.fitted.strategy, one.run
        dataset, rows = self.pools.dataset, self.pools.of(trial)
        questions = [dataset.examples[id].item() for id in rows.questions]
        start, before = perf_counter(), cached_seconds(strategy)
        deadline = Deadline(share=start, end=start + left, least=0)
        answered, answers = predict_until(
            strategy, questions, dataset, deadline, run.answers["clean", 0]
        )
        spent = perf_counter() - start
        alone = spent + cached_seconds(strategy) - before
        longer = replace(
            run,
            answers={**run.answers, ("clean", 0): answers},
            asked={**run.asked, ("clean", 0): tuple(item.id for item in answered)},
            predict_seconds=(run.predict_seconds or 0.0) + alone,
            seconds_spent=(run.seconds_spent or 0.0) + spent,
            seconds_alone=None if run.seconds_alone is None else run.seconds_alone + alone,
            unasked=len(questions) - len(answered),
        )
        return scored(longer, dataset)

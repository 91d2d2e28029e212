"""How the seconds of a budget are shared among the first passes of dear candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter

from choose.data.pools import Pools
from choose.models.weights.spec import names_endpoint
from choose.run.probe import Speed, probe
from choose.run.timed_predict import CHUNK, MIN_ROWS, Deadline, PassCost, allocate, predict_until
from choose.run.trial import Fitted, cached_seconds
from choose.study.grid import Job
from choose.types import Run

# Of the time left, the part that first passes of dear candidates share; the rest is for what cheap
# ones still add in seconds: noise, sizes, the pool asked of itself.
FIRST_PASS_SHARE = 0.75


# Seconds that beginning a trial may take for its fit, and again for its questions: so many, but no
# more than this part of the budget.
PROBE_SECONDS, PROBE_SHARE = 2.0, 0.01


# Before a candidate is left out, it is begun once more for `BEGIN`, or this part of what is left.
SECOND_PROBE_SHARE = 0.1


# Most forecasts are good to this factor (`benchmarks/timings.py`), so that a fit that is forecast
# to take more than so many times what is left will hardly end in time.
FORECAST_FACTOR = 1.5


@dataclass
class FirstPassBudget:
    """Who has not had a first pass yet, and what it will take.

    Where the time does not suffice for all rows, everybody is asked the same number of them, but
    those to whom all rows take little: dear candidates are compared on the rows that both were
    asked. It is forecast from the beginning of each trial.
    """

    pools: Pools
    budget: float
    waiting: dict[str, Job]
    paces: dict[str, Speed | None] = field(default_factory=dict)
    fitted: dict[str, Fitted] = field(default_factory=dict)
    until: float = inf

    def look(self, left: float) -> None:
        """Begin the first pass of all who wait, once; an endpoint is not asked for this."""
        self.until = perf_counter() + FIRST_PASS_SHARE * left
        seconds = min(PROBE_SECONDS, PROBE_SHARE * self.budget)
        for name, job in self.waiting.items():
            self.paces[name] = (
                None if names_endpoint(job.trial.params) else self._begun(job, seconds)
            )

    def _begun(self, job: Job, seconds: float) -> Speed | None:
        try:
            begun = probe(job, self.pools, seconds)
        except Exception:
            return None  # the trial itself will fail, and be recorded
        if begun.fitted is not None:
            self.fitted[job.trial.candidate] = begun.fitted
        return begun.pace

    def ordered(self) -> list[Job]:
        """Return the trials that wait, those first that a hundred rows cost least.

        Whose pace is not known comes first: an endpoint's, or one that will fail soon.
        """

        def cost(name: str) -> float:
            pace = self.paces.get(name)
            return pace.fits[-1][1] + MIN_ROWS * pace.ask if pace and pace.ask is not None else 0.0

        return [self.waiting[name] for name in sorted(self.waiting, key=cost)]

    def start(self, name: str) -> dict[str, Fitted]:
        """Take a candidate from those who wait; return its fit, by key, if there is one already."""
        job, fitted = self.waiting.pop(name), self.fitted.pop(name, None)
        return {} if fitted is None else {job.trial.key: fitted}

    def deadline(self, name: str, left: float) -> Deadline:
        """Return when a candidate whose first pass begins now should stop asking.

        Seconds that nobody is forecast to need are its own, should it take longer than forecast.
        """
        now = perf_counter()
        needs = {waits: self._need(waits, job) for waits, job in self.waiting.items()}
        found = allocate(needs, self.until - now)
        share = found[name] + max(0.0, self.until - now - sum(found.values()))
        need = needs[name]
        least = CHUNK if need is None else min(MIN_ROWS, max(CHUNK, int(need.reaches(share))))
        return Deadline(now + share, now + left, least)

    def _need(self, name: str, job: Job) -> PassCost | None:
        pace = self.paces.get(name)
        if pace is None:
            return None
        rows = len(self.pools.dataset.folds[job.trial.fold].questions)
        return (_fitted(pace) if name in self.fitted else pace).need(rows)

    def too_long(self, name: str, left: float) -> float | None:
        """Return the seconds that a fit would take if that is surely more than is left."""
        pace = self.paces.get(name)
        if pace is None or name in self.fitted or pace.fits[-1][1] <= FORECAST_FACTOR * left:
            return None
        # Two steps of a short beginning tell little, and nobody is left out for a hiccup.
        pace = self.paces[name] = self._begun(
            self.waiting[name], min(PROBE_SECONDS, SECOND_PROBE_SHARE * left)
        )
        if pace is None or name in self.fitted or pace.fits[-1][1] <= FORECAST_FACTOR * left:
            return None
        return pace.fits[-1][1]


def _fitted(pace: Speed) -> Speed:
    return replace(pace, fits=((pace.fits[-1][0], 0.0),))


@dataclass(frozen=True, slots=True)
class UnfinishedPass:
    """A first pass that was not asked all its rows, with what was fitted if it may be asked on."""

    job: Job
    run: Run
    fitted: Fitted | None

    @property
    def asked(self) -> int:
        """Return how many rows it was asked."""
        return len(self.run.asked["clean", 0])

    @property
    def chunk(self) -> float:
        """Return the seconds that a few more rows take."""
        return CHUNK * (self.run.predict_seconds or 0.0) / self.asked


@dataclass
class UnfinishedPasses:
    """First passes that were cut, by the trial's key."""

    pools: Pools
    cut: dict[str, UnfinishedPass] = field(default_factory=dict)

    def note(self, job: Job, run: Run, fitted: Fitted | None) -> None:
        """Remember a trial that left rows unasked, or forget one that has been asked all."""
        self.cut.pop(run.trial.key, None)
        if run.unasked:
            self.cut[run.trial.key] = UnfinishedPass(job, run, fitted)

    def ask_on(self, left: Callable[[], float], hopeless: Callable[[Job], bool]) -> Iterator[Run]:
        """Yield runs with more rows than they had, whoever has fewest first, while time is left."""
        spent: set[str] = set()
        while True:
            going = [c for key, c in self.cut.items() if c.fitted is not None and key not in spent]
            fit = [cut for cut in going if cut.chunk < left() and not hopeless(cut.job)]
            if not fit:
                return
            cut = min(fit, key=lambda c: c.asked)
            try:
                run = self._more(cut, left())
            except Exception:
                run = cut.run  # a failure now: what it had answered before stands
            if run.unasked == cut.run.unasked:
                spent.add(run.trial.key)
                continue
            self.note(cut.job, run, cut.fitted)
            yield run

    def _more(self, cut: UnfinishedPass, left: float) -> Run:
        assert cut.fitted is not None
        trial, strategy, run = cut.job.trial, cut.fitted.strategy, cut.run
        dataset, rows = self.pools.dataset, self.pools.of(trial)
        questions = [dataset.examples[id].item() for id in rows.questions]
        start, before = perf_counter(), cached_seconds(strategy)
        deadline = Deadline(share=start, end=start + left, least=0)
        asked, found = predict_until(
            strategy, questions, dataset, deadline, run.answers["clean", 0]
        )
        spent = perf_counter() - start
        alone = spent + cached_seconds(strategy) - before
        return replace(
            run,
            answers={**run.answers, ("clean", 0): found},
            asked={**run.asked, ("clean", 0): tuple(item.id for item in asked)},
            predict_seconds=(run.predict_seconds or 0.0) + alone,
            seconds_spent=(run.seconds_spent or 0.0) + spent,
            seconds_alone=None if run.seconds_alone is None else run.seconds_alone + alone,
            unasked=len(questions) - len(asked),
        )

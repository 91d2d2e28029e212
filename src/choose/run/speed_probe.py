"""Run a few seconds of a trial to measure how fast its candidate fits and predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log
from time import perf_counter

from choose.data.scenarios import Pools
from choose.progress import TimeLimitReached, time_limit
from choose.run.predict_test_rows import PassCost, asking_order
from choose.run.trial import Fitted, cached_seconds, prepared
from choose.schema.plan import Job
from choose.strategy import Strategy
from choose.types import Answers, Dataset, Example, Item

# Training rows of a small fit.
SMALL_POOL = 64

# Rows between two checks of the clock: one, which may take long, then enough to fill a batch of a
# language model.
CHUNKS = (1, 3, 12, 50, 100)

# The first row warms up and fills no batch, so its pace is far from the run's: the next rows are
# predicted too, unless they would take more than so many times the seconds that are given.
SECOND_CHUNK = 10.0

# An answer counts as cached where predicting the row again saves this share of the time.
CACHED_SHARE = 0.9

# Progress reports of a loop before it stops: the first step includes set-up.
MIN_REPORTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Seconds that a candidate takes.

    Attributes:
        load: to load what it needs, once a process.
        fits: (rows, seconds) of fits at two pool sizes, ascending, with texts cached.
        per_text: for each training text that the study has not computed before, on top.
        per_row: for each test row; None where it could not be measured.
        saved: seconds of `per_row` that a row saves when another fit predicts it again.
        saved_same_fit: the same for the same fit.
        tokens: tokens read and written for each row, None where nothing counts them.
    """

    load: float
    fits: tuple[tuple[int, float], ...]
    per_row: float | None
    per_text: float = 0.0
    saved: float = 0.0
    saved_same_fit: float = 0.0
    tokens: tuple[float, float] | None = None

    def fit(self, rows: int) -> float:
        """Return seconds of a fit on `rows` rows: a power law with an exponent between 0 and 2."""
        (small, little), (large, much) = self.fits[0], self.fits[-1]
        if large == small or min(little, much) <= 0:
            return much * rows / max(1, large)
        power = min(2.0, max(0.0, log(much / little) / log(large / small)))
        grown: float = (rows / large) ** power
        return much * grown

    def caches(self, saved: float) -> bool:
        """Return whether saving these seconds of a row means that its answer is cached."""
        return self.per_row is not None and saved > CACHED_SHARE * self.per_row

    def first_pass(self, rows: int) -> PassCost | None:
        """Return the seconds of a first pass with the whole pool; None where unknown."""
        if self.per_row is None:
            return None
        pool_rows, fit = self.fits[-1]
        return PassCost(fit + self.per_text * pool_rows, self.per_row, rows)


@dataclass(frozen=True, slots=True)
class Probe:
    """The speed of a trial, and its fit if that finished."""

    speed: Speed
    fitted: Fitted | None


def probe(job: Job, pools: Pools, seconds: float) -> Probe:
    """Begin a trial: stop its fit after `seconds`, then its predictions, after at least one row.

    It predicts the rows that the trial predicts first, so a strategy that caches loses no work.

    Raises:
        Exception: whatever the strategy raises.
    """
    dataset, started = pools.dataset, prepare_trial(job, pools)
    strategy, pool, items = started.strategy, started.pool, started.items
    fit = time_fit(strategy, dataset, pool, seconds)
    predicted, spent = time_predict(strategy, items, seconds, cut=True), fit.spent
    if predicted.each is None:  # the fit stopped too early to predict; a small fit gets further
        small = prepared(job)
        more = time_fit(small, dataset, pool[:SMALL_POOL], seconds)
        predicted = time_predict(small, items, seconds, cut=True)
        spent += more.spent if more.loop != fit.loop else 0.0
    speed = Speed(
        load=started.load,
        fits=((len(pool), spent),),
        per_row=predicted.each,
        tokens=predicted.tokens,
    )
    return Probe(speed, Fitted(strategy, fit.spent, fit.alone) if fit.complete else None)


@dataclass(frozen=True, slots=True)
class PreparedTrial:
    """A strategy with everything loaded, the seconds that took, and the trial's rows in order."""

    strategy: Strategy
    load: float
    pool: list[Example]
    items: list[Item]


def prepare_trial(job: Job, pools: Pools) -> PreparedTrial:
    """Load what a trial needs; test rows come in the order of `predict_until`."""
    dataset, rows = pools.dataset, pools.of(job.trial)
    order = asking_order(rows.questions, dataset)
    began = perf_counter()
    strategy = prepared(job)
    items = [dataset.examples[id].item() for id in order]
    return PreparedTrial(strategy, perf_counter() - began, rows.pool, items)


@dataclass(frozen=True, slots=True)
class FitTiming:
    """Seconds of a fit; extrapolated where it was stopped.

    Attributes:
        spent: seconds that it took, or would have taken.
        cached: seconds of cached work that it reused.
        loop: the loop in which it was stopped, empty if it finished.
        total: the length of that loop, in its own unit.
    """

    spent: float
    cached: float = 0.0
    loop: str = ""
    total: float = 0.0

    @property
    def complete(self) -> bool:
        """Return whether the fit finished."""
        return not self.loop

    @property
    def alone(self) -> float:
        """Return the seconds it takes with nothing cached."""
        return self.spent + self.cached


def time_fit(
    strategy: Strategy,
    dataset: Dataset,
    pool: Sequence[Example],
    seconds: float,
    reports: int = MIN_REPORTS,
) -> FitTiming:
    """Fit, but stop after `seconds` and `reports` progress reports, and extrapolate."""
    start = perf_counter()
    with time_limit(seconds, reports) as progress:
        try:
            strategy.fit(dataset.task, pool)
        except TimeLimitReached:
            spent = perf_counter() - start + (progress.seconds_remaining or 0.0)
            return FitTiming(spent, loop=progress.loop, total=progress.total)
    return FitTiming(perf_counter() - start, cached_seconds(strategy))


@dataclass(frozen=True, slots=True)
class PredictTiming:
    """Predicted rows, and seconds a row: with nothing cached (`each`) and as spent.

    `loop` is the last loop that reported its progress, empty if none did.
    """

    rows: int
    each: float | None = None
    spent: float | None = None
    tokens: tuple[float, float] | None = None
    loop: str = ""


def time_predict(
    strategy: Strategy,
    items: Sequence[Item],
    seconds: float,
    cut: bool = False,
    reports: int = MIN_REPORTS,
) -> PredictTiming:
    """Predict in the run's own order until the time is over; the last chunk gives the speed.

    The first row is predicted whatever it takes, unless it may be `cut`, after so many reports: a
    model that writes long answers takes many seconds for one row alone, and its speed is then
    extrapolated.
    """
    begun, done, each, spent, loop = perf_counter(), 0, None, None, ""
    answers: Answers | None = None
    for number, few in enumerate(CHUNKS):
        chunk = items[done : done + few]
        most = SECOND_CHUNK * seconds if number == 1 else begun + seconds - perf_counter()
        if not chunk or (each is not None and each * len(chunk) > most):
            break
        start = perf_counter()
        try:
            before = cached_seconds(strategy)
            with time_limit(seconds if cut and not done else inf, reports) as progress:
                answers = strategy.predict(chunk)
        except TimeLimitReached:
            if done:
                raise
            spent = perf_counter() - start + (progress.seconds_remaining or 0.0)
            return PredictTiming(0, spent, spent, loop=progress.loop)
        except Exception:
            if done:
                raise
            return PredictTiming(0)  # a strategy whose fit was stopped may be unable to predict
        spent = (perf_counter() - start) / len(chunk)
        each = spent + (cached_seconds(strategy) - before) / len(chunk)
        done, loop = done + len(chunk), progress.loop
    return PredictTiming(done, each, spent, _tokens(answers), loop)


def _tokens(answers: Answers | None) -> tuple[float, float] | None:
    if answers is None or answers.tokens_in is None or not len(answers):
        return None
    written = answers.tokens_out
    return float(answers.tokens_in.mean()), float(written.mean()) if written is not None else 0.0

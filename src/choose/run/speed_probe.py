"""Run a few seconds of a trial to measure how fast its candidate fits and predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, log
from statistics import median
from time import perf_counter

from choose.data.scenarios import Pools
from choose.progress import LoopProgress, TimeLimitReached, sampling, time_limit
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

# Seconds of test rows that are predicted again and again while other candidates are measured.
FURTHER_SECONDS = 0.4

# Progress reports of a loop before it stops: the first step includes set-up.
MIN_REPORTS = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """Some work that was timed, in units.

    Attributes:
        units: how much work it was.
        seconds: what it took.
        paced_by: units with the same take equally long in every candidate; empty if units are test
            rows, which take as long in one candidate only.
        rows: test rows in it; 0 if it was part of a fit.
        warm: whether no set-up is part of it, so that others may go by it.
    """

    units: float
    seconds: float
    paced_by: str = ""
    rows: int = 0
    warm: bool = True


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
        samples: predictions that were timed, with nothing cached; `per_row` is of the first.
        fit_sample: the part of a fit from which `fits` are extrapolated, if one is.
    """

    load: float
    fits: tuple[tuple[int, float], ...]
    per_row: float | None
    per_text: float = 0.0
    saved: float = 0.0
    saved_same_fit: float = 0.0
    tokens: tuple[float, float] | None = None
    samples: tuple[Sample, ...] = ()
    fit_sample: Sample | None = None

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


def at_common_pace(speeds: Mapping[str, Speed]) -> dict[str, Speed]:
    """Return speeds, by candidate, by the median of all that was timed of the same kind.

    Candidates that read with the same language model share what a unit of reading takes, so one
    that was measured while another program had the processor is not forecast to be slower.
    """
    timed: dict[str, list[float]] = {}
    for name, speed in speeds.items():
        fits = [speed.fit_sample] if speed.fit_sample is not None else []
        for sample in (*speed.samples, *(one for one in fits if one.paced_by and one.warm)):
            timed.setdefault(sample.paced_by or name, []).append(sample.seconds / sample.units)
    paces = {key: median(each) for key, each in timed.items()}
    return {name: _at_pace(name, speed, paces) for name, speed in speeds.items()}


def _at_pace(name: str, speed: Speed, paces: Mapping[str, float]) -> Speed:
    rows, fits = 1.0, 1.0
    if speed.per_row and speed.samples:
        units = sum(sample.units for sample in speed.samples)
        a_row = units / sum(sample.rows for sample in speed.samples)
        rows = paces[speed.samples[0].paced_by or name] * a_row / speed.per_row
    fit = speed.fit_sample
    if fit is not None and fit.seconds and fit.paced_by in paces:
        fits = paces[fit.paced_by] * fit.units / fit.seconds
        fit = replace(fit, seconds=fits * fit.seconds)  # a kept speed is put at a pace again
    # A fit of cached answers alone takes nothing but for its texts.
    texts = fits if not speed.fits[-1][1] else 1.0
    return replace(
        speed,
        fits=tuple((count, fits * seconds) for count, seconds in speed.fits),
        per_text=texts * speed.per_text,
        per_row=None if speed.per_row is None else rows * speed.per_row,
        saved=rows * speed.saved,
        saved_same_fit=rows * speed.saved_same_fit,
        fit_sample=fit,
    )


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
        sample: the part of it that was timed.
        shared: seconds of work for all fits that was left out.
    """

    spent: float
    cached: float = 0.0
    loop: str = ""
    total: float = 0.0
    sample: Sample | None = None
    shared: float = 0.0

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
            measured = progress.measured
            sample = measured and Sample(*measured, progress.paced_by, warm=progress.warm)
            return FitTiming(spent, 0.0, progress.loop, progress.total, sample, progress.shared)
    return FitTiming(perf_counter() - start, cached_seconds(strategy), shared=progress.shared)


@dataclass(frozen=True, slots=True)
class PredictTiming:
    """Predicted rows, and seconds a row: with nothing cached (`each`) and as spent.

    `loop` is the last loop that reported its progress, empty if none did; `sample` is what gives
    the seconds of a row.
    """

    rows: int
    each: float | None = None
    spent: float | None = None
    tokens: tuple[float, float] | None = None
    loop: str = ""
    sample: Sample | None = None


def time_predict(
    strategy: Strategy,
    items: Sequence[Item],
    seconds: float,
    cut: bool = False,
    reports: int = MIN_REPORTS,
    chunks: Sequence[int] = CHUNKS,
) -> PredictTiming:
    """Predict in the run's own order until the time is over; the last chunk gives the speed.

    The first row is predicted whatever it takes, unless it may be `cut` after so many reports: a
    long answer takes many seconds, which are then extrapolated.
    """
    begun, done, each, spent, loop = perf_counter(), 0, None, None, ""
    answers: Answers | None = None
    sample: Sample | None = None
    for number, few in enumerate(chunks):
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
        sample = _sample(progress, len(chunk), len(chunk) * each, whole=each == spent)
    return PredictTiming(done, each, spent, _tokens(answers), loop, sample)


def _sample(progress: LoopProgress, rows: int, seconds: float, whole: bool) -> Sample | None:
    """Return predictions as a sample; None where an unknown part of the units was cached."""
    if not progress.paced_by:
        return Sample(rows, seconds, rows=rows)
    return Sample(progress.total, seconds, progress.paced_by, rows) if whole else None


def _tokens(answers: Answers | None) -> tuple[float, float] | None:
    if answers is None or answers.tokens_in is None or not len(answers):
        return None
    written = answers.tokens_out
    return float(answers.tokens_in.mean()), float(written.mean()) if written is not None else 0.0


@dataclass
class FurtherRows:
    """Test rows that a fitted strategy has not predicted yet, and how many to predict at a time."""

    strategy: Strategy
    items: Sequence[Item]
    rows: int

    @classmethod
    def after(
        cls, strategy: Strategy, items: Sequence[Item], predicted: PredictTiming
    ) -> FurtherRows | None:
        """Return the rows behind those that were predicted; None where they take too long."""
        first = predicted.sample
        if first is None or not predicted.each:
            return None
        # Where units are rows, as many of them take as long; other units need not be as many.
        few = max(1, round(FURTHER_SECONDS / predicted.each)) if first.paced_by else first.rows
        rows = min(first.rows, few)
        left = items[predicted.rows :]
        return cls(strategy, left, rows) if rows * predicted.each <= 2 * FURTHER_SECONDS else None

    def sample(self) -> Sample | None:
        """Predict some of them; None where there are too few, or they cannot be predicted."""
        some, self.items = self.items[: self.rows], self.items[self.rows :]
        if len(some) < self.rows:
            return None
        with sampling():
            return time_predict(self.strategy, some, inf, chunks=(self.rows,)).sample

"""Begin a trial, to see at what pace it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from time import perf_counter

from choose.data.pools import Pools
from choose.data.stratify import stratified_order
from choose.progress import TimeLimitReached, time_limit
from choose.run.timed_predict import PassCost
from choose.run.trial import Fitted, cached_seconds, prepared
from choose.strategy import Strategy
from choose.study.grid import Job
from choose.types import Answers, Dataset, Example, Item

# Rows of a small fit.
SMALL_POOL = 64


# Questions asked between two looks at the clock: one, which may take long, then enough to fill a
# pass of a language model.
CHUNKS = (1, 12, 50, 100)


# Where asking a question again saves this part of it, its answer is remembered.
CACHED_SHARE = 0.9


# Reports of a loop before it is stopped: the first step sets things up, another gives a pace.
MIN_REPORTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a candidate takes, in seconds; None where it could not be found out.

    Attributes:
        load: to be ready, once a process.
        fits: (rows, seconds) of fits at two sizes, ascending, texts known already.
        text: for each text of a pool that nobody has met in this study, on top.
        ask: for each question.
        met: the part of `ask` that the same question does not cost again after another fit.
        same: the part of it that the same question does not cost again after the same fit.
        tokens: read and written for each question, or None where nothing counts tokens.
    """

    load: float
    fits: tuple[tuple[int, float], ...]
    ask: float | None
    text: float = 0.0
    met: float = 0.0
    same: float = 0.0
    tokens: tuple[float, float] | None = None

    def fit(self, rows: int) -> float:
        """Return seconds of a fit on so many rows, along a power of the rows between 0 and 2."""
        (small, little), (large, much) = self.fits[0], self.fits[-1]
        if large == small or min(little, much) <= 0:
            return much * rows / max(1, large)
        power = min(2.0, max(0.0, log(much / little) / log(large / small)))
        grown: float = (rows / large) ** power
        return much * grown

    def remembers(self, saved: float) -> bool:
        """Return whether so much saved of a question is nearly all of it."""
        return self.ask is not None and saved > CACHED_SHARE * self.ask

    def need(self, rows: int) -> PassCost | None:
        """Return what a first pass of so many rows takes, of a whole pool; None where unknown."""
        learnt, fit = self.fits[-1]
        return None if self.ask is None else PassCost(fit + self.text * learnt, self.ask, rows)


@dataclass(frozen=True, slots=True)
class Probe:
    """The pace of a trial that was begun, and its fit if that came to an end."""

    pace: Speed
    fitted: Fitted | None


def probe(job: Job, pools: Pools, seconds: float) -> Probe:
    """Begin a trial: its fit stops after so many seconds, and so do its questions, after one.

    The questions are those that the trial asks first, so that a strategy which remembers its work
    loses nothing. What a second trial would save is not looked at.

    Raises:
        Exception: whatever the strategy raises; such a candidate has no pace.
    """
    dataset, started = pools.dataset, prepare_trial(job, pools)
    strategy, pool, items = started.strategy, started.pool, started.items
    fit = time_fit(strategy, dataset, pool, seconds)
    asked, spent = time_predict(strategy, items, seconds), fit.spent
    if asked.each is None:  # it was stopped too early, in a loop that a smaller one soon leaves
        little = prepared(job)
        more = time_fit(little, dataset, pool[:SMALL_POOL], seconds)
        asked = time_predict(little, items, seconds)
        spent += more.spent if more.loop != fit.loop else 0.0
    pace = Speed(load=started.load, fits=((len(pool), spent),), ask=asked.each, tokens=asked.tokens)
    return Probe(pace, Fitted(strategy, fit.spent, fit.alone) if fit.complete else None)


@dataclass(frozen=True, slots=True)
class PreparedTrial:
    """A strategy ready for a trial, what getting it ready took, and the trial's rows in order."""

    strategy: Strategy
    load: float
    pool: list[Example]
    items: list[Item]


def prepare_trial(job: Job, pools: Pools) -> PreparedTrial:
    """Load what a trial needs; the questions come in the order in which a budget asks them."""
    dataset, rows = pools.dataset, pools.of(job.trial)
    targets = {id: dataset.examples[id].target for id in rows.questions}
    order = stratified_order(sorted(targets), targets, "asked")
    began = perf_counter()
    strategy = prepared(job)
    items = [dataset.examples[id].item() for id in order]
    return PreparedTrial(strategy, perf_counter() - began, rows.pool, items)


@dataclass(frozen=True, slots=True)
class FitTiming:
    """A fit: what it took or, where it was stopped, would have taken; what others had done.

    `loop` is the one in which it was stopped, and `total` its length in the loop's own unit.
    """

    spent: float
    cached: float = 0.0
    loop: str = ""
    total: float = 0.0

    @property
    def complete(self) -> bool:
        """Return whether it came to its end."""
        return not self.loop

    @property
    def alone(self) -> float:
        """Return what it takes with nothing cached."""
        return self.spent + self.cached


def time_fit(
    strategy: Strategy,
    dataset: Dataset,
    pool: Sequence[Example],
    seconds: float,
    reports: int = MIN_REPORTS,
) -> FitTiming:
    """Fit; after so many seconds, and so many reports of a loop, stop and tell from its pace."""
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
    """How many questions were asked, what each takes alone, and what it took now."""

    rows: int
    each: float | None = None
    spent: float | None = None
    tokens: tuple[float, float] | None = None


def time_predict(strategy: Strategy, items: Sequence[Item], seconds: float) -> PredictTiming:
    """Ask in the run's own order until the time is over; the last questions set the pace."""
    end, done, each, spent = perf_counter() + seconds, 0, None, None
    answers: Answers | None = None
    for few in CHUNKS:
        chunk = items[done : done + few]
        if not chunk or (each is not None and perf_counter() + each * len(chunk) > end):
            break
        try:
            start, before = perf_counter(), cached_seconds(strategy)
            answers = strategy.predict(chunk)
        except Exception:
            if done:
                raise
            return PredictTiming(0)  # one whose fit was stopped may not be able to answer
        spent = (perf_counter() - start) / len(chunk)
        each = spent + (cached_seconds(strategy) - before) / len(chunk)
        done += len(chunk)
    return PredictTiming(done, each, spent, _tokens(answers))


def _tokens(answers: Answers | None) -> tuple[float, float] | None:
    if answers is None or answers.tokens_in is None or not len(answers):
        return None
    written = answers.tokens_out
    return float(answers.tokens_in.mean()), float(written.mean()) if written is not None else 0.0

"""Measure for a plan how fast a candidate fits and predicts, and what it caches: a few steps each.

The first step of anything includes set-up (libraries are loaded, kernels compiled) and does not
count. Every part stops after the same few seconds, so that a plan takes as long for a slow
candidate as for a fast one, but for a single step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from math import inf
from pathlib import Path
from time import time

from choose.data.noise_injection import noisy
from choose.data.scenarios import Pools
from choose.files import digest, read_text, write_json
from choose.models.environment_settings import cache_dir, cores, dtype_setting
from choose.models.results.output_cache import environment, size_limit
from choose.progress import sampling
from choose.run.speed_probe import (
    CACHED_SHARE,
    MIN_REPORTS,
    SMALL_POOL,
    FitTiming,
    FurtherRows,
    PredictTiming,
    PreparedTrial,
    Sample,
    Speed,
    prepare_trial,
    time_fit,
    time_predict,
)
from choose.run.trial import prepared
from choose.schema.plan import Job
from choose.strategy import Strategy, find
from choose.types import Dataset, Example, Item

# Seconds that a fit may take in the measurement, and again its predictions: at most, and at least
# where time is short; and the parts of a measurement.
MEASURE_SECONDS, LEAST_SECONDS, PARTS = 1.5, 0.3, 4

# How long a measured speed is used again: a week. Machines change, and so does their load.
STORED_SECONDS = 7 * 24 * 3600.0

# Load, in processors, above which a measured speed is not kept: this process makes up to one.
BUSY = 2.0

# Share of labels changed, so that a second fit on the same texts is another trial.
RELABELLED_SHARE = 0.3

# Test rows that are predicted again to see whether their answers are cached.
REPEATED_ITEMS = 1

# Training rows that warm a fast candidate up, and those of a slow one's second fit.
WARM_UP_ROWS, SECOND_FIT_ROWS = 8, 8

# The loop in which texts are embedded, and how many beginnings of a small fit end in it at most.
EMBEDDING, MOST_BEGINNINGS = "embedding", 4

# A strategy that saves less of a row's time when the same fit predicts it again caches nothing.
MAYBE_CACHED = 0.5


def part_seconds(left: float, candidates: int) -> float:
    """Return the seconds of a part of a measurement where some candidates are still to measure."""
    return min(MEASURE_SECONDS, max(LEAST_SECONDS, left / (PARTS * candidates)))


def measure_speed(job: Job, pools: Pools, seconds: float) -> KnownSpeed:
    """Begin trials on the same texts, at two pool sizes; each part takes `seconds` or one step.

    The second trial has another seed and other labels, so that only shared work is cached for it.

    Raises:
        Exception: whatever the strategy raises.
    """
    with sampling():
        started = prepare_trial(job, pools)
        started.items.sort(key=_unlike_the_average(started.items))
        measure = _measure_fast if find(job.trial.strategy).cheap else _measure_slow
        return measure(job, pools.dataset, started, seconds)


@dataclass
class KnownSpeed:
    """A speed, and how many seconds ago it was measured.

    Attributes:
        further: test rows to predict later on; None where the speed was measured before.
        file: where to keep it, None for nowhere.
        now: when it was asked for, in seconds.
    """

    speed: Speed
    age: float = 0.0
    further: FurtherRows | None = None
    file: Path | None = None
    now: float = 0.0

    def measure_again(self) -> None:
        """Predict a few more test rows, which tells how fast the machine is by now."""
        if self.further is None:
            return
        with suppress(Exception):  # what was measured before stays
            sample, samples = self.further.sample(), self.speed.samples
            if sample is not None and sample.paced_by == samples[0].paced_by:
                self.speed = replace(self.speed, samples=(*samples, sample))

    def keep(self) -> None:
        """Keep a speed that was measured, unless others keep the processor busy."""
        if self.file is None or self.age or busy():
            return
        with suppress(OSError):  # without a cache the next plan measures again
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.file, {"measured": self.now, "speed": asdict(self.speed)})


def known_speed(
    job: Job, pools: Pools, seconds: float, clock: Callable[[], float] = time
) -> KnownSpeed:
    """Return the speed of a candidate on these rows: measured, or in the user's cache for a week.

    A cached one is of the same strategy, weights, rows, number type, threads, code, libraries and
    processor. With CHOOSE_KEEP_GB=0 nothing is cached.

    Raises:
        Exception: whatever the strategy raises.
    """
    made_by = (
        job.trial.key,
        len(pools.of(job.trial).pool),
        dtype_setting(),
        cores(),
        environment(),
    )
    file = cache_dir() / "speeds" / f"{digest(made_by)}.json" if size_limit() > 0 else None
    now = clock()
    if file is not None and (known := _stored(file, now)) is not None:
        return known
    return replace(measure_speed(job, pools, seconds), file=file, now=now)


def busy() -> bool:
    """Return whether so much runs on this machine that a speed says little about other times."""
    load = getattr(os, "getloadavg", lambda: (0.0,))()[0]
    return bool(load > BUSY * (os.cpu_count() or 1))


def _stored(file: Path, now: float) -> KnownSpeed | None:
    """Return a stored speed; None if there is none, it is older than a week, or is damaged."""
    try:
        facts = json.loads(read_text(file))
        age, pace = now - float(facts["measured"]), facts["speed"]
        pace["fits"] = tuple((int(rows), float(seconds)) for rows, seconds in pace["fits"])
        pace["tokens"] = pace["tokens"] and (float(pace["tokens"][0]), float(pace["tokens"][1]))
        timed = [Sample(**one) for one in pace["samples"]]
        fit = pace["fit_sample"] and Sample(**pace["fit_sample"])
        pace["samples"], pace["fit_sample"] = tuple(timed), fit
        numbers = [pace[name] for name in ("load", "per_text", "saved", "saved_same_fit")]
        numbers += [seconds for _, seconds in pace["fits"]]
        numbers += [] if pace["per_row"] is None else [pace["per_row"]]
        timed += [fit] if fit else []
        positive = all(0 < n < inf for one in timed for n in (one.units, one.seconds))
        positive = positive and all(one.rows > 0 for one in pace["samples"])
        usable = 0 <= age < STORED_SECONDS and all(0 <= n < inf for n in numbers) and pace["fits"]
        return KnownSpeed(Speed(**pace), age) if usable and positive else None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def _unlike_the_average(items: Sequence[Item]) -> Callable[[Item], float]:
    """Return a sort key: of the few rows that are predicted, none should be long or short."""
    average = sum(len(item.text) for item in items) / max(1, len(items))
    return lambda item: abs(len(item.text) - average)


def _measure_fast(job: Job, dataset: Dataset, started: PreparedTrial, seconds: float) -> KnownSpeed:
    """Fit a small pool twice and a larger one once, without a time limit.

    Where texts are cached the larger one has those of the small one again and again, so that
    nothing is computed but the fit.
    """
    pool, few = started.pool, min(SMALL_POOL, len(started.pool))
    time_fit(started.strategy, dataset, pool[:WARM_UP_ROWS], inf)
    time_fit(started.strategy, dataset, pool[:few], inf)
    second = prepared(job, seed_offset=1)
    small = time_fit(second, dataset, _relabelled(pool[:few], dataset), inf)
    rows = _rows_for_second_fit(small, few, len(pool), seconds)
    strategy, larger, per_text = started.strategy, small, 0.0
    if small.cached:
        set_up = time_fit(prepared(job), dataset, pool[:WARM_UP_ROWS], inf).cached
        per_text = max(0.0, small.cached - set_up) / max(1, few - WARM_UP_ROWS)
    if rows > few:
        strategy = prepared(job)
        larger_pool = _repeated(pool[:few], rows) if small.cached else pool[:rows]
        larger = time_fit(strategy, dataset, larger_pool, inf)
    predicted = time_predict(strategy, started.items, seconds)
    repeated = time_predict(second, started.items[: min(REPEATED_ITEMS, predicted.rows)], seconds)
    return KnownSpeed(
        Speed(
            load=started.load,
            fits=((few, small.spent), (rows, larger.spent)),
            per_text=per_text,
            per_row=predicted.each,
            saved=_saved(predicted, repeated) if small.cached else 0.0,
            tokens=predicted.tokens,
        )
    )


def _measure_slow(job: Job, dataset: Dataset, started: PreparedTrial, seconds: float) -> KnownSpeed:
    """Begin a fit of the whole pool; of a small one, only until its length is known."""
    pool, few = started.pool, min(SMALL_POOL, len(started.pool))
    whole = time_fit(started.strategy, dataset, pool, seconds)
    predicting, predicted = started.strategy, time_predict(started.strategy, started.items, seconds)
    small = _begin_small(job, dataset, pool[:few])
    further = bool(whole.loop) and not small.complete and small.loop != whole.loop
    if further or predicted.each is None:
        smaller = prepared(job)
        # The first step of a model that was loaded just now sets up, and does not count.
        first = MIN_REPORTS if started.load > seconds else 1
        begun = time_fit(smaller, dataset, pool[:few], seconds, reports=first)
        small = begun if further else small
    if predicted.each is None:  # the fit stopped too early to predict; a small one got further
        predicting = smaller
        predicted = time_predict(predicting, started.items, seconds)
    same_fit = _saved(predicted, _time_again(predicting, started.items, predicted, seconds))
    other_fit = 0.0
    if predicted.each is not None and same_fit > MAYBE_CACHED * predicted.each:
        other_fit = _saved_by_other_fit(job, dataset, started, predicted, seconds)
    fits, text = ((few, _seconds_at_same_pace(small, whole)), (len(pool), whole.spent)), 0.0
    embedded = bool(whole.loop) and small.loop != whole.loop
    if embedded:
        # It stopped in a loop that the small fit finished: later ones are to cost what they did.
        fits, text = ((few, small.spent), (len(pool), small.spent)), whole.spent / len(pool)
    elif predicted.each is not None and other_fit > CACHED_SHARE * predicted.each:
        # If test rows are cached, so are training rows that calibrate.
        fits, text = ((few, 0.0), (len(pool), 0.0)), whole.spent / len(pool)
    speed = Speed(
        load=started.load + whole.shared,
        fits=fits,
        per_text=text,
        per_row=predicted.each,
        saved=other_fit,
        saved_same_fit=same_fit,
        tokens=predicted.tokens,
        samples=() if predicted.sample is None else (predicted.sample,),
        fit_sample=(small if embedded else whole).sample,
    )
    return KnownSpeed(speed, further=FurtherRows.after(predicting, started.items, predicted))


def _begin_small(job: Job, dataset: Dataset, few: Sequence[Example]) -> FitTiming:
    """Begin a small fit, up to the loop after the embedding of its texts, which are kept."""
    small = FitTiming(0.0, loop=EMBEDDING)
    for _ in range(MOST_BEGINNINGS):
        if small.loop == EMBEDDING:
            small = time_fit(prepared(job), dataset, few, 0.0, reports=0)
    return small


def _saved_by_other_fit(
    job: Job, dataset: Dataset, started: PreparedTrial, predicted: PredictTiming, seconds: float
) -> float:
    """Return the seconds of a row that are saved when another fit predicts it again.

    That fit is only begun: what it predicts with is ready before its first step.
    """
    other = prepared(job, seed_offset=1)
    time_fit(other, dataset, _relabelled(started.pool[:SECOND_FIT_ROWS], dataset), 0.0, reports=0)
    return _saved(predicted, _time_again(other, started.items, predicted, seconds))


def _time_again(
    strategy: Strategy, items: Sequence[Item], first: PredictTiming, seconds: float
) -> PredictTiming:
    """Predict the first rows again, but stop before the first step of the loop that took the time.

    Work that it begins anew is not cached: nothing is saved, which costs no step to see. Where it
    stops in another loop the rows are predicted to their end.
    """
    again = items[: min(REPEATED_ITEMS, first.rows)]
    begun = time_predict(strategy, again, 0.0, cut=True, reports=0)
    if begun.rows or begun.loop == first.loop:
        return begun
    return time_predict(strategy, again, seconds)


def _seconds_at_same_pace(small: FitTiming, whole: FitTiming) -> float:
    """Return the seconds of the small fit at the pace of the whole one, if their loops match."""
    if small.loop and small.loop == whole.loop and whole.total:
        return whole.spent * min(1.0, small.total / whole.total)
    return min(small.spent, whole.spent) if small.complete else whole.spent


def _saved(first: PredictTiming, repeated: PredictTiming) -> float:
    return max(0.0, (first.each or 0.0) - (repeated.spent or 0.0)) if repeated.rows else 0.0


def _repeated(pool: Sequence[Example], rows: int) -> list[Example]:
    """Return so many rows that repeat a pool's under other ids."""
    again = enumerate(islice(cycle(pool), rows))
    return [replace(example, id=f"{example.id} {number}") for number, example in again]


def _relabelled(pool: Sequence[Example], dataset: Dataset) -> list[Example]:
    return noisy(pool, dataset.task, "symmetric", RELABELLED_SHARE, seed=1)


def _rows_for_second_fit(small: FitTiming, few: int, rows: int, seconds: float) -> int:
    """Return the rows of the second fit: all, unless the small fit forecasts too long a fit."""
    whole = small.spent * rows / few
    if whole <= 2 * seconds:
        return rows
    return min(rows, max(2 * few, round(rows * 2 * seconds / whole)))

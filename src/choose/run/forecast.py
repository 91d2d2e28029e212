"""Forecast seconds, tokens and dollars of every candidate's trials from a short measurement."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from choose.data.noise_injection import add_noise
from choose.data.scenarios import Pools
from choose.errors import ChooseError
from choose.models.endpoints.settings import Endpoint
from choose.models.weights.resolve import missing_weights
from choose.models.weights.spec import names_endpoint
from choose.run.predict import PassCost, allocate
from choose.run.speed_probe import (
    CACHED_SHARE,
    SMALL_POOL,
    FitTiming,
    PredictTiming,
    PreparedTrial,
    Speed,
    prepare_trial,
    time_fit,
    time_predict,
)
from choose.run.spending_limit import affordable_rows
from choose.run.time_budget import FIRST_PASS_SHARE
from choose.run.trial import prepared
from choose.schema.plan import TimeForecast, total_usd
from choose.strategy import Strategy, find
from choose.study.candidates import endpoints_of
from choose.study.grid_points import FIRST_PASS
from choose.study.spending_forecast import bills_of
from choose.types import Candidate, Dataset, Example, Job

# Share of labels changed, so that a second fit on the same texts is another trial.
RELABELLED_SHARE = 0.3

# Test rows that a second fit of a slow candidate predicts.
REPEATED_ITEMS = 5

# Training rows of a second fit of a slow candidate: few, so that it can predict soon.
SECOND_FIT_ROWS = 8


def measure_speed(job: Job, pools: Pools, seconds: float) -> Speed:
    """Begin two trials on the same texts, at two pool sizes.

    The second one has another seed and other labels, so that only shared work is cached for it.

    Raises:
        Exception: whatever the strategy raises.
    """
    started = prepare_trial(job, pools)
    measure = _measure_fast if find(job.trial.strategy).cheap else _measure_slow
    return measure(job, pools.dataset, started, seconds)


def _measure_fast(job: Job, dataset: Dataset, started: PreparedTrial, seconds: float) -> Speed:
    """Fit a small and a larger pool, each twice and without a time limit."""
    pool, few = started.pool, min(SMALL_POOL, len(started.pool))
    small, second = _fit_twice(job, started.strategy, dataset, pool[:few])
    rows = _rows_for_second_fit(small, few, len(pool), seconds)
    strategy, larger = started.strategy, small
    if rows > few:
        strategy = prepared(job)
        larger, second = _fit_twice(job, strategy, dataset, pool[:rows])
    predicted = time_predict(strategy, started.items, seconds)
    repeated = time_predict(second, started.items[: predicted.rows], seconds)
    return Speed(
        load=started.load,
        fits=((few, small.spent), (rows, larger.spent)),
        per_text=_seconds_per_text(small, few, larger, rows),
        per_row=predicted.each,
        saved=_saved(predicted, repeated),
        tokens=predicted.tokens,
    )


def _measure_slow(job: Job, dataset: Dataset, started: PreparedTrial, seconds: float) -> Speed:
    """Begin a fit of the whole pool, and run a small fit until it reports its length."""
    pool, few = started.pool, min(SMALL_POOL, len(started.pool))
    whole = time_fit(started.strategy, dataset, pool, seconds)
    partial = prepared(job)
    small = time_fit(partial, dataset, pool[:few], seconds / 2, reports=1)
    predicting, predicted = started.strategy, time_predict(started.strategy, started.items, seconds)
    if predicted.each is None:
        predicting, predicted = partial, time_predict(partial, started.items, seconds)
    few_items = started.items[: min(REPEATED_ITEMS, predicted.rows)]
    same_fit = _saved(predicted, time_predict(predicting, few_items, seconds))
    other = prepared(job, seed_offset=1)
    time_fit(other, dataset, _relabelled(pool[:SECOND_FIT_ROWS], dataset), seconds / 2, reports=1)
    other_fit = _saved(predicted, time_predict(other, few_items, seconds))
    fits, text = ((few, _seconds_at_same_pace(small, whole)), (len(pool), whole.spent)), 0.0
    if whole.loop and small.loop != whole.loop:
        # It stopped in a loop that the small fit has finished, such as embedding; the later loops
        # are assumed to cost what they cost the small fit.
        fits, text = ((few, small.spent), (len(pool), small.spent)), whole.spent / len(pool)
    elif predicted.each is not None and other_fit > CACHED_SHARE * predicted.each:
        # If test rows are cached, so are training rows that calibrate.
        fits, text = ((few, 0.0), (len(pool), 0.0)), whole.spent / len(pool)
    return Speed(
        load=started.load,
        fits=fits,
        per_text=text,
        per_row=predicted.each,
        saved=other_fit,
        saved_same_fit=same_fit,
        tokens=predicted.tokens,
    )


def _seconds_at_same_pace(small: FitTiming, whole: FitTiming) -> float:
    """Return the seconds of the small fit; at the speed of the whole one if their loops match."""
    if small.loop and small.loop == whole.loop:
        return whole.spent * small.total / whole.total
    return small.spent


def _seconds_per_text(small: FitTiming, few: int, larger: FitTiming, rows: int) -> float:
    """Return seconds of a new text; the first ones, which warm up, do not count."""
    if rows > few:
        return max(0.0, larger.cached - small.cached) / (rows - few)
    return larger.cached / max(1, rows)


def _saved(first: PredictTiming, repeated: PredictTiming) -> float:
    return max(0.0, (first.each or 0.0) - (repeated.spent or 0.0)) if repeated.rows else 0.0


def _fit_twice(
    job: Job, first: Strategy, dataset: Dataset, pool: Sequence[Example]
) -> tuple[FitTiming, Strategy]:
    """Fit twice on the same texts; return the second strategy, for which all texts are cached."""
    time_fit(first, dataset, pool, inf)
    second = prepared(job, seed_offset=1)
    return time_fit(second, dataset, _relabelled(pool, dataset), inf), second


def _relabelled(pool: Sequence[Example], dataset: Dataset) -> list[Example]:
    return add_noise(pool, dataset.task.labels, "symmetric", RELABELLED_SHARE, seed=1)


def _rows_for_second_fit(small: FitTiming, few: int, rows: int, seconds: float) -> int:
    """Return the rows of the second fit: all, unless the small fit forecasts too long a fit."""
    whole = small.alone * rows / few
    if whole <= 2 * seconds:
        return rows
    return min(rows, max(2 * few, round(rows * 2 * seconds / whole)))


# Seconds that a fit may take in the measurement, and again its predictions.
MEASURE_SECONDS = 2.0


def forecast(jobs: Sequence[Job], pools: Pools, budget: float | None) -> list[TimeForecast]:
    """Measure the speed of every candidate that runs on this machine and add up its trials.

    Nothing is sent or downloaded: candidates at endpoints, or without their weights, have no
    forecast.
    """
    of: dict[str, list[Job]] = {}
    for job in jobs:
        of.setdefault(job.trial.candidate, []).append(job)
    speeds: dict[str, Speed] = {}
    forecasts: dict[str, TimeForecast] = {}
    for name, own in of.items():
        why = _why_not(own[0])
        if why is None:
            try:
                speeds[name] = measure_speed(own[0], pools, MEASURE_SECONDS)
            except Exception as error:
                why = str(error) if isinstance(error, ChooseError) else f"It failed: {error}"
        forecasts[name] = TimeForecast(candidate=name, trials=len(own), why_not=why)
    sums = ForecastSums(pools, speeds)
    for job in jobs:
        sums.add(job)
    for name, speed in speeds.items():
        forecasts[name] = _with_sums(forecasts[name], sums, speed)
    if budget is not None:
        for name, rows in _rows_within_budget(jobs, sums, budget).items():
            forecasts[name] = replace(forecasts[name], rows=rows)
    return list(forecasts.values())


def add_prices(
    forecasts: Sequence[TimeForecast],
    jobs: Sequence[Job],
    candidates: Sequence[Candidate],
    pools: Pools,
    endpoints: Mapping[str, Endpoint],
    limit: float | None = None,
) -> list[TimeForecast]:
    """Add tokens and dollars to the forecasts of candidates at endpoints.

    With a `limit` of dollars, also the rows that it pays for.
    """
    by_name = {c.name: c for c in candidates}
    rows = {} if limit is None else affordable_rows(jobs, pools, endpoints, limit)
    return [
        replace(
            _with_prices(one, jobs, by_name[one.candidate], pools, endpoints),
            rows=rows.get(one.candidate, one.rows),
        )
        for one in forecasts
    ]


def _with_prices(
    one: TimeForecast,
    jobs: Sequence[Job],
    candidate: Candidate,
    pools: Pools,
    endpoints: Mapping[str, Endpoint],
) -> TimeForecast:
    own = [job for job in jobs if job.trial.candidate == candidate.name]
    if not endpoints_of(candidate, endpoints):
        return one
    bills = bills_of(own, [candidate], pools, endpoints)
    return replace(
        one,
        read=sum(bill.read for bill in bills),
        written=sum(bill.written for bill in bills),
        usd=total_usd(bills),
    )


def _why_not(job: Job) -> str | None:
    if names_endpoint(job.trial.params):
        return "The speed of an endpoint is unknown until the first request."
    for spec in job.trial.params.values():
        if isinstance(spec, str) and (why := missing_weights(spec)):
            return why
    return None


def _with_sums(one: TimeForecast, sums: ForecastSums, speed: Speed) -> TimeForecast:
    name = one.candidate
    if speed.per_row is None:
        return replace(
            one, why_not="Its fit did not finish in the measurement, so it could not predict."
        )
    rows, tokens = sums.predicted_rows[name], speed.tokens
    return replace(
        one,
        first=sums.first.get(name),
        seconds=sums.seconds[name],
        read=None if tokens is None else round(rows * tokens[0]),
        written=None if tokens is None else round(rows * tokens[1]),
    )


@dataclass
class ForecastSums:
    """Seconds by candidate, summed in the order of the run because cached work costs less.

    Candidates share the embeddings of an encoder; other caches are their own. `early` is the time
    before the first trial of a slow candidate, None before one is added.
    """

    pools: Pools
    speeds: Mapping[str, Speed]
    seconds: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    predicted_rows: dict[str, int] = field(default_factory=dict)
    seen: set[Hashable] = field(default_factory=set)
    early: float | None = None

    def add(self, job: Job) -> None:
        """Add a trial."""
        name = job.trial.candidate
        if self.early is None and not find(job.trial.strategy).cheap:
            self.early = sum(self.seconds.values())
        speed = self.speeds.get(name)
        if speed is None:
            return
        before = speed.load if name not in self.seconds else 0.0
        seconds = before + self._trial_seconds(job, speed)
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        if job.part == FIRST_PASS:
            self.first[name] = self.first.get(name, 0.0) + seconds

    def _trial_seconds(self, job: Job, speed: Speed) -> float:
        trial = job.trial
        rows = self.pools.of(trial)
        encoder = trial.params.get("encoder")
        memory: tuple[Hashable, ...] = (encoder,) if encoder else (trial.candidate, trial.variant)
        new_texts = self._new(memory, ("pool",), [e.id for e in rows.pool])
        # A job that only adds views fits its trial again; cached prompts include those of the fit.
        known = not self._new((trial.candidate,), ("trial",), [trial.key])
        saved_same_fit = speed.saved_same_fit if known else 0.0
        seconds = 0.0
        if not speed.caches(saved_same_fit):
            seconds = speed.fit(len(rows.pool)) + speed.per_text * new_texts
        view_rows = max(1, job.view_rows // len(self.pools.dataset.folds))
        views = [("clean", len(rows.questions)), *((view, view_rows) for view in job.views)]
        for view, most in views:
            ids = rows.questions[:most]
            place = ("pool",) if encoder and view == "clean" else ("asked", view)
            cached = len(ids) - self._new(memory, place, ids)
            saved = max(speed.saved, saved_same_fit if view == "clean" else 0.0)
            seconds += max(0.0, (speed.per_row or 0.0) * len(ids) - saved * cached)
            stored = len(ids) if known and view == "clean" else 0
            self.predicted_rows[trial.candidate] = (
                self.predicted_rows.get(trial.candidate, 0) + len(ids) - stored
            )
        repeated = min(view_rows, len(rows.questions)) * (job.repeats - 1)
        return seconds + (speed.per_row or 0.0) * repeated

    def _new(self, memory: tuple[Hashable, ...], place: tuple[str, ...], ids: Sequence[str]) -> int:
        keys = {(*memory, *place, id) for id in ids} - self.seen
        self.seen |= keys
        return len(keys)


def _rows_within_budget(jobs: Sequence[Job], sums: ForecastSums, budget: float) -> dict[str, int]:
    """Return first-pass rows by slow candidate, where the budget does not cover all."""
    costs: dict[str, PassCost | None] = {}
    for job in jobs:
        name, fold = job.trial.candidate, job.trial.fold
        if job.part == FIRST_PASS and fold == 0 and not find(job.trial.strategy).cheap:
            speed, rows = sums.speeds.get(name), len(sums.pools.dataset.folds[fold].questions)
            costs[name] = None if speed is None else speed.first_pass(rows)
    share = allocate(costs, FIRST_PASS_SHARE * max(0.0, budget - (sums.early or 0.0)))
    known = {name: cost for name, cost in costs.items() if cost is not None}
    rows_by_name = {name: max(0, round(cost.rows_for(share[name]))) for name, cost in known.items()}
    return {name: rows for name, rows in rows_by_name.items() if rows < known[name].rows}

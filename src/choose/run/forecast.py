"""Forecast seconds, tokens and dollars of every candidate's trials from a short measurement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

from choose.data.scenarios import Pools
from choose.errors import ChooseError
from choose.models.weights.resolve import missing_weights
from choose.models.weights.spec import names_endpoint
from choose.run.rows_reached import rows_reached
from choose.run.scheduling.next_trial import ALWAYS
from choose.run.speed_measurement import KnownSpeed, known_speed, part_seconds
from choose.run.speed_probe import Speed, at_common_pace
from choose.schema.plan import Job, TimeForecast
from choose.study.grid_points import FIRST_PASS

# Seconds that a plan measures, loading included. Single steps that cannot be stopped come on top.
PLAN_SECONDS = 18.0

# How often candidates are measured again at the end of a plan that has time left.
MOST_SAMPLES = 3


def forecast(jobs: Sequence[Job], pools: Pools, budget: float | None) -> list[TimeForecast]:
    """Measure the speed of every candidate that runs on this machine and add up its trials.

    Nothing is sent or downloaded: candidates at endpoints, or without their weights, have no
    forecast.
    """
    of: dict[str, list[Job]] = {}
    for job in jobs:
        of.setdefault(job.trial.candidate, []).append(job)
    measured: dict[str, KnownSpeed] = {}
    forecasts: dict[str, TimeForecast] = {}
    until = perf_counter() + PLAN_SECONDS
    for number, (name, own) in enumerate(of.items()):
        why, age = _why_not(own[0]), 0.0
        seconds = part_seconds(until - perf_counter(), len(of) - number)
        if why is None:
            try:
                known = known_speed(own[0], pools, seconds)
                age = known.age
                _measure_again(measured, until)
                measured[name] = known
            except Exception as error:
                why = str(error) if isinstance(error, ChooseError) else f"It failed: {error}"
        forecasts[name] = TimeForecast(candidate=name, trials=len(own), age=age, why_not=why)
    _measure_again(measured, until, MOST_SAMPLES)
    speeds = at_common_pace({name: known.speed for name, known in measured.items()})
    for name, known in measured.items():
        replace(known, speed=speeds[name]).keep()
    reading = Counter(job.trial.key for job in jobs if job.part in ALWAYS)
    sums = ForecastSums(pools, speeds, reading)
    each = [sums.add(job) for job in jobs]
    for name, speed in speeds.items():
        forecasts[name] = _with_sums(forecasts[name], sums, speed)
    if budget is not None:
        for name, reach in rows_reached(jobs, each, speeds, pools, budget).items():
            if reach.rows < reach.all:
                forecasts[name] = replace(forecasts[name], rows=reach.rows, all_rows=reach.all)
    return list(forecasts.values())


def _measure_again(measured: Mapping[str, KnownSpeed], until: float, most: int = 1) -> None:
    """Predict more rows with every candidate so far, up to `most` times, while there is time.

    The speed of a machine changes within seconds, so a candidate is measured at several moments.
    """
    for _ in range(most):
        for known in measured.values():
            if perf_counter() < until:
                known.measure_again()


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

    Candidates share the embeddings of an encoder; other caches are their own.

    Attributes:
        pools: the pools of the study.
        speeds: by candidate.
        reading: trial key -> jobs to come that ask how its fit reads documents. A worker keeps the
            fit until the last of them.
    """

    pools: Pools
    speeds: Mapping[str, Speed]
    reading: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    predicted_rows: dict[str, int] = field(default_factory=dict)
    seen: set[Hashable] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)

    def add(self, job: Job) -> float | None:
        """Add a trial and return its seconds; None where its candidate's speed is unknown."""
        name = job.trial.candidate
        speed = self.speeds.get(name)
        if speed is None:
            return None
        before = speed.load if name not in self.seconds else 0.0
        seconds = before + self._trial_seconds(job, speed)
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        if job.part == FIRST_PASS:
            self.first[name] = self.first.get(name, 0.0) + seconds
        return seconds

    def _trial_seconds(self, job: Job, speed: Speed) -> float:
        trial = job.trial
        rows = self.pools.of(trial)
        encoder = trial.params.get("encoder")
        memory: tuple[Hashable, ...] = (encoder,) if encoder else (trial.candidate, trial.variant)
        new_texts = self._new(memory, ("pool",), [e.id for e in rows.pool])
        # A job that only adds views fits its trial again, unless a worker keeps that fit; cached
        # prompts include those of the fit.
        known = not self._new((trial.candidate,), ("trial",), [trial.key])
        kept = trial.key in self.kept and job.repeats == 1
        saved_same_fit = speed.saved_same_fit if known else 0.0
        seconds = 0.0
        if not kept and not speed.caches(saved_same_fit):
            seconds = speed.fit(len(rows.pool)) + speed.per_text * new_texts
        view_rows = max(1, job.view_rows // len(self.pools.dataset.folds))
        clean = [] if kept else [("clean", len(rows.questions))]
        views = [*clean, *((view, view_rows) for view in job.views)]
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
        self.reading[trial.key] -= job.part in ALWAYS
        (self.kept.add if self.reading[trial.key] > 0 else self.kept.discard)(trial.key)
        repeated = min(view_rows, len(rows.questions)) * (job.repeats - 1)
        return seconds + (speed.per_row or 0.0) * repeated

    def _new(self, memory: tuple[Hashable, ...], place: tuple[str, ...], ids: Sequence[str]) -> int:
        keys = {(*memory, *place, id) for id in ids} - self.seen
        self.seen |= keys
        return len(keys)

"""Fit candidates to pools of the real sets and save how each answers the test rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from time import perf_counter, process_time
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.data.scenarios import Pools
from choose.errors import StrategyError
from choose.files import write_json
from choose.judge.scores.score_tables import scores_in
from choose.run.trial import run_trials
from choose.schema.plan import Job
from choose.strategy import find
from choose.types import CLEAN, Dataset, Run, Trial
from replay.answers import pack, pack_scores, scores_of
from replay.plan import Fit, Forecast, Place
from replay.sources import Source, read


def trial_of(fit: Fit) -> Trial:
    """Return the trial that a study would run; the draw is its seed, if it has one."""
    kind = fit.kind
    return Trial(
        candidate=fit.candidate,
        strategy=kind.strategy,
        revision=find(kind.strategy).revision,
        params=kind.params,
        draw=fit.draw,
        train_size=fit.size,
        seed=fit.draw if kind.seeded else 0,
        task="",
    )


def measure(fit: Fit, dataset: Dataset, deadline: float) -> Mapping[str, Any] | None:
    """Return the record of a fit, or None if the deadline (of `perf_counter`) came before its end.

    The record holds the candidate, the pool, the scores or correct answers, and the cost.
    """
    # Checking the clock between questions would take fast candidates longer than the answers.
    end = inf if fit.kind.every_row else deadline
    start, worked = perf_counter(), process_time()
    run = next(run_trials([Job(trial=trial_of(fit))], Pools(dataset), end=end)).run
    if run.error is not None:
        raise StrategyError(run.error)
    if run.unasked:
        return None
    share = min(1.0, (process_time() - worked) / (perf_counter() - start))
    ids = run.asked[CLEAN]
    place = {id: i for i, id in enumerate(dataset.folds[0].questions)}
    order = np.argsort([place[id] for id in ids])
    return {
        "candidate": fit.candidate,
        "size": fit.size,
        "draw": fit.draw,
        "part": fit.part,
        **_packed(run, dataset, order),
        "rows": len(ids),
        **_took(run, len(ids), share),
    }


def _packed(run: Run, dataset: Dataset, order: npt.NDArray[np.intp]) -> dict[str, str]:
    """Return the scores of a run's answers, or which are right, in this order."""
    if not dataset.task.labels:
        return {"scores": pack_scores(scores_in(run, CLEAN)[order])}
    targets = np.array([dataset.examples[id].target for id in run.asked[CLEAN]])
    return {"right": pack((np.array(run.answers[CLEAN].outputs) == targets)[order])}


def _took(run: Run, rows: int, share: float) -> dict[str, Any]:
    """Return the cost of a fit on one core, without the time that other programs used it."""
    assert run.fit_seconds is not None
    assert run.predict_seconds is not None
    return {
        "fit_seconds": round(share * run.fit_seconds, 4),
        "ms_per_item": round(1000 * share * run.predict_seconds / rows, 4),
        "seconds_spent": round(run.seconds_spent or 0.0, 2),
        "revision": run.trial.revision,
        "dtype": run.dtype,
    }


@dataclass
class Worker:
    """One process with its sets; models, embeddings and prompt scores stay in its memory."""

    place: Place
    fits: Sequence[Fit]
    ends: float
    sources: dict[str, Source] = field(default_factory=dict)

    def work(self) -> Iterator[str]:
        """Run the missing fits and yield a line on each; skip those that cannot end in time."""
        forecast = Forecast()
        left = [fit for fit in self.fits if self.place.finished(fit) is None]
        while left:
            fit = left.pop(0)
            source, start = self._source(fit.set), perf_counter()
            expected = self._expected(forecast, fit)
            if start + expected > self.ends:
                yield f"{fit.name}: skipped, about {_minutes(expected)} do not fit"
                continue
            record = self._make(fit, source)
            if isinstance(record, str):
                yield f"{fit.name}: {record}"
                continue
            # Loading a model is not part of a fit, and would make the first one look slow.
            forecast.learn(fit, expected, record["seconds_spent"])
            spent = perf_counter() - start
            rest = sum(self._expected(forecast, other) for other in left)
            yield (
                f"{fit.name}: {scores_of(record).mean():.3f} right, {spent:.0f} s "
                f"(expected {expected:.0f}); {len(left)} fits left here, about {_minutes(rest)}"
            )

    def _expected(self, forecast: Forecast, fit: Fit) -> float:
        source = self._source(fit.set)
        return forecast.seconds(fit, source, len(self.place.asked(fit, source)))

    def _make(self, fit: Fit, source: Source) -> Mapping[str, Any] | str:
        try:
            record = measure(fit, self._dataset(fit, source), self.ends)
        except Exception as error:  # an error of a strategy must not stop other fits
            return f"failed: {type(error).__name__}: {error}"
        if record is None:
            return "stopped, the time is over"
        write_json(self.place.path(fit), {**record, "hashes": source.hashes})
        return record

    def _source(self, name: str) -> Source:
        if name not in self.sources:
            self.sources[name] = read(self.place.data, name)
        return self.sources[name]

    def _dataset(self, fit: Fit, source: Source) -> Dataset:
        return source.dataset(self.place.asked(fit, source))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"

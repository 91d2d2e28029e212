"""Fit what a trial learns from: alone, beside others, or not again where it has been fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from choose.data.scenarios import drawn, place_of
from choose.errors import MoneySpent
from choose.meter import OutOfTime
from choose.strategy import Groups, Prepares, Reports, Strategy, build
from choose.study.grid import Job
from choose.types import Dataset, Example


@dataclass(frozen=True, slots=True)
class Fitted:
    """A strategy that was fitted before, alone or beside others.

    Attributes:
        seconds: what its fit took, or its share of that.
        alone: what it would take with nothing cached; not known of one of several.
        group: how many were fitted side by side.
    """

    strategy: Strategy
    seconds: float
    alone: float | None = None
    group: int = 1


def fit_together(jobs: Sequence[Job], dataset: Dataset) -> dict[str, Fitted]:
    """Return strategies by the trial's key, fitted side by side; none where that cannot be done.

    Those that did not learn are left out, to be fitted alone and to say why they cannot be.
    """
    trials = [job.trial for job in jobs]
    strategies = [build(trial.strategy, seed=trial.seed, **trial.params) for trial in trials]
    first = strategies[0]
    if len({trial.strategy for trial in trials}) > 1 or not isinstance(first, Groups):
        return {}
    if isinstance(first, Prepares):
        first.prepare()
    start = perf_counter()
    try:
        if not first.side_by_side():
            return {}
        pools = [drawn(dataset, place_of(trial, dataset)).pool for trial in trials]
        failed = set(first.fit_group(strategies, dataset.task, pools) or ())
    except (MoneySpent, OutOfTime):
        raise
    except Exception:
        return {}
    # What those took that did not learn is spent all the same.
    seconds = (perf_counter() - start) / max(1, len(jobs) - len(failed))
    return {
        trial.key: Fitted(strategy, seconds, group=len(jobs))
        for place, (trial, strategy) in enumerate(zip(trials, strategies, strict=True))
        if place not in failed
    }


def fit_alone(job: Job, dataset: Dataset, pool: Sequence[Example]) -> Fitted:
    """Return a strategy fitted on its own."""
    strategy = ready(job)
    start = perf_counter()
    strategy.fit(dataset.task, pool)
    spent = perf_counter() - start
    return Fitted(strategy, spent, spent + cached_seconds(strategy))


def ready(job: Job, again: int = 0) -> Strategy:
    """Build a trial's strategy, with its seed or a later one, and load what it needs."""
    trial = job.trial
    strategy = build(trial.strategy, seed=trial.seed + again, **trial.params)
    if isinstance(strategy, Prepares):
        strategy.prepare()
    return strategy


def facts_of(strategy: Strategy) -> dict[str, Any]:
    """Return what a strategy reports about its work, if it does."""
    return dict(strategy.facts()) if isinstance(strategy, Reports) else {}


def cached_seconds(strategy: Strategy) -> float:
    """Return what work that was there already had cost."""
    return float(facts_of(strategy).get("cached_seconds") or 0.0)

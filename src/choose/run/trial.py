"""Run trials: the only place where strategies see data; inputs and results can be pickled."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from traceback import format_exc
from types import MappingProxyType
from typing import Any, NamedTuple

from choose.data.scenarios import Pools
from choose.errors import MoneySpent, StudyError
from choose.progress import TimeLimitReached, time_limit
from choose.run.predict_test_rows import Deadline, answered_views, predict, predict_until
from choose.schema.plan import Job
from choose.strategy import Groups, Prepares, Reports, Strategy, build
from choose.tasks.scoring import scored
from choose.types import Answers, Dataset, Item, Run


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted strategy.

    Attributes:
        seconds: seconds of its fit, or its share of a joint fit.
        alone: seconds with nothing cached; None for a joint fit.
        group: number of strategies that were fitted together.
    """

    strategy: Strategy
    seconds: float
    alone: float | None = None
    group: int = 1


def fit_group(jobs: Sequence[Job], pools: Pools) -> dict[str, Fitted]:
    """Fit strategies together and return them by trial key; empty where that is impossible.

    Strategies that failed to train are left out: they are retried individually.
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
        own = [pools.of(trial).pool for trial in trials]
        failed = set(first.fit_group(strategies, pools.dataset.task, own) or ())
    except (MoneySpent, TimeLimitReached):
        raise
    except Exception:
        return {}
    # The time of failed strategies is spent all the same.
    seconds = (perf_counter() - start) / max(1, len(jobs) - len(failed))
    return {
        trial.key: Fitted(strategy, seconds, group=len(jobs))
        for place, (trial, strategy) in enumerate(zip(trials, strategies, strict=True))
        if place not in failed
    }


def fit_alone(job: Job, pools: Pools) -> Fitted:
    """Fit the strategy of one trial."""
    strategy, rows = prepared(job), pools.of(job.trial)
    start = perf_counter()
    with time_limit(fits=True):
        strategy.fit(pools.dataset.task, rows.pool)
    spent = perf_counter() - start
    return Fitted(strategy, spent, spent + cached_seconds(strategy))


def prepared(job: Job, seed_offset: int = 0) -> Strategy:
    """Build a trial's strategy and load what it needs."""
    trial = job.trial
    strategy = build(trial.strategy, seed=trial.seed + seed_offset, **trial.params)
    if isinstance(strategy, Prepares):
        strategy.prepare()
    return strategy


def strategy_facts(strategy: Strategy) -> dict[str, Any]:
    """Return what a strategy reports about its fit; empty if it does not."""
    return dict(strategy.facts()) if isinstance(strategy, Reports) else {}


def cached_seconds(strategy: Strategy) -> float:
    """Return the seconds that reused, cached work had taken."""
    return float(strategy_facts(strategy).get("cached_seconds") or 0.0)


_PACKAGES = (
    "choose-llm",
    "numpy",
    "scipy",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "sentence-transformers",
    "scikit-learn",
    "faiss-cpu",
    "bm25s",
)


class Ended(NamedTuple):
    """A trial that ended: its run, the traceback of a strategy that raised, and its fit."""

    run: Run
    traceback: str | None = None
    fit: Fitted | None = None


def run_trials(
    jobs: Sequence[Job],
    pools: Pools,
    deadline: Deadline | None = None,
    fits: Mapping[str, Fitted] = MappingProxyType({}),
) -> Iterator[Ended]:
    """Yield each job's run, with a traceback where the strategy raised.

    A strategy that raises makes a failed run; interruptions and spent budgets propagate. Several
    jobs of a strategy that can fit a group are fitted together; where that fails, each is fitted
    alone.

    Args:
        jobs: of one strategy if there are several.
        pools: the pools of the study.
        deadline: when to stop predicting clean test rows.
        fits: strategies that are fitted already, by trial key.
    """
    fits = {**fits, **(fit_group(jobs, pools) if len(jobs) > 1 else {})}
    for job in jobs:
        start = perf_counter()
        try:
            run, stopped, fit = _trial(job, pools, deadline, fits.get(job.trial.key))
        except (MoneySpent, TimeLimitReached):
            raise
        except Exception as error:
            message = " ".join(str(error).split()) or "no message"
            failed = Run(
                trial=job.trial,
                error=f"{type(error).__name__}: {message}"[:500],
                seconds_spent=perf_counter() - start,
                versions=versions(),
            )
            yield Ended(failed, format_exc())
            continue
        yield Ended(_with_scores(run, pools.dataset), fit=fit)
        if stopped is not None:
            raise stopped


def run_trial(job: Job, pools: Pools, deadline: Deadline | None = None) -> Run:
    """Fit once and predict every view."""
    return _with_scores(_trial(job, pools, deadline)[0], pools.dataset)


def _with_scores(run: Run, dataset: Dataset) -> Run:
    """Return a run with its scores; without them where a metric fails, as the store will say."""
    try:
        return scored(run, dataset)
    except StudyError:
        return run


def _trial(
    job: Job, pools: Pools, deadline: Deadline | None, fit: Fitted | None = None
) -> tuple[Run, Exception | None, Fitted]:
    """Return a trial's run, the exception that stopped it before all views, and its fit."""
    dataset, rows = pools.dataset, pools.of(job.trial)
    fit = fit or fit_alone(job, pools)
    strategy, start, fit_cached = fit.strategy, perf_counter(), cached_seconds(fit.strategy)
    items = [dataset.examples[id].item() for id in rows.questions]
    clean, clean_answers = _clean(strategy, items, dataset, deadline)
    answered, all_cached = perf_counter(), cached_seconds(strategy)
    others = answered_views(job, rows, dataset, strategy)
    spent = perf_counter() - start
    uncached = spent + cached_seconds(strategy) - fit_cached
    run = Run(
        trial=job.trial,
        answers={("clean", 0): clean_answers, **others.answers},
        asked={("clean", 0): tuple(item.id for item in clean), **others.asked},
        # Cached work counts too, or the cost would depend on the order of the trials.
        fit_seconds=fit.alone,
        predict_seconds=answered - start + all_cached - fit_cached,
        seconds_spent=spent + fit.seconds,
        seconds_alone=None if fit.alone is None else fit.alone + uncached,
        group_size=fit.group,
        reread_seconds=max(others.reread, default=strategy_facts(strategy).get("index_seconds")),
        unasked=len(items) - len(clean),
        versions=versions(),
        **_run_facts(strategy_facts(strategy), job.trial.params),
    )
    return run, others.stopped, fit


def with_views(run: Run, job: Job, fit: Fitted, pools: Pools) -> tuple[Run, Exception | None]:
    """Return a run with the views that another job of its trial asks, by the same fit.

    And the exception that stopped it before all views.
    """
    strategy, rows = fit.strategy, pools.of(job.trial)
    start, before = perf_counter(), cached_seconds(strategy)
    wanted = tuple(view for view in job.views if (view, 0) not in run.answers)
    found = answered_views(replace(job, views=wanted), rows, pools.dataset, strategy)
    spent = perf_counter() - start
    alone = spent + cached_seconds(strategy) - before
    more = replace(
        run,
        answers={**run.answers, **found.answers},
        asked={**run.asked, **found.asked},
        seconds_spent=(run.seconds_spent or 0.0) + spent,
        seconds_alone=None if run.seconds_alone is None else run.seconds_alone + alone,
        reread_seconds=max(found.reread, default=run.reread_seconds),
    )
    return _with_scores(more, pools.dataset), found.stopped


def _clean(
    strategy: Strategy, items: list[Item], dataset: Dataset, deadline: Deadline | None
) -> tuple[list[Item], Answers]:
    """Return the items answered by the deadline, with their answers."""
    if deadline is None:
        return items, predict(strategy, items, dataset.task)
    return predict_until(strategy, items, dataset, deadline)


def _run_facts(facts: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    dtype = facts.get("dtype")
    if dtype is None and isinstance(spec := params.get("encoder"), str):
        from choose.models.embeddings import number_type

        dtype = number_type(spec)
    return {
        "threads": facts.get("threads"),
        "dtype": dtype,
        "artefact_mb": facts.get("artefact_mb"),
        "base_mb": facts.get("base_mb"),
        "notes": tuple(facts.get("notes") or ()),
    }


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that answers can depend on."""
    installed = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed

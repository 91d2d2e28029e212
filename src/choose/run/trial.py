"""Run trials: the only place where strategies see data; inputs and results can be pickled."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import inf
from time import perf_counter
from traceback import format_exc
from types import MappingProxyType
from typing import Any, NamedTuple

from choose.data.scenarios import Pools
from choose.errors import MoneySpent, StudyError
from choose.progress import TimeLimitReached, as_decided, time_limit
from choose.run.predict_test_rows import answer_views, predict_until
from choose.schema.plan import COMPARISON, Job
from choose.strategy import Groups, Prepares, Puts, Reports, Strategy, build
from choose.tasks.scoring import scored
from choose.types import CLEAN, Dataset, Run, Trial


class Limits(NamedTuple):
    """Seconds of a request: after which it ends, its fit should, and no further rows are begun.

    A fit should end sooner where it has read `enough` rows: it makes fewer steps where it would
    not. A few rows are answered in any case.
    """

    all: float = inf
    fit: float = inf
    answers: float = inf
    enough: float = inf


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted strategy.

    Attributes:
        seconds: seconds of its fit, or its share of a joint fit.
        alone: seconds with nothing cached; None for a joint fit.
        group: number of strategies that were fitted together.
        shortened: what time has decided in it.
    """

    strategy: Strategy
    seconds: float
    alone: float | None = None
    group: int = 1
    shortened: Mapping[str, float] = field(default_factory=dict)


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


def fit_alone(
    job: Job, pools: Pools, limits: Limits = UNLIMITED, known: Mapping[str, float] | None = None
) -> Fitted:
    """Fit the strategy of one trial, in fewer steps where it would take too long.

    A fit of which is `known` what time has decided is made alike.
    """
    begun = perf_counter()  # loading a model is part of what should end by then
    strategy = build(job.trial.strategy, seed=job.trial.seed, **job.trial.params)
    if isinstance(strategy, Prepares):
        strategy.prepare()
    rows = pools.of(job.trial)
    start = perf_counter()
    aim, enough = begun + limits.fit - start, begun + limits.enough - start
    with time_limit(fits=True, aim=aim, enough=enough), as_decided(known) as shortened:
        strategy.fit(pools.dataset.task, rows.pool)
    spent = perf_counter() - start
    return Fitted(strategy, spent, spent + cached_seconds(strategy), shortened=shortened)


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


# Share of the seconds of a fit in which further test rows are answered: they come nearly free.
SPARE = 0.1


class Ended(NamedTuple):
    """A trial that ended: its run, the traceback of a strategy that raised, and its fit."""

    run: Run
    traceback: str | None = None
    fit: Fitted | None = None


def run_trials(
    jobs: Sequence[Job],
    pools: Pools,
    *,
    end: float = inf,
    limits: Limits = UNLIMITED,
    fits: Mapping[str, Fitted] = MappingProxyType({}),
    earlier: Mapping[str, Run] = MappingProxyType({}),
    pace: float = 0.0,
    first: Mapping[str, float] | None = None,
) -> Iterator[Ended]:
    """Yield each job's run, with a traceback where the strategy raised.

    A strategy that raises makes a failed run; interruptions and spent budgets propagate. Several
    jobs, of one strategy, are fitted together where it can, else each alone. No further test rows
    are begun after `end`, by `perf_counter`; `limits` tell when a fit should have ended. Earlier
    `fits` are used, and `earlier` runs continued, by trial key. What was shortened before, or in
    the `first` fit of the candidate, is fitted alone, alike.
    """
    known = {key: run.shortened for key, run in earlier.items() if run.error is None}
    # What a kept fit took is counted with its first answers; one of another length is not theirs.
    own = {key: fit for key, fit in fits.items() if fit.shortened == known.get(key, fit.shortened)}
    fits = {key: replace(fit, seconds=0.0) for key, fit in own.items()}
    cut = {job.trial.key for job in jobs if known.get(job.trial.key, first)}
    if len(several := [job for job in jobs if job.trial.key not in {*fits, *cut}]) > 1:
        fits |= fit_group(several, pools)
    for job in jobs:
        start, key = perf_counter(), job.trial.key
        try:
            fit = fits.get(key) or fit_alone(job, pools, limits, known.get(key, first))
            run, stopped = _answer(job, pools, fit, end, earlier.get(key), pace)
        except (MoneySpent, TimeLimitReached):
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"[:500]
            yield Ended(failed_run(job.trial, why, perf_counter() - start), format_exc())
            continue
        yield Ended(_with_scores(run, pools.dataset), fit=fit)
        if stopped is not None:
            raise stopped


def answers(job: Job, run: Run) -> bool:
    """Return whether a run has answered all rows and views that a job asks."""
    enough = not run.unasked or 0 < job.ask <= len(run.asked.get(CLEAN, ()))
    return run.error is None and enough and all((view, 0) in run.answers for view in job.views)


def failed_run(trial: Trial, error: str, seconds: float | None = None) -> Run:
    return Run(trial=trial, error=error, seconds_spent=seconds, versions=versions())


def _with_scores(run: Run, dataset: Dataset) -> Run:
    try:
        return scored(run, dataset)
    except StudyError:
        return run


def _answer(
    job: Job, pools: Pools, fit: Fitted, end: float, before: Run | None, pace: float
) -> tuple[Run, Exception | None]:
    dataset, rows, strategy = pools.dataset, pools.of(job.trial), fit.strategy
    before = before if before is not None and before.error is None else Run(trial=job.trial)
    known, spare = before.answers.get(CLEAN), _spare_seconds(job, fit, end)
    items = [dataset.examples[id].item() for id in rows.questions]
    start, cached, took = perf_counter(), cached_seconds(strategy), before.predict_seconds or 0.0
    pace = took / len(known) if known else pace
    clean, answers = predict_until(
        strategy, items, dataset, most=job.ask, end=end, known=known, each=pace, spare=spare
    )
    # Cached work counts too, or the cost would depend on the order of the trials.
    answered = perf_counter() - start + cached_seconds(strategy) + took - cached
    ids = dict.fromkeys(item.id for item in clean)
    wanted = tuple(view for view in job.views if (view, 0) not in before.answers)
    seen = [id for id in rows.questions if id in ids]
    others = answer_views(replace(job, views=wanted), seen, dataset, strategy=strategy)
    spent, facts = perf_counter() - start, strategy_facts(strategy)
    alone = spent + cached_seconds(strategy) + took - cached
    run = Run(
        trial=job.trial,
        answers={**before.answers, CLEAN: answers, **others.answers},
        asked={**before.asked, CLEAN: tuple(ids), **others.asked},
        fit_seconds=fit.alone,
        predict_seconds=answered,
        seconds_spent=spent + fit.seconds + (before.seconds_spent or 0.0),
        seconds_alone=None if fit.alone is None else fit.alone + alone,
        group_size=fit.group,
        shortened=dict(fit.shortened),
        reread_seconds=max(others.reread, default=facts.get("index_seconds")),
        unasked=len(items) - len(clean),
        versions=versions(),
        threads=facts.get("threads"),
        dtype=facts.get("dtype"),
        artefact_mb=facts.get("artefact_mb"),
        notes=tuple(facts.get("notes") or ()),
    )
    return run, others.stopped


def _spare_seconds(job: Job, fit: Fitted, end: float) -> float:
    """Return the seconds in which more rows are answered than a job asks, where time is limited.

    None are for fast candidates, which answer all soon, and for requests, which may cost money. A
    fit that was kept took no seconds: it has answered these rows before.
    """
    own = job.part == COMPARISON and not fit.strategy.cheap
    return SPARE * fit.seconds if own and end < inf and not isinstance(fit.strategy, Puts) else 0.0


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

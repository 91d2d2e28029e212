"""Run a group of trials: pure, picklable, and the only place where strategies meet data."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from traceback import format_exc
from typing import Any

from choose.data.scenarios import drawn, place_of
from choose.data.views import sample_rows, view
from choose.errors import MoneySpent
from choose.models.endpoints.session import repeated
from choose.run.asking import Deadline, ask, ask_until
from choose.strategy import Prepares, Reports, Strategy, build
from choose.study.grid import Job
from choose.types import Dataset, Item, Run

_PACKAGES = (
    "choose-llm",
    "torch",
    "transformers",
    "peft",
    "sentence-transformers",
    "scikit-learn",
    "faiss-cpu",
)


def run_group(
    jobs: Sequence[Job], dataset: Dataset, deadline: Deadline | None = None
) -> Iterator[tuple[Run, str | None]]:
    """Yield each job's run, with a traceback where the strategy broke.

    A strategy that raises is a finding, not an abort; only an interruption and the end of
    the money go through. After the `deadline`, clean questions that are left
    stay unasked.
    """
    for job in jobs:
        start = perf_counter()
        try:
            yield run_trial(job, dataset, deadline), None
        except MoneySpent:
            raise
        except Exception as error:
            message = " ".join(str(error).split()) or "no message"
            yield (
                Run(
                    trial=job.trial,
                    error=f"{type(error).__name__}: {message}"[:500],
                    seconds_spent=perf_counter() - start,
                    versions=versions(),
                ),
                format_exc(),
            )


def run_trial(job: Job, dataset: Dataset, deadline: Deadline | None = None) -> Run:
    """Fit once and answer every view; how much a deadline leaves unasked is all that can vary."""
    trial = job.trial
    strategy = build(trial.strategy, seed=trial.seed, **trial.params)
    rows = drawn(dataset, place_of(trial, dataset))
    if isinstance(strategy, Prepares):
        strategy.prepare()
    start = perf_counter()
    strategy.fit(dataset.task, rows.pool)
    fitted, fit_cached = perf_counter(), _cached(strategy)
    questions = [dataset.examples[id].item() for id in rows.questions]
    clean, found = (
        (questions, ask(strategy, questions, dataset.task))
        if deadline is None
        else ask_until(strategy, questions, dataset, deadline)
    )
    asked, answers = {("clean", 0): clean}, {("clean", 0): found}
    answered, all_cached = perf_counter(), _cached(strategy)
    for name in job.views:
        asked[name, 0] = view(name, _few(rows.questions, dataset, job.view_rows), seed=0)
        answers[name, 0] = ask(strategy, asked[name, 0], dataset.task)
    for repeat in range(1, job.repeats):
        asked["clean", repeat] = _few(rows.questions, dataset, job.view_rows)
        with repeated(repeat):
            answers["clean", repeat] = ask(strategy, asked["clean", repeat], dataset.task)
    spent = perf_counter() - start
    return Run(
        trial=trial,
        answers=answers,
        asked={key: tuple(item.id for item in items) for key, items in asked.items()},
        # Work that an earlier trial had done and this one used counts, or a cost would depend on
        # the order of the trials.
        fit_seconds=fitted - start + fit_cached,
        predict_seconds=answered - fitted + all_cached - fit_cached,
        seconds_spent=spent,
        seconds_alone=spent + _cached(strategy),
        unasked=len(questions) - len(clean),
        versions=versions(),
        **_how(_facts(strategy)),
    )


def _facts(strategy: Strategy) -> dict[str, Any]:
    return dict(strategy.facts()) if isinstance(strategy, Reports) else {}


def _cached(strategy: Strategy) -> float:
    return float(_facts(strategy).get("cached_seconds") or 0.0)


def _how(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "threads": facts.get("threads"),
        "dtype": facts.get("dtype"),
        "artefact_mb": facts.get("artefact_mb"),
        "base_mb": facts.get("base_mb"),
        "notes": tuple(facts.get("notes") or ()),
    }


def _few(ids: Sequence[str], dataset: Dataset, most: int) -> list[Item]:
    targets = {id: dataset.examples[id].target for id in ids}
    limit = max(1, most // len(dataset.folds))
    return [dataset.examples[id].item() for id in sample_rows(ids, targets, limit, seed=0)]


@cache
def versions() -> dict[str, str]:
    """Return the versions of what answers can depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

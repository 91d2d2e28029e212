"""What a worker answers to a request, and what it keeps for the next one."""

from dataclasses import replace

import pytest

from choose.data.scenarios import Pools
from choose.errors import MoneySpent
from choose.run.records import GroupRequest
from choose.run.worker import LocalExecutor, Worker
from choose.schema.plan import Job
from choose.types import Dataset
from support import fake_strategies as fakes
from support.studies import dataset, jobs_of, study

CLEAN = ("clean", 0)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)
    monkeypatch.setattr(fakes.Steady, "fit_seconds", 0.0)
    monkeypatch.setattr(fakes.Steady, "ask_seconds", 0.0)


def steady(data: Dataset) -> Job:
    """Return the first job of a candidate that is no baseline."""
    return next(j for j in jobs_of(study("steady"), data) if j.trial.candidate == "steady")


@pytest.mark.parametrize("kept", [True, False])
def test_a_trial_goes_on_with_the_fit_that_was_kept_or_with_another(kept: bool) -> None:
    data = dataset(rows=600)
    job = steady(data)
    worker = Worker(Pools(data))

    def request(ask: int, **more: object) -> GroupRequest:
        own = (replace(job, ask=ask),)
        return GroupRequest(number=1, jobs=own, **more)

    first = worker.run_group(request(50)).runs[0][0]
    other = worker if kept else Worker(Pools(data))
    longer = other.run_group(request(75, earlier={job.trial.key: first}))
    run = longer.runs[0][0]
    assert len(first.asked[CLEAN]) == 50
    assert run.asked[CLEAN][:50] == first.asked[CLEAN]
    assert (len(run.asked[CLEAN]), run.unasked) == (75, 45)
    assert longer.kept == (job.trial.key,)
    whole = worker.run_group(request(0)).runs[0][0]
    by_id = dict(zip(whole.asked[CLEAN], whole.answers[CLEAN].outputs, strict=True))
    assert run.answers[CLEAN].outputs == tuple(by_id[id] for id in run.asked[CLEAN])


def test_other_views_are_of_the_rows_that_are_answered() -> None:
    data = dataset(rows=600)
    job = replace(steady(data), ask=25, view_rows=10_000)
    worker = Worker(Pools(data))
    request = GroupRequest(number=0, jobs=(job,))
    ((few, _),) = worker.run_group(request).runs
    typos = replace(request, jobs=(replace(job, views=("typos",)),), earlier={job.trial.key: few})
    ((run, _),) = worker.run_group(typos).runs
    assert {view for view, _ in run.answers} == {"clean", "typos"}
    assert set(run.asked["typos", 0]) == set(few.asked[CLEAN])


def test_the_seconds_of_a_kept_fit_count_once() -> None:
    data = dataset(rows=600)
    job = replace(steady(data), ask=25)
    worker = Worker(Pools(data))
    request = GroupRequest(number=0, jobs=(job,))
    ((few, _),) = worker.run_group(request).runs
    kept = worker.fits[job.trial.key]
    worker.fits[job.trial.key] = replace(kept, seconds=kept.seconds + 1_000)
    more = replace(request, jobs=(replace(job, ask=50),), earlier={job.trial.key: few})
    ((run, _),) = worker.run_group(more).runs
    assert run.fit_seconds == few.fit_seconds
    assert few.seconds_spent < run.seconds_spent < 1_000


def test_views_that_dollars_ended_are_not_called_late(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(rows=600)
    job = replace(steady(data), ask=25)
    worker = Worker(Pools(data))
    request = GroupRequest(number=0, jobs=(job,))
    ((few, _),) = worker.run_group(request).runs

    def spent(*_: object) -> None:
        raise MoneySpent

    monkeypatch.setattr(fakes.Steady, "predict", spent)
    typos = replace(request, jobs=(replace(job, views=("typos",)),), earlier={job.trial.key: few})
    assert worker.run_group(typos).stopped == "money"


def test_the_newest_fit_of_the_comparison_is_kept_alone() -> None:
    data = dataset(rows=600)
    own = [j for j in jobs_of(study("steady"), data) if j.trial.candidate == "steady"]
    first, second = own[0], next(j for j in own if j.trial.train_size > own[0].trial.train_size)
    worker = Worker(Pools(data))
    for job in (first, second):
        found = worker.run_group(GroupRequest(number=1, jobs=(job,)))
        assert found.kept == (job.trial.key,)
        assert [*worker.fits] == [job.trial.key]
    again = replace(second, trial=replace(second.trial, draw=1, seed=1))
    assert worker.run_group(GroupRequest(number=1, jobs=(again,))).kept == ()


def test_the_local_executor_yields_each_run_as_it_ends() -> None:
    data = dataset()
    jobs = [j for j in jobs_of(study("tfidf"), data) if j.trial.candidate == "tfidf"]
    executor = LocalExecutor(Worker(Pools(data)))
    assert executor.free == 1
    executor.submit(GroupRequest(number=4, jobs=tuple(jobs[:2])))
    assert executor.free == 0
    results = list(executor.results())
    assert [(r.number, len(r.runs), r.last) for r in results] == [
        (4, 1, False),
        (4, 1, False),
        (4, 0, True),
    ]
    assert (executor.free, list(executor.results())) == (1, [])

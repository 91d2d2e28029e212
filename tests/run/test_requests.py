"""Requests and results travel between processes, and another process gives the same answers."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import monotonic
from types import SimpleNamespace

import numpy as np
import pytest

from choose.data.scenarios import Pools
from choose.errors import MoneySpent, StudyError
from choose.progress import seconds_left, time_limit
from choose.run.records import GroupRequest, GroupResult
from choose.run.worker import LocalExecutor, ThreadExecutor, Worker
from choose.schema.plan import Job
from choose.types import Dataset
from support import fake_strategies as fakes
from support.studies import dataset, jobs_of, study

CLEAN = ("clean", 0)


# What a worker elsewhere does: the labelled set once, then requests.
ELSEWHERE = """
import pickle, sys
import pytest
from choose.data.scenarios import Pools
from choose.run import predict_test_rows
from choose.run.worker import Worker
from support import fake_strategies
fake_strategies.install(pytest.MonkeyPatch())
data, requests = pickle.load(open(sys.argv[1], "rb"))
worker = Worker(Pools(data))
results = [worker.run_group(request) for request in requests]
pickle.dump(results, open(sys.argv[1], "wb"))
"""


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)
    monkeypatch.setattr(fakes.Steady, "fit_seconds", 0.0)
    monkeypatch.setattr(fakes.Steady, "ask_seconds", 0.0)


def steady(data: Dataset) -> Job:
    """Return the first job of a candidate that is no baseline."""
    return next(j for j in jobs_of(study("steady"), data) if j.trial.candidate == "steady")


def requests_of(data: Dataset, jobs: list[Job]) -> Iterator[GroupRequest]:
    """Yield a request of every form: together, alone, failing, in part, and cut short."""

    def request(*own: Job, **more: object) -> GroupRequest:
        return GroupRequest(number=len(own), jobs=own, **more)

    def of(name: str) -> list[Job]:
        return [job for job in jobs if job.trial.candidate == name]

    yield request(*of("together")[:3])
    yield request(of("tfidf")[0])
    yield request(of("broken")[0])
    yield request(replace(of("tfidf")[1], ask=7))
    yield request(of("late")[0], of("late")[1])


def told(results: list[GroupResult]) -> list[object]:
    """Return everything of results but what depends on the clock."""
    untimed = {"fit_seconds", "predict_seconds", "seconds_alone", "seconds_spent"}
    return [
        (
            result.number,
            result.stopped,
            result.last,
            result.kept,
            result.lost,
            [
                (
                    replace(run, answers={}, scores={}, **dict.fromkeys(untimed)),
                    {view: (a.outputs, a.status) for view, a in run.answers.items()},
                    {view: np.asarray(a.scores).tolist() for view, a in run.answers.items()},
                    traceback and traceback.splitlines()[-1],
                )
                for run, traceback in result.runs
            ],
        )
        for result in results
    ]


@pytest.mark.slow
def test_another_process_gives_the_same_answers(tmp_path: Path) -> None:
    data = dataset(rows=240)
    jobs = jobs_of(study("together", "tfidf", "broken", "late"), data)
    requests = list(requests_of(data, jobs))
    here = [Worker(Pools(data)).run_group(request) for request in requests]
    file = tmp_path / "sent.pickle"
    file.write_bytes(pickle.dumps((data, requests)))
    paths = os.pathsep.join([str(Path(fakes.__file__).parents[1]), *sys.path])
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(file)],
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    there = pickle.loads(file.read_bytes())
    assert told(there) == told(here)
    together, tfidf, broken, cut, late = here
    assert [run.group_size for run, _ in together.runs] == [3, 3, 3]
    assert set(tfidf.runs[0][0].answers) == {CLEAN}
    assert "ValueError" in (broken.runs[0][1] or "")
    assert len(cut.runs[0][0].asked[CLEAN]) == 7
    assert cut.kept == (cut.runs[0][0].trial.key,)
    assert (late.stopped, late.runs) == ("time", ())


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


def test_a_thread_runs_requests_in_the_context_of_the_caller() -> None:
    """What an endpoint is asked must not keep the driver from results of the nodes."""
    data = dataset()
    (job, *_) = (j for j in jobs_of(study("tfidf"), data) if j.trial.candidate == "tfidf")
    waits, seen = Event(), list[float]()

    class Slow(Worker):
        def parts(self, request: GroupRequest) -> Iterator[GroupResult]:
            seen.append(seconds_left())
            assert waits.wait(30)
            yield from super().parts(request)

    executor = ThreadExecutor(Slow(Pools(data)))
    with time_limit(100.0):
        executor.submit(GroupRequest(number=4, jobs=(job,)))
    assert (executor.busy, executor.ready()) == (True, [])
    waits.set()
    found = list[GroupResult]()
    end = monotonic() + 30
    while executor.busy and monotonic() < end:
        found += executor.ready()
    assert [(r.number, len(r.runs), r.last) for r in found] == [(4, 1, False), (4, 0, True)]
    assert 50 < seen[0] <= 100
    executor.close()


def test_what_a_request_raises_in_a_thread_reaches_the_caller() -> None:
    class Broken(Worker):
        def parts(self, request: GroupRequest) -> Iterator[GroupResult]:
            raise StudyError("no room")

    data = dataset()
    executor = ThreadExecutor(Broken(Pools(data)))
    executor.submit(GroupRequest(number=5, jobs=(steady(data),)))

    def wait(end: float) -> None:
        while monotonic() < end:
            executor.ready()

    with pytest.raises(StudyError, match="no room"):
        wait(monotonic() + 30)
    executor.close()


def test_a_thread_that_is_closed_amid_a_request_asks_its_endpoint_nothing_more(monkeypatch):
    stopped = list[int]()
    session = SimpleNamespace(stop=lambda: stopped.append(1))
    monkeypatch.setattr("choose.run.worker.current_session", lambda: session)
    data, waits = dataset(), Event()
    (job, *_) = (j for j in jobs_of(study("tfidf"), data) if j.trial.candidate == "tfidf")

    class Slow(Worker):
        def parts(self, request: GroupRequest) -> Iterator[GroupResult]:
            assert waits.wait(30)
            yield GroupResult(number=request.number)

    executor = ThreadExecutor(Slow(Pools(data)))
    executor.close()
    assert not stopped
    executor = ThreadExecutor(Slow(Pools(data)))
    executor.submit(GroupRequest(number=4, jobs=(job,)))
    executor.close()
    assert stopped
    waits.set()

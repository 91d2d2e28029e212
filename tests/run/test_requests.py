"""What a worker makes of a request, which travels and goes on where another ended."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import pytest

from choose.data.scenarios import Pools
from choose.errors import MoneySpent, StrategyError, StudyError
from choose.progress import decided_in_time, seconds_left, time_limit
from choose.run.predict_test_rows import predict, predict_until
from choose.run.worker import GroupRequest, GroupResult, LocalExecutor, ThreadExecutor, Worker
from choose.schema.plan import Job
from choose.tasks.answering import Answering
from choose.types import SHARE_READ, Answers, Dataset, Item, Run
from support import fake_strategies as fakes
from support.ray_nodes import wait_for
from support.studies import dataset, jobs_of, study

CLEAN = ("clean", 0)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)


DATA = dataset(rows=600)


def jobs(name: str, data: Dataset = DATA) -> list[Job]:
    return [j for j in jobs_of(study(name), data) if j.trial.candidate == name]


def result_of(worker: Worker, job: Job, run: Run | None = None) -> GroupResult:
    earlier = {job.trial.key: run} if run else {}
    return worker.run_group(GroupRequest(number=1, jobs=(job,), earlier=earlier))


def run_of(worker: Worker, job: Job, run: Run | None = None) -> Run:
    ((run, _),) = result_of(worker, job, run).runs
    return run


def test_requests_and_results_travel_between_processes() -> None:
    """Of jobs that are fitted together, that fail, and that are answered in part."""
    worker = Worker(Pools(dataset(rows=240)))
    for name in ("together", "broken", "tfidf"):
        own = tuple(replace(job, ask=7) for job in jobs(name, worker.pools.dataset)[:3])
        request = GroupRequest(number=len(own), jobs=own)
        result = worker.run_group(pickle.loads(pickle.dumps(request)))
        back = pickle.loads(pickle.dumps(result))
        assert (back.number, back.kept, back.last) == (result.number, result.kept, True)
        for (run, traceback), (other, said) in zip(result.runs, back.runs, strict=True):
            assert (run.trial, run.asked, run.error) == (other.trial, other.asked, other.error)
            assert traceback == said
            assert (name == "broken") == ("ValueError" in (said or ""))
            if name != "broken":
                assert len(other.asked[CLEAN]) == 7
                assert other.answers[CLEAN].outputs == run.answers[CLEAN].outputs
                assert other.group_size == (3 if name == "together" else 1)


@pytest.mark.parametrize("kept", [True, False])
def test_a_trial_goes_on_with_the_fit_that_was_kept_or_with_another(kept: bool) -> None:
    worker, job = Worker(Pools(DATA)), jobs("steady")[0]
    first = run_of(worker, replace(job, ask=50))
    own = worker.fits[job.trial.key]
    worker.fits[job.trial.key] = replace(own, seconds=own.seconds + 1_000)
    longer = result_of(worker if kept else Worker(Pools(DATA)), replace(job, ask=75), first)
    run = longer.runs[0][0]
    assert len(first.asked[CLEAN]) == 50
    assert run.asked[CLEAN][:50] == first.asked[CLEAN]
    assert (len(run.asked[CLEAN]), run.unasked) == (75, 45)
    assert longer.kept == (job.trial.key,)
    assert (run.fit_seconds == first.fit_seconds) is kept
    assert first.seconds_spent < run.seconds_spent < 1_000, "those of a fit count once"
    whole = run_of(worker, replace(job, ask=0))
    by_id = dict(zip(whole.asked[CLEAN], whole.answers[CLEAN].outputs, strict=True))
    assert run.answers[CLEAN].outputs == tuple(by_id[id] for id in run.asked[CLEAN])


def test_other_views_are_of_the_rows_that_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, job = Worker(Pools(DATA)), replace(jobs("steady")[0], ask=25, view_rows=10_000)
    few = run_of(worker, job)
    run = run_of(worker, replace(job, views=("typos",)), few)
    assert {view for view, _ in run.answers} == {"clean", "typos"}
    assert set(run.asked["typos", 0]) == set(few.asked[CLEAN])

    def spent(*_: object) -> None:
        raise MoneySpent

    monkeypatch.setattr(fakes.Steady, "predict", spent)
    said = result_of(worker, replace(job, views=("typos",)), few).stopped
    assert said == "money", "they are not called late"


@pytest.mark.parametrize(("name", "most"), [("steady", 1), ("tfidf", 2)])
def test_the_newest_fit_of_the_comparison_is_kept_alone_if_it_takes_long(name, most) -> None:
    first, *others = jobs(name)
    second = next(j for j in others if j.trial.train_size > first.trial.train_size)
    worker, kept = Worker(Pools(DATA)), list[str]()
    for job in (first, second):
        assert result_of(worker, job).kept == (job.trial.key,)
        kept = [*kept, job.trial.key][-most:]
        assert [*worker.fits] == kept
    again = replace(second, trial=replace(second.trial, draw=1, seed=1))
    assert result_of(worker, again).kept == ()


def test_a_fit_made_again_takes_the_place_of_one_that_read_less(monkeypatch):
    shares = [0.5, 0.4, 1.0]

    def fit(self: Any, task: Any, _: Any) -> None:
        self.labels, self.share = task.labels, decided_in_time(SHARE_READ, shares.pop(0), 1.0)

    monkeypatch.setattr(fakes.Steady, "fit", fit)
    worker, job = Worker(Pools(DATA)), replace(jobs("steady")[0], ask=25)
    run = run_of(worker, job)
    for read in (0.4, 1.0):
        request = GroupRequest(number=1, jobs=(job,), earlier={job.trial.key: run}, anew=True)
        ((again, _),) = worker.run_group(request).runs
        assert (again.share_read, again.replaces(run)) == (read, read == 1.0)
        assert worker.fits[job.trial.key].strategy.share == max(read, 0.5)


def test_the_local_executor_yields_each_run_as_it_ends() -> None:
    executor = LocalExecutor(Worker(Pools(DATA)))
    assert executor.free == 1
    executor.submit(GroupRequest(number=4, jobs=tuple(jobs("tfidf")[:2])))
    assert executor.free == 0
    results = [(r.number, len(r.runs), r.last) for r in executor.results()]
    assert results == [*[(4, 1, False)] * 2, (4, 0, True)]
    assert (executor.free, list(executor.results())) == (1, [])


class Slow(Worker):
    """Waits, and notes the seconds that are left."""

    def parts(self, request: GroupRequest) -> Iterator[GroupResult]:
        self.seen = seconds_left()
        assert self.waits.wait(30)
        yield from super().parts(request)


@pytest.fixture
def slow() -> Slow:
    worker = Slow(Pools(DATA))
    worker.waits = Event()
    return worker


def test_a_thread_runs_requests_in_the_context_of_the_caller(slow: Slow) -> None:
    """What an endpoint is asked must not keep the driver from results of the nodes."""
    executor = ThreadExecutor(slow)
    with time_limit(100.0):
        executor.submit(GroupRequest(number=4, jobs=(jobs("tfidf")[0],)))
    assert (executor.busy, executor.ready()) == (True, [])
    slow.waits.set()
    found = list[GroupResult]()
    wait_for(lambda: found.extend(executor.ready()) or not executor.busy, 30)
    assert [(r.number, len(r.runs), r.last) for r in found] == [(4, 1, False), (4, 0, True)]
    assert 50 < slow.seen <= 100
    executor.close()


def test_what_a_request_raises_in_a_thread_reaches_the_caller(refusal: Any) -> None:
    class Broken(Worker):
        def parts(self, request: GroupRequest) -> Iterator[GroupResult]:
            raise StudyError("no room")

    executor = ThreadExecutor(Broken(Pools(DATA)))
    executor.submit(GroupRequest(number=5, jobs=(jobs("steady")[0],)))
    assert "no room" in refusal(StudyError, wait_for, executor.ready, 30)
    executor.close()


def test_a_thread_that_is_closed_amid_a_request_asks_its_endpoint_nothing_more(monkeypatch, slow):
    stopped = list[int]()
    session = SimpleNamespace(stop=lambda: stopped.append(1))
    monkeypatch.setattr("choose.run.worker.current_session", lambda: session)
    ThreadExecutor(slow).close()
    assert not stopped
    executor = ThreadExecutor(slow)
    executor.submit(GroupRequest(number=4, jobs=(jobs("tfidf")[0],)))
    executor.close()
    assert stopped
    slow.waits.set()


def read_from(*ids: str) -> Answers:
    found = Answers(outputs=("a",), status=("ok",), evidence=(ids,))
    strategy: Any = SimpleNamespace(reads=True, predict=lambda items: found)
    return predict(strategy, [Item(id="1", text="What?")], Answering())


@pytest.mark.parametrize("ids", [("a.md:0-10", "b:c:5-9"), ()])
def test_places_in_documents_are_taken(ids: tuple[str, ...]) -> None:
    assert read_from(*ids).evidence == (ids,)


@pytest.mark.parametrize("id", ["row 7", "a.md", "a:1", "a:x-y", ""])
def test_other_places_fail_with_what_is_wrong(id: str, refusal: Any) -> None:
    assert "is no place in a document" in refusal(StrategyError, read_from, "a.md:0-10", id)


@pytest.mark.parametrize(
    ("each", "sizes"), [(0.0, [2, 24, 74]), (0.5, [100]), (0.58, [78, 22]), (3.0, [15, 85])]
)
def test_rows_are_answered_at_once_as_far_as_the_pace_is_known(each, sizes) -> None:
    asked, items = list[int](), [DATA.examples[id].item() for id in DATA.folds[0].questions]

    def answer(some: list[Item]) -> Answers:
        asked.append(len(some))
        return Answers(outputs=(DATA.task.labels[0],) * len(some), status=("ok",) * len(some))

    end = perf_counter() + 60.5
    predict_until(SimpleNamespace(predict=answer), items, DATA, most=100, end=end, each=each)
    assert asked == sizes

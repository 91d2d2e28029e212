"""A second command on a store goes on from what the first one reached, and loses none of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest

from choose.data.scenarios import Pools
from choose.errors import StrategyError
from choose.progress import TimeLimitReached
from choose.run.executor import run_jobs
from choose.run.predict_test_rows import Deadline
from choose.run.run_records import Limits, left_out_of
from choose.run.trial import run_trial
from choose.schema.plan import Job
from choose.store.store import Store
from choose.study.config import Study
from choose.study.grid_points import FIRST_PASS
from choose.types import Dataset, Run
from support import fake_strategies as fakes
from support.studies import dataset, jobs_of, study


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)
    monkeypatch.setattr(fakes.Steady, "fit_seconds", 0.0)
    monkeypatch.setattr(fakes.Steady, "ask_seconds", 0.0)


def unheard(job: Job, run: Run | None) -> None:
    """Hear of a trial."""


def prepare(path: Path, what: Study, rows: int = 600) -> tuple[Store, Dataset, list[Job]]:
    data = dataset(rows=rows)
    store = Store.create(path / "st")
    store.begin(what.model_dump(mode="json", exclude_none=True), data)
    jobs = jobs_of(what, data)
    store.plan((job.trial for job in jobs), [])
    return store, data, jobs


def firsts(jobs: list[Job], name: str) -> list[Job]:
    return [j for j in jobs if j.trial.candidate == name and j.part == FIRST_PASS]


def rows_of(store: Store, job: Job) -> int:
    run = store.get(job.trial)
    return 0 if run is None else len(run.asked.get(("clean", 0), ()))


# --- what was reached is kept -------------------------------------------------------------------


def test_a_run_that_got_less_far_does_not_replace_another(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("steady", wordings=False))
    job = firsts(jobs, "steady")[0]
    whole = run_trial(job, Pools(data))
    cut = run_trial(job, Pools(data), Deadline(0.0, end=0.0))
    assert cut.unasked > 0
    failed = replace(cut, answers={}, asked={}, unasked=0, error="OSError: the server is down")
    assert store.add(failed)
    assert store.add(cut)
    assert not store.add(failed)
    assert store.add(whole)
    assert not store.add(cut)
    assert not store.add(failed)
    kept = store.get(job.trial)
    assert kept is not None
    assert kept.error is None
    assert rows_of(store, job) == len(whole.asked["clean", 0])


def test_other_views_are_kept_beside_those_that_were_asked_before(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("steady", wordings=False))
    job = firsts(jobs, "steady")[0]
    many = replace(job, views=("typos", "casing"))
    assert store.add(run_trial(many, Pools(data)))
    assert not store.done(job.trial, ("clean", "spacing"))
    assert store.add(run_trial(replace(job, views=("spacing",)), Pools(data)))
    assert store.done(job.trial, ("clean", "typos", "casing", "spacing"))
    kept = store.get(job.trial)
    assert kept is not None
    assert {view for view, _ in kept.answers} == {"clean", "typos", "casing", "spacing"}


def test_views_that_were_asked_with_few_rows_stay_once_all_rows_are_answered(
    tmp_path: Path,
) -> None:
    store, data, jobs = prepare(tmp_path, study("steady", wordings=False))
    job = firsts(jobs, "steady")[0]
    few = run_trial(replace(job, views=("typos",)), Pools(data), Deadline(0.0, least=25))
    assert few.unasked > 0
    assert store.add(few)
    assert store.add(run_trial(replace(job, views=()), Pools(data)))
    assert store.done(job.trial, ("clean", "typos"))


def test_a_shorter_second_attempt_reports_the_stored_run(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("steady", wordings=False, views=()))
    job = firsts(jobs, "steady")[0]
    rows = len(data.folds[0].questions)
    cut = run_trial(job, Pools(data), Deadline(0.0, least=75))
    assert cut.unasked == rows - 75
    store.add(cut)
    limits, real = Limits(money=True), fakes.Steady.predict
    fakes.Steady.predict = lambda self, items: (_ for _ in ()).throw(StrategyError("down"))  # type: ignore[method-assign]
    try:
        outcome = run_jobs([job], Pools(data), store, limits, unheard)
    finally:
        fakes.Steady.predict = real  # type: ignore[method-assign]
    assert outcome.unasked["steady"] == rows - 75
    assert "steady" in outcome.failed_again


@pytest.mark.slow
def test_views_that_fail_leave_the_clean_answers_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, data, jobs = prepare(tmp_path, study("steady", wordings=False, seeds=1, sizes=(1.0,)))
    clean = {e.text for e in data.examples.values()}
    plainly = fakes.Steady.predict

    def predict(self, items):  # type: ignore[no-untyped-def]
        if any(item.text not in clean for item in items):
            raise StrategyError("no typos, please")
        return plainly(self, items)

    monkeypatch.setattr(fakes.Steady, "predict", predict)
    outcome = run_jobs(jobs, Pools(data), store, Limits(), unheard)
    assert all(rows_of(store, job) for job in firsts(jobs, "steady"))
    (said,) = [s.text for s in left_out_of(outcome) if s.candidate == "steady"]
    assert "no typos, please" in said
    assert "the answers of the first attempt count" in said


# --- what is known of stored trials -------------------------------------------------------------


def test_a_trial_that_cannot_fit_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, data, jobs = prepare(tmp_path, study("steady", wordings=False, seeds=1, sizes=(1.0,)))
    first = firsts(jobs, "steady")[0]
    store.add(replace(run_trial(first, Pools(data)), seconds_spent=300.0))
    begun: list[str] = []
    monkeypatch.setattr(
        fakes.Steady, "fit", lambda self, task, pool: begun.append("steady") or 1 / 0
    )
    outcome = run_jobs(jobs, Pools(data), store, Limits(seconds=20.0), unheard)
    assert not begun
    assert {j.trial.candidate for j in outcome.left_out} == {"steady"}


@pytest.mark.slow
def test_one_failure_of_a_candidate_that_worked_before_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, data, jobs = prepare(tmp_path, study("steady", wordings=False, seeds=1, sizes=(1.0,)))
    first, *others = firsts(jobs, "steady")
    store.add(run_trial(first, Pools(data)))
    plainly, tries = fakes.Steady.fit, []

    def once(self, task, pool):  # type: ignore[no-untyped-def]
        tries.append(1)
        if len(tries) == 1:
            raise StrategyError("a hiccup")
        plainly(self, task, pool)

    monkeypatch.setattr(fakes.Steady, "fit", once)
    run_jobs(jobs, Pools(data), store, Limits(), unheard)
    assert others
    assert all(rows_of(store, job) for job in others)


@pytest.mark.slow
def test_trials_of_a_candidate_that_only_fails_are_said_to_be_left_out(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("broken", wordings=False))
    outcome = run_jobs(jobs, Pools(data), store, Limits(), unheard)
    own = [job for job in jobs if job.trial.candidate == "broken"]
    assert len(outcome.skipped) == len(own) - 1
    (said,) = [s.text for s in left_out_of(outcome) if s.candidate == "broken"]
    assert said.endswith("all its trials until then had failed.")


# --- time that is left --------------------------------------------------------------------------


@pytest.mark.slow
def test_time_that_is_left_is_for_rows_that_a_share_did_not_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes.Steady, "ask_seconds", 0.025)
    what = study("steady", wordings=False, seeds=1, sizes=(1.0,), views=(), noise=(0.0,))
    store, data, jobs = prepare(tmp_path, what)
    jobs = [job for job in jobs if job.trial.fold == 0]
    (job,) = firsts(jobs, "steady")
    rows = len(data.folds[0].questions)
    assert rows == 120
    start = perf_counter()
    # Three quarters of the time are for a hundred rows; the rest of it suffices for the others.
    outcome = run_jobs(jobs, Pools(data), store, Limits(seconds=4.0), unheard)
    assert perf_counter() - start < 4.0 * 1.1
    assert rows_of(store, job) == rows
    assert not outcome.unasked
    kept = store.get(job.trial)
    assert kept is not None
    assert kept.unasked == 0
    whole = run_trial(job, Pools(data))
    assert set(kept.asked["clean", 0]) == set(whole.asked["clean", 0])


def test_with_no_time_left_the_cut_stays_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes.Steady, "ask_seconds", 0.02)
    what = study("steady", wordings=False, seeds=1, sizes=(1.0,), views=(), noise=(0.0,))
    store, data, jobs = prepare(tmp_path, what)
    jobs = [job for job in jobs if job.trial.fold == 0]
    outcome = run_jobs(jobs, Pools(data), store, Limits(seconds=1.5), unheard)
    (job,) = firsts(jobs, "steady")
    assert 25 <= rows_of(store, job) < 120
    assert outcome.unasked["steady"] == 120 - rows_of(store, job)
    assert any("its first pass left" in s.text for s in left_out_of(outcome))


def test_views_that_were_answered_before_the_time_was_over_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = study("steady", wordings=False, seeds=1, sizes=(1.0,), noise=(0.0,))
    store, data, jobs = prepare(tmp_path, what)
    (job,) = [j for j in jobs if j.part == "views" and j.trial.fold == 0]
    assert len(job.views) > 1
    plainly, calls = fakes.Steady.predict, []

    def predict(self, items):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 3:
            raise TimeLimitReached
        return plainly(self, items)

    monkeypatch.setattr(fakes.Steady, "predict", predict)
    outcome = run_jobs([job], Pools(data), store, Limits(), unheard)
    kept = store.get(job.trial)
    assert kept is not None
    assert set(kept.answers) == {("clean", 0), (job.views[0], 0)}
    assert outcome.left_out == [job]

"""Running: failures are findings, budgets hold, interruptions lose nothing, resume is free."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import count
from math import inf
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from choose.api.plan import plan_trials
from choose.api.study_evidence import nothing_measured, rule_of
from choose.data.scenarios import Pools
from choose.progress import TimeLimitReached
from choose.run import executor, first_passes, predict_test_rows
from choose.run.executor import Measured, run_jobs
from choose.run.predict_test_rows import CHUNK, Deadline, SpendingShare
from choose.run.run_records import GroupRequest, GroupResult, Limits, left_out_of
from choose.run.scheduling import next_trial
from choose.run.scheduling.race import Race, full_trial_seconds
from choose.run.trial import run_trial, run_trials
from choose.run.worker import LocalExecutor, Worker
from choose.schema.plan import Job
from choose.store.store import Store
from choose.study.candidates import described
from choose.study.config import Study
from choose.study.grid_points import FIRST_PASS
from choose.types import Dataset, Run
from support import fake_strategies as fakes
from support.studies import dataset, jobs_of, study


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)


class Seen(list[tuple[Job, Run | None]]):
    def __call__(self, job: Job, run: Run | None) -> None:
        self.append((job, run))

    def ran(self) -> list[str]:
        return [job.trial.candidate for job, run in self if run is None]


def prepare(path: Path, what: Study) -> tuple[Store, Dataset, list[Job]]:
    data = dataset()
    store = Store.create(path / "st")
    store.begin(what.model_dump(mode="json", exclude_none=True), data)
    jobs = jobs_of(what, data)
    store.plan((job.trial for job in jobs), [])
    return store, data, jobs


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "ValueError: the weights are [bold red]on fire[/]"),
        ("liar", "'no such label'"),
        ("short", "11 answers to 12 items"),
    ],
)
def test_a_failing_strategy_is_recorded_and_stops_no_other(
    tmp_path: Path, name: str, message: str
) -> None:
    store, data, jobs = prepare(tmp_path, study("tfidf", name, wordings=False))
    outcome = run_jobs(jobs, Pools(data), store, Limits(), Seen())
    assert not outcome.left_out
    runs = {job.trial.candidate: store.get(job.trial) for job in jobs}
    failed = store.get(next(j.trial for j in jobs if j.trial.candidate == name))
    assert failed is not None
    assert message in (failed.error or "")
    assert not failed.answers
    tfidf = runs["tfidf"]
    assert tfidf is not None
    assert tfidf.error is None
    assert "Traceback" in (store.path / "trials" / failed.trial.key / "trial.json").read_text()


def test_a_candidate_that_only_fails_is_not_tried_on_every_fold(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("broken"))
    seen = Seen()
    run_jobs(jobs, Pools(data), store, Limits(), seen)
    assert seen.ran().count("broken") == 1


def test_unusable_answers_stay_unusable(tmp_path: Path) -> None:
    _, data, jobs = prepare(tmp_path, study("mute"))
    run = run_trial(next(j for j in jobs if j.trial.candidate == "mute"), Pools(data))
    assert set(run.answers["clean", 0].outputs) == {None}
    assert set(run.answers["clean", 0].status) == {"empty"}


def test_what_exists_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes.Slow, "fit", fakes.Fake.fit)
    what = study("tfidf", "slow", wordings=False, views=())
    store, data, jobs = prepare(tmp_path, what)
    run_jobs(jobs, Pools(data), store, Limits(), Seen())
    again = Seen()
    outcome = run_jobs(jobs, Pools(data), store, Limits(), again)
    assert not again.ran()
    assert not outcome.left_out


def test_a_view_that_is_missing_is_asked(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("tfidf"))
    run_jobs(jobs, Pools(data), store, Limits(), Seen())
    next(store.path.glob("trials/*/typos-0.parquet")).unlink()
    again = Seen()
    run_jobs(jobs, Pools(data), store, Limits(), again)
    assert len(again.ran()) == 1


def test_a_budget_leaves_repetitions_out_but_no_candidate(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("tfidf", "slow", seeds=3))
    seen = Seen()
    outcome = run_jobs(jobs, Pools(data), store, Limits(1.0), seen)
    assert {"majority", "tfidf", "slow"} <= set(seen.ran())
    assert any(s.candidate == "slow" and "budget" in s.text for s in left_out_of(outcome))


def test_a_baseline_that_the_budget_cuts_short_is_fitted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each further fit would go on to its first report of progress, long after the budget."""
    monkeypatch.setattr(fakes.Baseline, "fit_seconds", 0.2)
    monkeypatch.setattr(fakes.Baseline, "begun", 0)
    store, data, jobs = prepare(tmp_path, study("baseline", seeds=3))
    outcome = run_jobs(jobs, Pools(data), store, Limits(0.3), Seen())
    assert sum(job.trial.candidate == "baseline" for job in jobs) > 3
    assert fakes.Baseline.begun == 1
    assert any(s.sentence.startswith("baseline: the first pass") for s in left_out_of(outcome))


def test_the_time_that_measuring_a_price_takes_is_not_spent_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, data, jobs = prepare(tmp_path, study("tfidf"))
    clock, sent = [0.0], list[GroupRequest]()

    class Recording(LocalExecutor):
        def submit(self, request: GroupRequest, dollars: SpendingShare | None = None) -> None:
            sent.append(request)
            super().submit(request, dollars)

    def measure(self: object, job: Job) -> None:
        clock[0] += 30.0

    monkeypatch.setattr(executor, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(executor._Driver, "_dollar_share", measure)
    here = Recording(Worker(Pools(data)))
    run_jobs(jobs[:1], Pools(data), store, Limits(seconds=100.0), Seen(), executor=here)
    assert [request.seconds for request in sent] == [75.0]


def test_an_interruption_keeps_what_is_finished_and_says_what_is_missing(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("tfidf", "impatient", wordings=False))
    outcome = run_jobs(jobs, Pools(data), store, Limits(), Seen())
    assert outcome.interrupted
    done = [job for job in jobs if store.done(job.trial, job.all_views)]
    assert {job.trial.candidate for job in done} >= {"majority", "tfidf"}
    assert len(done) + len(outcome.stopped) == len(jobs)
    assert any("stopped by you" in s.text for s in left_out_of(outcome))


def test_repetitions_are_fitted_together_and_stored_one_by_one(tmp_path: Path) -> None:
    fakes.Together.sizes.clear()
    store, data, jobs = prepare(tmp_path, study("together", seeds=4, wordings=False, views=()))
    seen = Seen()
    outcome = run_jobs(jobs, Pools(data), store, Limits(), seen)
    assert not outcome.left_out
    # The first fit is alone, so that its cost is known; then what is of one part, up to ten.
    own = [job for job in jobs if job.trial.candidate == "together"]
    assert sum(fakes.Together.sizes) == len(own) - 1
    assert max(fakes.Together.sizes) == 10
    runs = [store.get(job.trial) for job in jobs]
    assert all(run is not None and not run.error for run in runs)
    grouped = [run for run in runs if run and run.group_size > 1]
    assert len(grouped) == sum(fakes.Together.sizes)
    assert all(run.fit_seconds is None and run.seconds_spent is not None for run in grouped)
    watched = [job.trial.key for job, run in seen if run is not None]
    assert sorted(watched) == sorted(job.trial.key for job in jobs)
    again = Seen()
    run_jobs(jobs, Pools(data), store, Limits(), again)
    assert not again.ran()


def test_a_group_is_left_out_as_a_whole_after_the_budget(
    tmp_path: Path,
) -> None:
    store, data, jobs = prepare(tmp_path, study("late", seeds=4, wordings=False, views=()))
    outcome = run_jobs(jobs, Pools(data), store, Limits(), Seen())
    done = [job for job in jobs if store.done(job.trial, job.all_views)]
    assert len(outcome.left_out) > 1
    assert sorted(j.trial.key for j in [*done, *outcome.left_out]) == sorted(
        j.trial.key for j in jobs
    )


def test_what_was_answered_before_the_time_was_over_counts() -> None:
    data = dataset(rows=600)
    jobs = jobs_of(study("tiring"), data)
    job = next(job for job in jobs if job.trial.candidate == "tiring")
    fakes.Tiring.asked = 0
    run = run_trial(job, Pools(data), Deadline(inf))
    assert len(run.asked["clean", 0]) == 2 * CHUNK
    assert run.unasked == len(data.folds[job.trial.fold].questions) - 2 * CHUNK
    with pytest.raises(TimeLimitReached):
        run_trial(job, Pools(data), Deadline(inf))  # nothing was answered


def test_a_trial_that_was_cut_short_costs_what_all_its_questions_would() -> None:
    data = dataset()
    run, *_ = next(run_trials(jobs_of(study("tfidf"), data)[:1], Pools(data)))

    def cost(spent: float, asking: float, unasked: int) -> float:
        ids = {("clean", 0): tuple(map(str, range(100)))}
        facts = {"asked": ids, "unasked": unasked, "predict_seconds": asking}
        return full_trial_seconds(replace(run, seconds_spent=spent, **facts))

    assert cost(10.0, 4.0, 300) == 10 + 3 * 4
    assert cost(10.0, 4.0, 0) == 10
    assert cost(1.0, 4.0, 100) == 2.0, "what was cached costs nothing again"


def test_what_breaks_side_by_side_is_fitted_alone_and_breaks_alone(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("apart", seeds=4, wordings=False, views=()))
    run_jobs(jobs, Pools(data), store, Limits(), Seen())
    runs = {job.trial.seed: store.get(job.trial) for job in jobs if job.trial.fold == 0}
    errors = {seed: run.error for seed, run in runs.items() if run is not None}
    assert errors[1] == "ValueError: not with seed one"
    assert errors[0] is errors[2] is errors[3] is None
    assert all(run is None or run.group_size == 1 for run in runs.values())


def test_a_failed_fit_in_a_group_does_not_affect_the_others(tmp_path: Path) -> None:
    store, data, jobs = prepare(tmp_path, study("halting", seeds=4, wordings=False, views=()))
    run_jobs(jobs, Pools(data), store, Limits(), Seen())
    runs = [run for job in jobs if (run := store.get(job.trial)) is not None]
    failed = [run for run in runs if run.error]
    assert failed
    assert {(run.trial.seed, run.error) for run in failed} == {(1, "ValueError: learnt nothing")}
    beside = [run for run in runs if run.group_size > 1]
    assert beside
    assert {run.trial.seed for run in beside} <= {0, 2, 3}


def test_no_target_reaches_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, data, jobs = prepare(tmp_path, study("slow"))
    asked = []
    monkeypatch.setattr(
        fakes.Slow,
        "predict",
        lambda self, items: asked.extend(items) or fakes.Fake.predict(self, items),
    )
    job = next(j for j in jobs if j.trial.candidate == "slow")
    run_trial(job, Pools(data))
    targets = {data.examples[item.id].target for item in asked}
    assert asked
    assert all(not hasattr(item, "target") and not item.fields for item in asked)
    assert len(targets) > 1


def test_no_test_row_is_in_its_training_pool(tmp_path: Path) -> None:
    data = dataset()
    for fold in data.folds:
        assert not set(fold.pool) & set(fold.questions)
    assert sorted(data.asked) == sorted(data.examples)


@pytest.mark.slow
def test_a_candidate_far_behind_is_dropped_and_it_is_said_by_how_much(tmp_path: Path) -> None:
    data = dataset(rows=600)
    store = Store.create(tmp_path / "st")
    what = study("tfidf", "slow", wordings=False)
    store.begin(what.model_dump(mode="json", exclude_none=True), data)
    jobs = jobs_of(what, data)
    store.plan((job.trial for job in jobs), [])
    seen = Seen()
    outcome = run_jobs(jobs, Pools(data), store, Limits(racing=True), seen)
    assert seen.ran().count("slow") == 1
    assert "majority" not in outcome.dropped
    (dropped,) = left_out_of(outcome)
    assert dropped.reason == "dropped"
    assert dropped.sentence.startswith("slow: dropped after 120 rows, 67 points behind tfidf")
    assert dropped.sentence.endswith(" behind with 99.9 % certainty).")


@pytest.mark.parametrize(("chunk_seconds", "unasked"), [(0.3, 0), (0.4, 80)])
def test_rows_that_take_a_second_in_all_do_not_wait(
    chunk_seconds: float, unasked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of documents answered 25 of 394 rows in a minute; the rest took 0.3 s."""
    monkeypatch.setattr(predict_test_rows, "AT_ONCE", 1.0)
    readings = count(0.0, chunk_seconds)  # each chunk reads the clock before and after
    monkeypatch.setattr(predict_test_rows, "perf_counter", lambda: next(readings))
    data = dataset(rows=900)
    jobs = jobs_of(study("slow", wordings=False), data)
    job = next(j for j in jobs if j.trial.candidate == "slow")
    cut = run_trial(job, Pools(data), deadline=Deadline(0.0))
    assert cut.unasked == unasked


def test_a_deadline_leaves_the_same_rows_unpredicted_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(rows=900)
    store = Store.create(tmp_path / "st")
    what = study("slow", wordings=False)
    store.begin(what.model_dump(mode="json", exclude_none=True), data)
    jobs = jobs_of(what, data)
    job = next(j for j in jobs if j.trial.candidate == "slow")
    whole, cut = run_trial(job, Pools(data)), run_trial(job, Pools(data), deadline=Deadline(0.0))
    ids = cut.asked["clean", 0]
    assert (len(ids), cut.unasked) == (100, 80)
    by_id = dict(zip(whole.asked["clean", 0], whole.answers["clean", 0].outputs, strict=True))
    assert cut.answers["clean", 0].outputs == tuple(by_id[id] for id in ids)
    again = run_trial(job, Pools(data), deadline=Deadline(0.0))
    assert again.asked["clean", 0] == ids
    late = run_trial(job, Pools(data), deadline=Deadline(0.0, end=0.0))
    assert (late.asked["clean", 0], late.unasked) == (ids[:25], 155)
    shares = [
        np.mean([data.examples[id].target == data.task.labels[0] for id in part])
        for part in (ids, by_id)
    ]
    assert abs(shares[0] - shares[1]) < 0.02  # stratified
    store.add(cut)
    assert not store.done(job.trial, ("clean",))
    kept = store.get(job.trial)
    assert kept is not None
    assert kept.unasked == 80
    store.add(whole)
    assert store.done(job.trial, ("clean",))


def test_a_deadline_far_off_changes_nothing(tmp_path: Path) -> None:
    _, data, jobs = prepare(tmp_path, study("tfidf"))
    plain = run_trial(jobs[-1], Pools(data))
    timed = run_trial(jobs[-1], Pools(data), deadline=Deadline(perf_counter() + 600))
    by_id = dict(
        zip(plain.asked["clean", 0], plain.answers["clean", 0].outputs, strict=True),
    )
    assert timed.unasked == 0
    assert timed.answers["clean", 0].outputs == tuple(by_id[id] for id in timed.asked["clean", 0])


@pytest.mark.slow
def test_a_slow_candidate_uses_its_share_of_the_budget_and_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(rows=900)
    store = Store.create(tmp_path / "st")
    what = study("slow", wordings=False)
    store.begin(what.model_dump(mode="json", exclude_none=True), data)
    jobs = jobs_of(what, data)
    first = [j for j in jobs if j.trial.candidate in ("majority", "slow")]
    outcome = run_jobs(first, Pools(data), store, Limits(0.2), Seen())
    assert outcome.unasked["slow"] > 0
    assert any("its first pass left" in s.text for s in left_out_of(outcome))
    ahead = Seen()
    run_jobs(first, Pools(data), store, Limits(), ahead)  # with time enough, it is completed
    assert "slow" in ahead.ran()
    assert all(store.done(j.trial, ("clean",)) for j in first)


def race(gained: int, lost: int, both: int) -> Race:
    found = Race({}, margin=0.02)
    pairs = [(True, False)] * gained + [(False, True)] * lost + [(True, True)] * both
    found.right = {
        "a": {str(i): mine for i, (mine, _) in enumerate(pairs)},
        "b": {str(i): theirs for i, (_, theirs) in enumerate(pairs)},
    }
    return found


def test_a_contender_is_kept_and_a_straggler_dropped() -> None:
    assert not race(10, 20, 90).drops("a")
    assert race(2, 60, 60).drops("a")
    assert not race(2, 60, 20).drops("a")  # fewer than 100 rows in common


def test_a_race_between_equals_drops_hardly_anybody() -> None:
    rng = np.random.default_rng(0)
    dropped = 0
    for _ in range(2000):
        gained, lost = rng.multinomial(150, [0.1, 0.1, 0.8])[:2]
        dropped += race(int(gained), int(lost), 150 - int(gained) - int(lost)).drops("a")
    assert dropped <= 2


def test_the_first_verdict_waits_for_some_rows_of_all_but_those_that_take_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for folds of fast candidates that take long, nor for all slow rows."""
    monkeypatch.setattr(next_trial, "EARLY_SHARE", 0.0)  # all folds take long,
    monkeypatch.setattr(first_passes, "FIRST_VERDICT_SHARE", 0.0)  # and every slow candidate
    store, data, jobs = prepare(tmp_path, what := study("tfidf", "steady"))
    candidates = plan_trials(what, Pools(data)).candidates
    store.plan((job.trial for job in jobs), described(candidates))
    rule = rule_of(store.study, data.task)
    measured = Measured.nothing_of(nothing_measured(store), rule, jobs)
    seen, told = Seen(), list[tuple[int, list[str], bool]]()

    def verdict(named: str, final: bool, open_: Sequence[str], unanswered: Sequence[str]) -> None:
        told.append((sum(run is not None for _, run in seen), [*unanswered], final))

    limits = Limits(60.0, racing=True)
    run_jobs(jobs, Pools(data), store, limits, seen, measured, verdict=verdict)
    names = {job.trial.candidate for job in jobs}
    first = [job.trial.candidate for job, run in seen if run is not None][: len(names)]
    assert {*first} == names
    assert told[0] == (len(names) - 1, ["steady"], False)
    whole = next(one for one in told if not one[1])
    assert whole[0] == len(names)
    assert told[-1][0] > len(names)


def test_no_worker_idles_because_a_request_took_none(tmp_path: Path) -> None:
    """What goes to an endpoint runs beside; the workers that are free get something too."""
    store, data, jobs = prepare(tmp_path, study("tfidf", "steady", wordings=False, views=()))
    begun = list[int]()

    class Beside(LocalExecutor):
        @property
        def free(self) -> int:
            return int(len(self._waiting) < 2)

        def results(self) -> Generator[GroupResult]:
            begun.append(len(self._waiting))
            yield from super().results()

    first = {job.trial.candidate: job for job in reversed(jobs)}
    run_jobs(
        [*first.values()],
        Pools(data),
        store,
        Limits(),
        Seen(),
        executor=Beside(Worker(Pools(data))),
    )
    assert len(first) == 3
    assert begun == [2, 1]


@pytest.mark.slow
def test_a_first_pass_with_a_few_rows_is_no_reason_to_fit_it_anew(tmp_path: Path) -> None:
    """A finished study has many; they answer more where the question needs it, in one fit."""
    data, what = dataset(rows=600), study("tfidf", "steady", wordings=False, views=())
    store = Store.create(tmp_path / "st")
    store.begin(what.model_dump(mode="json", exclude_none=True), data)
    candidates = plan_trials(what, Pools(data)).candidates
    jobs = [job for job in jobs_of(what, data) if job.part == FIRST_PASS and job.trial.fold == 0]
    store.plan((job.trial for job in jobs), described(candidates))
    job = next(job for job in jobs if job.trial.candidate == "steady")
    store.add(run_trial(job, Pools(data), Deadline(0.0, least=CHUNK)))
    measured = Measured.nothing_of(nothing_measured(store), rule_of(store.study, data.task), jobs)
    seen, answered = Seen(), list[Run]()
    limits = Limits(60.0, racing=True)
    run_jobs(jobs, Pools(data), store, limits, seen, measured, answered=answered.append)
    assert "steady" not in seen.ran()
    assert "tfidf" in seen.ran()
    assert [run.unasked for j, run in seen if j is job and run is not None] == [95]
    more = [len(run.asked["clean", 0]) for run in answered if run.trial.key == job.trial.key]
    assert all(50 <= rows <= 120 for rows in more)

"""What trials will take is told from their beginnings; a budget's first passes ask alike."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import count, pairwise
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import pytest

from choose.corpus import CONDITIONS
from choose.data.scenarios import Pools
from choose.progress import report_progress, report_shared, sampled, sampling
from choose.run import worker
from choose.run.executor import run_jobs
from choose.run.first_passes import FIRST_PASS_SHARE, FirstPassBudget
from choose.run.forecast import PLAN_SECONDS, ForecastSums, forecast
from choose.run.predict_test_rows import PassCost, allocate
from choose.run.rows_reached import Reach, rows_reached
from choose.run.run_records import Limits, Pace, left_out_of
from choose.run.speed_measurement import (
    LEAST_SECONDS,
    MEASURE_SECONDS,
    PARTS,
    KnownSpeed,
    known_speed,
    measure_speed,
    part_seconds,
)
from choose.run.speed_probe import (
    FurtherRows,
    Sample,
    Speed,
    at_common_pace,
    probe,
    time_predict,
)
from choose.schema.plan import Job
from choose.store.store import Store
from choose.study.grid_points import CONTROLS, DRILLS, FIRST_PASS
from choose.types import Answers, Example, Item, Task
from support import fake_strategies as fakes
from support.studies import dataset, jobs_of, study, write_csv


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)
    fakes.Remembers.known.clear()
    fakes.Steady.fits.clear()


def pace(fit: float, ask: float | None) -> Speed:
    return Speed(load=0.0, fits=((100, fit),), per_row=ask)


# --- shares of a budget ------------------------------------------------------------------------


def test_all_candidates_get_the_same_number_of_rows() -> None:
    found = allocate(
        {"a": PassCost(10, 0.1, 300), "b": PassCost(0, 0.4, 300), "c": PassCost(40, 0.1, 300)}, 140
    )
    asked = [(found["a"] - 10) / 0.1, found["b"] / 0.4, (found["c"] - 40) / 0.1]
    assert asked == pytest.approx([150, 150, 150])
    assert sum(found.values()) == pytest.approx(140)


def test_a_candidate_with_fewer_rows_leaves_time_to_the_others() -> None:
    found = allocate({"a": PassCost(0, 1.0, 50), "b": PassCost(0, 1.0, 300)}, 200)
    assert found == pytest.approx({"a": 50, "b": 150})


def test_a_candidate_of_unknown_cost_gets_an_even_share() -> None:
    found = allocate({"a": None, "b": PassCost(0, 1.0, 300)}, 100)
    assert found == pytest.approx({"a": 50, "b": 50})
    assert allocate({"a": None, "b": None}, 100) == pytest.approx({"a": 50, "b": 50})
    assert pace(0, None).first_pass(300) is None


def test_with_too_few_rows_each_the_most_expensive_candidate_runs_last() -> None:
    needs = {
        "a": PassCost(140, 0.04, 300),
        "b": PassCost(135, 1.9, 300),
        "c": PassCost(14, 0.23, 300),
    }
    found = allocate(needs, 280)
    assert found["a"] == pytest.approx(140 + 300 * 0.04), "all its rows take little"
    assert (found["c"] - 14) / 0.23 == pytest.approx(300)
    assert found["b"] == pytest.approx(280 - found["a"] - found["c"])


def waiting_three(budget: float) -> FirstPassBudget:
    data = dataset(rows=300)
    jobs = jobs_of(study("steady", "sluggish", "slow"), data)
    waiting: dict[str, Job] = {}
    for job in jobs:
        if job.trial.candidate in ("steady", "sluggish", "slow"):
            waiting.setdefault(job.trial.candidate, job)
    pacing = FirstPassBudget(budget, waiting)
    pacing.speeds = {"steady": pace(50, 0.1), "sluggish": pace(0, 0.2), "slow": pace(0, 0.1)}
    return pacing


def test_first_passes_go_by_cost_and_unknown_ones_first() -> None:
    pacing = waiting_three(60.0)
    pacing.speeds["slow"] = None
    assert [j.trial.candidate for j in pacing.fastest_first()] == ["slow", "sluggish", "steady"]


def test_what_costs_dollars_may_take_an_even_share_and_others_stop_after_some_rows() -> None:
    pacing = waiting_three(1000.0)
    assert pacing.pace(800.0, priced=True) == Pace(share=200.0, end=800.0, least=25)
    assert pacing.pace(800.0, priced=False) == Pace(share=0.0, end=800.0, least=25)


def test_enough_time_covers_all_rows() -> None:
    found = allocate({"a": PassCost(1, 0.1, 30), "b": PassCost(2, 0.1, 30)}, 1000)
    assert found == pytest.approx({"a": 4.0, "b": 5.0})


def test_a_trial_repeated_for_views_costs_only_uncached_work() -> None:
    data = dataset(rows=300)
    jobs = jobs_of(study("steady", wordings=False, seeds=1), data)
    own = [j for j in jobs if j.trial.candidate == "steady" and j.trial.fold == 0]
    first, views = (next(j for j in own if j.part == part) for part in (FIRST_PASS, "views"))
    assert first.trial.key == views.trial.key
    rows, asked = len(data.folds[0].questions), views.view_rows // len(data.folds) * 3
    for same, again in ((0.1, 0.0), (0.0, 5.0 + 0.1 * rows)):
        one = Speed(load=0.0, fits=((240, 5.0),), per_row=0.1, saved_same_fit=same)
        sums = ForecastSums(Pools(data), {"steady": one})
        sums.add(first)
        assert sums.seconds["steady"] == pytest.approx(5.0 + 0.1 * rows)
        sums.add(views)
        assert sums.seconds["steady"] == pytest.approx(5.0 + 0.1 * rows + again + 0.1 * asked)
        assert sums.predicted_rows["steady"] == rows + asked, "a store holds the clean rows once"


def test_a_fit_that_a_worker_keeps_is_forecast_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Controls ask the fit of the first pass how it reads; plans counted another fit for them."""
    data = dataset(rows=300)
    jobs = jobs_of(study("steady", wordings=False, seeds=1), data)
    own = [j for j in jobs if j.trial.candidate == "steady" and j.trial.fold == 0]
    first, views = (next(j for j in own if j.part == part) for part in (FIRST_PASS, "views"))
    control = replace(first, part=CONTROLS, views=CONDITIONS, view_rows=100)
    drill = replace(first, part=DRILLS, views=("drill",), view_rows=100)
    speed = Speed(load=0.0, fits=((240, 50.0),), per_row=0.1)
    few = 100 // len(data.folds)
    first_pass = 50.0 + 0.1 * len(data.folds[0].questions)
    kept = [first_pass, 0.1 * few * len(CONDITIONS), 0.1 * few]
    reading = Counter([control.trial.key, drill.trial.key])
    sums = ForecastSums(Pools(data), {"steady": speed}, reading)
    assert [sums.add(job) for job in (first, control, drill)] == pytest.approx(kept)
    # The last of them lets the fit go, so that what comes after it fits its trial again.
    again = sums.add(views)
    assert again is not None
    assert again > first_pass
    monkeypatch.setattr("choose.run.forecast.known_speed", lambda *_: KnownSpeed(speed))
    (found,) = forecast([first, control, drill], Pools(data), None)
    assert found.seconds == pytest.approx(sum(kept))


# --- rehearsal ---------------------------------------------------------------------------------


def planned(name: str, rows: int = 300, **grid: object):  # type: ignore[no-untyped-def]
    data = dataset(rows=rows)
    jobs = jobs_of(study(name, **grid), data)
    return data, [j for j in jobs if j.trial.candidate == name]


@pytest.mark.slow  # it is about time, so nothing else should run
def test_a_fit_is_forecast_from_its_first_steps() -> None:
    data, jobs = planned("steady")
    start = perf_counter()
    found = measure_speed(jobs[0], Pools(data), seconds=0.2).speed
    assert perf_counter() - start < 1.5
    assert found.fit(240) == pytest.approx(0.96, rel=0.25)
    assert found.fit(120) == pytest.approx(0.48, rel=0.3)
    assert found.per_row == pytest.approx(0.002, rel=0.4)
    assert found.saved < 0.001


@pytest.mark.slow  # it is about time, so nothing else should run
def test_cached_work_is_measured_separately() -> None:
    data, jobs = planned("remembers")
    found = measure_speed(jobs[0], Pools(data), seconds=0.2).speed
    assert found.per_row == pytest.approx(0.002, rel=0.4)
    assert found.saved == pytest.approx(0.002, rel=0.4)


@pytest.mark.slow  # it is about time, so nothing else should run
def test_a_fit_finished_by_the_probe_is_reused(tmp_path: Path) -> None:
    data, jobs = planned("steady", rows=60)
    begun = probe(jobs[0], Pools(data), seconds=5.0)
    assert begun.fitted is not None
    store = Store.create(tmp_path / "st")
    fakes.Steady.fits.clear()
    run_jobs(jobs[:1], Pools(data), store, Limits(60.0), lambda job, run: None)
    assert fakes.Steady.fits == [48]
    run = store.get(jobs[0].trial)
    assert run is not None
    assert run.fit_seconds == pytest.approx(48 * 0.004, rel=0.4)
    assert run.seconds_spent == pytest.approx(run.seconds_alone)


@pytest.mark.slow  # it is about time, so nothing else should run
def test_a_run_takes_what_was_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes.Steady, "fit_seconds", 0.001)
    monkeypatch.setattr(fakes.Remembers, "ask_seconds", 0.01)
    data = dataset(rows=120)
    what = study("steady", "remembers", sizes=(0.5, 1.0), noise=(0.0, 0.2), views=("typos",))
    jobs = jobs_of(what, data)
    jobs = [job for job in jobs if job.trial.candidate in ("steady", "remembers")]
    found = {one.candidate: one for one in forecast(jobs, Pools(data), None)}
    fakes.Remembers.known.clear()
    spent: dict[str, float] = {}
    started = [0.0]

    def watch(job, run) -> None:  # type: ignore[no-untyped-def]
        if run is None:
            started[0] = time.perf_counter()
        else:
            took = time.perf_counter() - started[0]
            spent[job.trial.candidate] = spent.get(job.trial.candidate, 0.0) + took

    run_jobs(jobs, Pools(data), Store.create(tmp_path / "st"), Limits(), watch)
    for name in ("steady", "remembers"):
        assert found[name].trials == sum(j.trial.candidate == name for j in jobs)
        seconds = found[name].seconds
        assert seconds is not None
        assert 1 / 1.5 < seconds / spent[name] < 1.5


def test_a_plan_gives_each_candidate_the_time_that_is_left() -> None:
    """D14: a plan of the bundled tickets took nearly three minutes on a busy machine."""
    assert part_seconds(PLAN_SECONDS, 2) == MEASURE_SECONDS
    assert part_seconds(PLAN_SECONDS, 8) == pytest.approx(PLAN_SECONDS / PARTS / 8)
    assert part_seconds(-5.0, 3) == LEAST_SECONDS


@pytest.mark.slow  # it is about time, so nothing else should run
def test_a_plan_of_many_slow_candidates_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a second and a half each part, these two would take five times as long."""
    data, jobs = planned("sluggish", rows=1500)
    _, more = planned("steady", rows=1500)
    monkeypatch.setattr("choose.run.forecast.PLAN_SECONDS", 2.0)
    start = perf_counter()
    found = forecast([*jobs, *more], Pools(data), None)
    assert perf_counter() - start < 3.5
    assert all(one.seconds is not None for one in found)


def test_a_failing_candidate_has_a_forecast_with_a_reason(tmp_path: Path) -> None:
    data, jobs = planned("broken", rows=60)
    (found,) = forecast(jobs, Pools(data), None)
    assert found.seconds is None
    assert "on fire" in (found.why_not or "")


# --- what a budget does ------------------------------------------------------------------------


@pytest.mark.slow  # it is about time, so nothing else should run
def test_a_budget_gives_slow_candidates_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(rows=1500)
    jobs = jobs_of(study("steady", "sluggish", wordings=False), data)
    first = [j for j in jobs if j.trial.candidate in ("steady", "sluggish") and j.trial.fold == 0]
    first = [j for j in first if j.part == "the first pass"]
    monkeypatch.setattr(fakes.Steady, "fit_seconds", 0.001)
    fits, each = 2 * 1200 * 0.001, 0.022
    budget = (fits + 200 * each) / FIRST_PASS_SHARE
    start, store = perf_counter(), Store.create(tmp_path / "st")
    outcome = run_jobs(first, Pools(data), store, Limits(budget), lambda job, run: None)
    assert perf_counter() - start < 1.1 * budget
    runs = [store.get(job.trial) for job in first]
    asked = [len(run.asked["clean", 0]) for run in runs if run is not None]
    assert len(asked) == 2
    # Even shares of the time would ask the slower one about 100 rows, and the other all 300.
    assert min(asked) >= 150
    assert not outcome.left_out


def test_no_model_is_loaded_once_the_budget_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading every model to see how fast it is made a minute's budget last 100 seconds."""
    data, jobs = planned("steady", rows=60)
    loaded: list[Job] = []

    def load(job: Job, *_: object) -> None:
        loaded.append(job)

    monkeypatch.setattr(worker, "probe", load)
    assert FirstPassBudget(60.0, {"steady": jobs[0]}).needs_probes(jobs[0], left=1.0)
    assert not FirstPassBudget(60.0, {"steady": jobs[0]}).needs_probes(jobs[0], left=0.0)
    limits = Limits(-1.0)
    outcome = run_jobs(
        jobs[:1], Pools(data), Store.create(tmp_path / "st"), limits, lambda job, run: None
    )
    assert outcome.left_out == jobs[:1]
    assert not loaded


def test_a_fit_far_beyond_the_remaining_time_is_probed_once() -> None:
    """Two probes of an adapter took a minute and a half of a demo that has five minutes."""
    _, jobs = planned("steady")
    job = jobs[0]
    budget = FirstPassBudget(300.0, {"steady": job}, ordered=True)
    budget.record("steady", pace(1000.0, 0.1), fitted=False)
    assert not budget.needs_probes(job, left=100.0)
    assert budget.overrun("steady", left=100.0) == 1000.0
    budget.record("steady", pace(300.0, 0.1), fitted=False)
    assert budget.needs_probes(job, left=100.0)
    assert budget.next_probe(job, left=100.0) == ((job,), 2.0)
    budget.record("steady", pace(20.0, 0.1), fitted=False)
    assert budget.overrun("steady", left=100.0) is None, "the second probe found a slow step"
    budget.record("steady", pace(300.0, 0.1), fitted=False)
    assert not budget.needs_probes(job, left=100.0), "no third probe"


def test_a_fit_that_cannot_finish_gives_controls_no_time_of_one_that_can() -> None:
    pacing = waiting_three(100.0)
    pacing.speeds = {"steady": pace(60, 0.1), "sluggish": pace(1000, 0.2), "slow": pace(0, 0.1)}
    assert not pacing.has_room(30.0, left=100.0, skip=lambda job: False)
    assert pacing.has_room(20.0, left=100.0, skip=lambda job: False)


@pytest.mark.slow  # it is about time, so nothing else should run
def test_a_fit_that_cannot_finish_is_left_out_and_reported(tmp_path: Path) -> None:
    data, jobs = planned("steady", rows=1500)
    start = perf_counter()
    outcome = run_jobs(
        jobs[:3], Pools(data), Store.create(tmp_path / "st"), Limits(1.0), lambda job, run: None
    )
    assert perf_counter() - start < 1.1
    assert outcome.too_long["steady"] == pytest.approx(4.8, rel=0.3)
    (too_long,) = [one for one in left_out_of(outcome) if one.reason == "too-long"]
    assert too_long.seconds == outcome.too_long["steady"]
    assert too_long.sentence.startswith("steady: one fit would take about ")
    assert len(outcome.left_out) == 3


@pytest.mark.slow  # it is about time, so nothing else should run
def test_a_fit_that_is_forecast_wrong_is_stopped_with_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("choose.run.first_passes.FORECAST_FACTOR", inf)
    data, jobs = planned("steady", rows=1500)
    start, store = perf_counter(), Store.create(tmp_path / "st")
    outcome = run_jobs(jobs[:1], Pools(data), store, Limits(1.0), lambda job, run: None)
    assert perf_counter() - start < 1.1
    assert outcome.left_out == jobs[:1]
    assert outcome.too_long["steady"] == pytest.approx(6.0, rel=0.5)  # seen while it ran
    assert store.get(jobs[0].trial) is None


def test_the_plan_shows_what_it_will_take(choose, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = write_csv(tmp_path / "words.csv")
    flags = ("-s", "tfidf", "--seeds", "2", "--sizes", "1", "--noise", "0")
    said = " ".join(choose("plan", data, *flags).out.split())
    assert "first pass" in said
    assert "suffices for all trials" in said
    assert not Path(".choose").exists()


@pytest.mark.slow  # it is about time, so nothing else should run
def test_a_cheap_fit_is_never_stopped_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes.Steady, "cheap", True)
    data, jobs = planned("steady", rows=300)
    found = measure_speed(jobs[0], Pools(data), seconds=0.05).speed
    assert found.per_row is not None
    assert found.fits[-1][0] < 240  # no more rows than the time allows
    assert found.fit(240) == pytest.approx(0.96, rel=0.4)


def test_a_fit_of_all_rows_is_timed_on_texts_that_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Embedding the texts of a larger fit took most of the time that a plan gives to it."""
    pools: list[Sequence[Example]] = []
    known = fakes.Remembers.known

    def embed(self: fakes.Remembers, task: Task, examples: Sequence[Example]) -> None:
        fakes.Fake.fit(self, task, examples)
        texts = {example.text for example in examples}
        self.cached = 0.001 * len(texts & known)
        known.update(texts)
        pools.append(examples)

    monkeypatch.setattr(fakes.Remembers, "fit", embed)
    monkeypatch.setattr(fakes.Remembers, "cheap", True)
    data, jobs = planned("remembers")
    found = measure_speed(jobs[0], Pools(data), seconds=1.0).speed
    assert max(map(len, pools)) == found.fits[-1][0] == 240
    assert len({row.text for pool in pools for row in pool}) == 64
    assert all(len({row.id for row in pool}) == len(pool) for pool in pools)
    assert found.per_text == pytest.approx(0.001)


def test_a_row_of_average_length_is_timed() -> None:
    data, jobs = planned("steady", rows=60)
    asked: list[Item] = []

    def watched(self: fakes.Steady, items: Sequence[Item]) -> Answers:
        asked.extend(items)
        return fakes.Fake.predict(self, items)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fakes.Steady, "predict", watched)
        patch.setattr(fakes.Steady, "fit_seconds", 0.0)
        measure_speed(jobs[0], Pools(data), 0.0)
    rows = [data.examples[id].text for id in Pools(data).of(jobs[0].trial).questions]
    average = sum(map(len, rows)) / len(rows)
    nearest = min(abs(len(text) - average) for text in rows)
    assert abs(len(asked[0].text) - average) == nearest


def test_one_question_may_take_all_of_a_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("choose.run.speed_probe.perf_counter", lambda: clock[0])

    class Ponders:
        def predict(self, items: list[Item]) -> Answers:
            clock[0] += 0.1 * len(items)
            return Answers(outputs=("a",) * len(items), status=("ok",) * len(items))

    items = [Item(id=f"r{i}", text="x") for i in range(20)]
    asked = time_predict(Ponders(), items, 0.02)  # type: ignore[arg-type]
    assert asked.rows == 1
    assert asked.each == pytest.approx(0.1)
    assert time_predict(Ponders(), items, 0.1).rows == 4  # type: ignore[arg-type]
    assert time_predict(Ponders(), items, 1.8).rows == 16  # type: ignore[arg-type]


def test_a_probe_does_not_wait_for_a_long_answer() -> None:
    """One record of an e-mail took ten seconds of a demo that has five minutes."""

    class Writes:
        def predict(self, items: list[Item]) -> Answers:
            for token in range(1, 201):
                time.sleep(0.01)
                report_progress(token, 200, "writing")
            return Answers(outputs=("a",) * len(items), status=("ok",) * len(items))

    items, began = [Item(id=str(n), text="t") for n in range(9)], perf_counter()
    predicted = time_predict(Writes(), items, 0.1, cut=True)  # type: ignore[arg-type]
    assert perf_counter() - began < 1.5
    assert predicted.rows == 0
    assert predicted.each == pytest.approx(2.0, rel=0.5)


def test_a_strategy_that_has_not_begun_to_fit_has_no_speed() -> None:
    """Its fit was stopped before it had anything to tell or to predict with."""

    class Begins:
        def facts(self) -> dict[str, float]:
            return {"cached_seconds": self.cached}  # type: ignore[attr-defined]

        def predict(self, items: list[Item]) -> Answers:
            raise AssertionError("it is not asked")

    predicted = time_predict(Begins(), [Item(id="a", text="t")], 0.1, cut=True)  # type: ignore[arg-type]
    assert (predicted.rows, predicted.each) == (0, None)


def test_a_slow_first_row_does_not_make_all_rows_slow() -> None:
    """knn was forecast to take twelve minutes and took seconds."""

    class Loads:
        loaded = False

        def predict(self, items: list[Item]) -> Answers:
            time.sleep(0.01 * len(items) + (0.0 if self.loaded else 0.3))
            self.loaded = True
            return Answers(outputs=("a",) * len(items), status=("ok",) * len(items))

    items = [Item(id=f"r{i}", text="x") for i in range(20)]
    each = time_predict(Loads(), items, 0.1).each  # type: ignore[arg-type]
    assert each is not None
    assert each < 0.1


class Announces(fakes.Steady):
    """Says how many steps there are before it takes the first, which also sets up."""

    set_up: ClassVar[float] = 0.2
    steps: ClassVar[list[int]] = []

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.labels = task.labels
        report_progress(0, len(examples), "learning")
        time.sleep(self.set_up)
        for done in range(1, len(examples) + 1):
            self.steps.append(done)
            time.sleep(self.fit_seconds)
            report_progress(done, len(examples), "learning")


def test_the_length_of_another_fit_costs_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of the sample began three fits of each slow candidate and took three minutes."""
    monkeypatch.setattr(fakes.Steady, "fit", Announces.fit)
    monkeypatch.setattr(Announces, "steps", [])
    monkeypatch.setattr(fakes.Steady, "set_up", 0.2, raising=False)
    monkeypatch.setattr(fakes.Steady, "steps", Announces.steps, raising=False)
    data, jobs = planned("steady")
    found = measure_speed(jobs[0], Pools(data), seconds=0.0).speed
    assert Announces.steps == [1, 2], (
        "only the whole fit is begun: a step that sets up, and another"
    )
    assert found.fit(240) > 3 * found.fit(64) > 0


class Scores(fakes.Fake):
    """Embeds texts, each once; then scores rows, each once a seed. A unit of work is a second."""

    clock: ClassVar[list[float]] = [0.0]
    embedded: ClassVar[set[str]] = set()
    scored: ClassVar[list[tuple[int, str]]] = []

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self.labels = task.labels
        new = [example for example in reversed(examples) if example.text not in self.embedded]
        for first in range(0, len(new), 32):
            some = new[first : first + 32]
            self.clock[0] += len(some)
            self.embedded.update(example.text for example in some)
            report_progress(first + len(some), len(new), "embedding")
        self.score([example.text for example in examples[:20]])

    def predict(self, items: Sequence[Item]) -> Answers:
        self.score([item.text for item in items])
        return fakes.Fake.predict(self, items)

    def score(self, texts: Sequence[str]) -> None:
        new = [(self.seed, text) for text in texts if (self.seed, text) not in self.scored]
        for done, one in enumerate(new):
            report_progress(done, len(new), "scoring")
            self.clock[0] += 3.0
            self.scored.append(one)
        if new:
            report_progress(len(new), len(new), "scoring")


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> type[Scores]:
    for name, value in (("clock", [0.0]), ("embedded", set()), ("scored", [])):
        monkeypatch.setattr(Scores, name, value)
        monkeypatch.setattr(fakes.Steady, name, value, raising=False)
    for name in ("fit", "predict", "score"):
        monkeypatch.setattr(fakes.Steady, name, getattr(Scores, name), raising=False)
    ticks = count()
    for module in ("choose.progress", "choose.run.speed_probe"):
        monkeypatch.setattr(f"{module}.perf_counter", lambda: Scores.clock[0] + 1e-9 * next(ticks))
    return Scores


def test_that_another_fit_reuses_no_answer_costs_no_step(scores: type[Scores]) -> None:
    """A plan computed an answer of a second few-shot prompt, a second of a core, to see it."""
    data, jobs = planned("steady")
    found = measure_speed(jobs[0], Pools(data), seconds=0.0).speed
    assert found.per_row == pytest.approx(3.0)
    assert found.saved_same_fit == pytest.approx(3.0)
    assert found.saved == 0.0
    assert {seed for seed, _ in scores.scored} == {jobs[0].trial.seed}


def test_a_small_fit_is_begun_behind_the_embedding_of_its_texts(scores: type[Scores]) -> None:
    """With retrieval alone a fit was forecast as if it embedded texts and did nothing else."""
    data, jobs = planned("steady")
    found = measure_speed(jobs[0], Pools(data), seconds=0.0).speed
    assert found.per_text == pytest.approx(1.0)
    assert found.fit(240) == found.fit(64) == pytest.approx(20 * 3.0)


def test_work_that_all_fits_share_is_loaded_once(
    scores: type[Scores], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(self: Scores, task: Task, examples: Sequence[Example]) -> None:
        report_shared(500.0)
        Scores.fit(self, task, examples)

    monkeypatch.setattr(fakes.Steady, "fit", fit)
    data, jobs = planned("steady")
    found = measure_speed(jobs[0], Pools(data), seconds=0.0).speed
    assert found.load == pytest.approx(500.0, abs=1.0)
    assert found.fit(240) == found.fit(64) == pytest.approx(20 * 3.0)


# --- one pace for what reads with one model ----------------------------------------------------


def reader(units: float, *paces: float, fit: float = 0.001) -> Speed:
    """Predicts rows of so many units, timed at these paces; its fit of 64 rows had another."""
    samples = tuple(Sample(3 * units, 3 * units * pace, "a model", rows=3) for pace in paces)
    each = units * paces[0]
    return Speed(
        load=1.0,
        fits=((64, 64 * units * fit), (240, 64 * units * fit)),
        per_row=each,
        saved_same_fit=each,
        samples=samples,
        fit_sample=Sample(2 * units, 2 * units * fit, "a model"),
    )


def test_one_slow_moment_does_not_change_a_forecast() -> None:
    """prompt was forecast to take 6.8 times and few-shot 0.42 times what they took, in one plan."""
    slow = {
        "few-shot": reader(100.0, 0.001, 0.0011, 0.001),
        "prompt": reader(80.0, 0.007, 0.001, 0.0009, fit=0.007),  # another program had the cores
        "retrieval": reader(500.0, 0.001, 0.0009),
    }
    found = at_common_pace(slow)
    quiet = at_common_pace({**slow, "prompt": reader(80.0, 0.001, 0.001, 0.0009)})
    assert found == {**quiet, "prompt": found["prompt"]}
    rows = {name: speed.per_row for name, speed in found.items()}
    assert rows == pytest.approx({"few-shot": 0.1, "prompt": 0.08, "retrieval": 0.5})
    assert found["prompt"].saved_same_fit == pytest.approx(0.08)
    assert found["prompt"].fit(240) == pytest.approx(64 * 0.08)
    assert found["prompt"].load == 1.0
    kept = at_common_pace(found)  # as the next plan reads them
    assert kept["prompt"].fit(240) == pytest.approx(64 * 0.08)
    assert kept["prompt"].per_row == pytest.approx(0.08)


def test_a_first_step_tells_others_nothing_and_follows_their_pace() -> None:
    cold = replace(reader(100.0, 0.001, 0.001), fit_sample=Sample(50.0, 0.5, "a model", warm=False))
    cold = replace(cold, fits=((64, 64.0), (240, 64.0)))
    found = at_common_pace({"few-shot": cold, "prompt": reader(80.0, 0.002, fit=0.002)})
    assert found["few-shot"].per_row == pytest.approx(0.15), "the median of 1, 1, 2 and 2"
    assert found["few-shot"].fit(240) == pytest.approx(64 * 0.15)
    # A fit of cached answers alone is in the seconds of its texts.
    texts = replace(cold, fits=((64, 0.0), (240, 0.0)), per_text=1.0)
    assert at_common_pace({"few-shot": texts})["few-shot"].per_text == pytest.approx(0.1)


def test_without_a_shared_model_a_candidate_goes_by_its_own_moments() -> None:
    def alone(*paces: float) -> Speed:
        samples = tuple(Sample(12, 12 * pace, rows=12) for pace in paces)
        return replace(pace(5.0, paces[0]), saved=paces[0] / 2, samples=samples)

    found = at_common_pace(
        {"lora": alone(0.3, 0.1, 0.1), "other": alone(0.5), "none": pace(5, None)}
    )
    assert found["lora"].per_row == pytest.approx(0.1)
    assert found["lora"].saved == pytest.approx(0.05)
    assert found["lora"].fits == pace(5.0, 0.1).fits
    assert found["other"].per_row == 0.5
    assert found["none"] == pace(5, None)


def test_candidates_predict_further_rows_while_others_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, slow = [0.0], [1.0]
    monkeypatch.setattr("choose.run.speed_probe.perf_counter", lambda: clock[0])
    asked: list[str] = []

    class Reads:
        def predict(self, items: list[Item]) -> Answers:
            assert sampled()
            clock[0] += 0.1 * slow[0] * len(items)
            asked.extend(item.id for item in items)
            return Answers(outputs=("a",) * len(items), status=("ok",) * len(items))

    items = [Item(id=f"r{i}", text="x") for i in range(20)]
    with sampling():
        first = time_predict(Reads(), items, 0.5)  # type: ignore[arg-type]
    assert first.sample == Sample(3, pytest.approx(0.3), rows=3)
    further = FurtherRows.after(Reads(), items, first)  # type: ignore[arg-type]
    speed = replace(pace(5.0, first.each), samples=(first.sample,))
    known = KnownSpeed(speed, further=further)
    slow[0] = 7.0
    known.measure_again()
    slow[0] = 1.0
    for _ in range(9):
        known.measure_again()
    assert asked == [item.id for item in items[:19]], "each row once, and as many at a time"
    assert [round(sample.seconds, 3) for sample in known.speed.samples] == [0.3, 2.1] + [0.3] * 4
    assert at_common_pace({"reads": known.speed})["reads"].per_row == pytest.approx(0.1)
    # Rows that take long are not predicted again.
    long = replace(first, each=0.9)
    assert FurtherRows.after(Reads(), items, long) is None  # type: ignore[arg-type]


# --- what a budget reaches ----------------------------------------------------------------------


def reached(budget: float, **paces: tuple[float, float]) -> dict[str, Reach]:
    data = dataset(rows=600)
    names = ("tfidf", "steady", "sluggish")
    jobs = [j for j in jobs_of(study(*names), data) if j.trial.candidate in names]
    speeds = {
        name: Speed(load=0.0, fits=((480, fit),), per_row=each)
        for name, (fit, each) in {"tfidf": (0.5, 0.001), **paces}.items()
    }
    sums = ForecastSums(Pools(data), speeds)
    seconds = [sums.add(job) for job in jobs]
    return rows_reached(jobs, seconds, speeds, Pools(data), budget)


def test_a_budget_reaches_rows_of_every_candidate_that_fits_it() -> None:
    """D14: a plan said "about 0 rows" where a run then asked 121 in half the time."""
    found = reached(100.0, steady=(5.0, 0.1), sluggish=(5.0, 0.2))
    assert found["tfidf"] == Reach(600, 600)
    assert 120 <= found["steady"].rows < 600
    assert 120 <= found["sluggish"].rows < 600


def test_slow_candidates_answer_some_rows_before_fast_ones_have_their_other_folds() -> None:
    """A plan of 90 s said 602 rows of each fast candidate, and the run reached one fold of five."""
    found = reached(40.0, tfidf=(8.0, 0.001), steady=(10.0, 0.1), sluggish=(500.0, 0.2))
    assert 0 < found["steady"].rows < 600
    assert 120 < found["tfidf"].rows < 480
    assert reached(900.0, tfidf=(8.0, 0.001), steady=(10.0, 0.1))["tfidf"] == Reach(600, 600)


def test_more_seconds_never_reach_fewer_rows_and_enough_reach_all() -> None:
    # With less, too few rows each, the faster of the two is asked all that fit.
    budgets = (40.0, 80.0, 160.0, 320.0, 640.0, 1280.0)
    found = [reached(b, steady=(5.0, 0.1), sluggish=(5.0, 0.3)) for b in budgets]
    for name in ("steady", "sluggish"):
        rows = [one[name].rows for one in found]
        assert rows == sorted(rows)
        assert rows[-1] == 600


def test_a_fit_that_the_budget_cannot_hold_reaches_no_rows() -> None:
    found = reached(60.0, steady=(500.0, 0.1), sluggish=(1.0, 0.1))
    assert found["steady"].rows == 0
    assert found["sluggish"].rows >= 120


def test_a_fit_that_may_just_end_in_time_does_not_halve_what_others_are_forecast_to_reach() -> None:
    """A plan said 158 rows of trec6 that 45 s reach; a fit of 25 s did end, and 75 were reached."""
    fits = (40.0, 50.0, 60.0, 75.0, 90.0, 120.0)  # of 60 s
    rows = [reached(60.0, steady=(1.0, 0.1), sluggish=(fit, 0.1))["steady"].rows for fit in fits]
    assert rows[0] < 120 < 300 < rows[-1], "with the long fit, and without it"
    assert all(more <= 2 * few for few, more in pairwise(rows)), rows


def test_texts_that_a_fast_candidate_embeds_cost_the_others_nothing() -> None:
    data = dataset(rows=600)
    speeds = {
        "tfidf": Speed(load=0.0, fits=((480, 0.5),), per_row=0.001),
        "steady": Speed(load=0.0, fits=((480, 5.0),), per_row=0.1, per_text=0.4),
    }
    jobs = [j for j in jobs_of(study(*speeds), data) if j.trial.candidate in speeds]

    def rows(*encoders: str | None) -> int:
        of = dict(zip(speeds, encoders, strict=True))
        own = [
            replace(j, trial=replace(j.trial, params={"encoder": of[j.trial.candidate]}))
            for j in jobs
        ]
        return rows_reached(own, [0.5] * len(own), speeds, Pools(data), 100.0)["steady"].rows

    assert rows("MiniLM", "another") == 0, "192 s of embedding are more than 133"
    assert rows("MiniLM", "MiniLM") > 300
    assert rows(None, None) == 0, "without an encoder nothing is shared"


@pytest.mark.slow  # it is about time, so nothing else should run
def test_what_a_budget_reaches_is_what_a_run_then_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes.Steady, "fit_seconds", 0.001)
    data = dataset(rows=600)
    names = ("steady", "sluggish")
    jobs = [
        j
        for j in jobs_of(study(*names, wordings=False, seeds=1, views=()), data)
        if j.trial.candidate in names
    ]
    budget = 8.0
    said = {one.candidate: one for one in forecast(jobs, Pools(data), budget)}
    store = Store.create(tmp_path / "st")
    run_jobs(jobs, Pools(data), store, Limits(budget), lambda job, run: None)
    for name in names:
        first = {j.trial.key: j.trial for j in jobs if j.trial.candidate == name}.values()
        asked = sum(len(run.asked["clean", 0]) for run in map(store.get, first) if run is not None)
        rows = said[name].rows
        assert 0.5 < (600 if rows is None else rows) / asked < 2


# --- speeds that are known already ------------------------------------------------------------


@pytest.fixture
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHOOSE_KEEP_GB", "1")
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("choose.run.speed_measurement.busy", lambda: False)
    return tmp_path / "cache" / "speeds"


def test_a_measured_speed_is_used_again_for_a_week(
    keeping: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second plan of the same rows took as long as the first: 76 to 80 seconds."""
    data = dataset()
    (job, *_) = jobs_of(study("steady"), data)
    pools, measured = Pools(data), []
    speed = Speed(
        load=1.0,
        fits=((8, 0.5), (48, 2.0)),
        per_row=0.1,
        tokens=(3.0, 1.0),
        samples=(Sample(300.0, 0.5, "a model", rows=5),),
        fit_sample=Sample(300.0, 0.25, "a model"),
    )

    def measure(job: Job, pools: Pools, seconds: float) -> KnownSpeed:
        measured.append(job.trial.candidate)
        return KnownSpeed(speed)

    monkeypatch.setattr("choose.run.speed_measurement.measure_speed", measure)

    def known(hours: float, **changed: str) -> tuple[float, int]:
        with monkeypatch.context() as patch:
            for name, value in changed.items():
                patch.setenv(f"CHOOSE_{name.upper()}", value)
            found = known_speed(job, pools, 1.5, clock=lambda: 1e9 + 3600 * hours)
            found.keep()
        assert found.speed == speed
        return found.age, len(measured)

    assert known(0) == (0, 1)
    assert known(2) == (7200, 1)
    assert known(2, threads="3") == (0, 2)
    assert known(2, dtype="bfloat16") == (0, 3)
    assert known(2, keep_gb="0") == (0, 4)
    assert known(-1) == (0, 5), "a clock that went back"
    assert known(24 * 7 + 1) == (0, 6)
    for file in keeping.iterdir():
        file.write_text(file.read_text(encoding="utf-8").replace("0.5", "NaN"), encoding="utf-8")
    assert known(24 * 7 + 2) == (0, 7), "damaged"
    for file in keeping.iterdir():
        file.write_text(file.read_text("utf-8").replace('"rows": 5', '"rows": 0'), "utf-8")
    assert known(24 * 7 + 3) == (0, 8), "a sample of no rows"
    monkeypatch.setattr("choose.run.speed_measurement.busy", lambda: True)
    assert known(24 * 21) == (0, 9)
    assert known(24 * 21) == (0, 10), "measured while the machine was busy"
    other = jobs_of(study("steady"), dataset(rows=90))[0]
    known_speed(other, Pools(dataset(rows=90)), 1.5, clock=lambda: 1e9)
    assert len(measured) == 11


def test_a_plan_says_how_old_its_speeds_are(keeping: Path, choose: Any, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "words.csv")
    first = choose("plan", data, "-s", "tfidf")
    again = choose("plan", data, "-s", "tfidf")
    assert "ago, on these rows" not in first.out
    assert "All speeds were measured up to" in " ".join(again.out.split())
    figures = [json.loads(choose("plan", data, "-s", "tfidf", "--json").out) for _ in range(2)]
    assert all(one["age"] > 0 for one in figures[0]["forecast"])
    seconds = [[one["seconds"] for one in plan["forecast"]] for plan in figures]
    assert seconds[0] == seconds[1]


def test_a_fit_that_is_only_timed_may_leave_checks_out() -> None:
    data = dataset()
    job = next(j for j in jobs_of(study("steady"), data) if j.trial.candidate == "steady")
    seen: list[bool] = []
    fit = fakes.Steady.fit

    def watched(self: fakes.Steady, task: Task, examples: Sequence[Example]) -> None:
        seen.append(sampled())
        fit(self, task, examples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fakes.Steady, "fit", watched)
        measure_speed(job, Pools(data), 0.01)
        assert all(seen)
        assert seen
        seen.clear()
        probe(job, Pools(data), 0.01)
        assert seen
        assert not any(seen), "the fit of a probe is used"

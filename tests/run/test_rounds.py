"""The loop of rounds: who goes on, what fits the budget, and what is kept when it ends."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from choose.api.compare import Interrupted
from choose.api.plan import plan_trials
from choose.data.scenarios import Pools
from choose.judge.decision.chance import Chances, Outlook
from choose.judge.scores.joint_distribution import Whole
from choose.progress import TimeLimitReached, decided_in_time
from choose.run import forecast, loop, predict_test_rows, requests, trial
from choose.run.budget import Budget
from choose.run.forecast import Needed, Pace, State, limits_of, paces_of, reach
from choose.run.loop import Loop, Summary
from choose.run.trial import Limits, failed_run, run_trials
from choose.run.worker import GroupRequest, GroupResult, LocalExecutor, Silent, Worker
from choose.schema.plan import COMPARISON, Job, Round, Standing
from choose.store.store import Store
from choose.strategy import find
from choose.study.config import Study
from choose.types import SHARE_READ, Dataset, Family, Run
from support import fake_strategies as fakes
from support.studies import ONCE, compare, dataset, study, write_csv


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)
    monkeypatch.setattr(fakes.Steady, "family", "fine-tuning")


class Seen:
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, Run | None]] = []
        self.standings: list[Standing] = []

    def job(self, job: Job, run: Run | None) -> None:
        self.jobs.append((job, run))

    def standing(self, standing: Standing) -> None:
        self.standings.append(standing)

    def began(self) -> list[str]:
        return [job.trial.candidate for job, run in self.jobs if run is None]


class Set:
    """A small study with its store."""

    def __init__(self, folder: Path, *names: str, rows: int = 700, **grid: Any) -> None:
        self.study: Study = study(*names, **{**ONCE, **grid})
        self.data: Dataset = dataset(rows=rows)
        self.pools = Pools(self.data)
        self.rounds: list[Round] = plan_trials(self.study, self.pools).rounds
        self.store = Store.create(folder / "st")
        self.store.begin(self.study.model_dump(mode="json", exclude_none=True), self.data)
        self.store.plan((j.trial for r in self.rounds for j in r.jobs), [])
        self.seen = Seen()
        self.fitted: list[tuple[str, int]] = []

    def run(self, seconds: float | None = None, **settings: Any) -> Summary:
        self.seen = Seen()
        budget = settings.pop("budget", None) or Budget(seconds)
        base = {"rounds": self.rounds, "pools": self.pools, "store": self.store}
        return Loop(**base, budget=budget, observer=self.seen, **settings).run()

    def rows(self, name: str) -> dict[tuple[int, int], int]:
        """Return (fold, rows learned from) -> rows answered."""
        found = {}
        for one in self.rounds:
            for job in one.jobs:
                own = job.trial
                run = self.store.get(own) if own.candidate == name else None
                if run is not None and run.error is None:
                    found[own.fold, own.train_size] = len(run.asked["clean", 0])
        return found


def only(*chances: Mapping[str, float], moved: float = 0.2, told: Any = None, **more: Any) -> Any:
    """Return a judge that says these chances, the last one for good; it notes what is planned."""
    said = list(chances)

    def judged(runs: Sequence[Run], planned: Mapping[str, Whole]) -> Chances:
        (told if told is not None else []).append(planned)
        now = said.pop(0) if len(said) > 1 else said[0]
        members = {find(name).family: name for name in sorted(now, key=now.__getitem__)}
        families = {family: now[name] for family, name in members.items()}
        facts: Any = {"families": families, "members": members, "candidates": now, **more}
        losses, later = dict.fromkeys(families, 0.1), Outlook(1.0, 0.05, 0.05, moved)
        named = max(now, key=now.__getitem__)
        return Chances(named=named, losses=losses, later=later, **facts)

    return judged


def test_without_limits_every_candidate_answers_everything(tmp_path: Path) -> None:
    one = Set(tmp_path, "tfidf", "steady")
    assert not one.run().all()
    for name in ("majority", "tfidf", "steady"):
        assert one.rows(name)[0, 250] == 50, "the second round keeps its pool"
        assert sum(n for (_, size), n in one.rows(name).items() if size > 500) == 700
    lines = [s.round.number for s in one.seen.standings]
    assert lines == [0, *range(len([r for r in one.rounds if r.part == COMPARISON]))]
    assert all(one.seen.standings[-1].rows.values())


def test_a_candidate_that_is_behind_stays_where_it_is(tmp_path: Path) -> None:
    one, told = Set(tmp_path, "tfidf", "steady", "sluggish", seeds=3), list[Mapping[str, Whole]]()
    chances = {"tfidf": 0.9, "majority": 0.0, "steady": 0.1, "sluggish": 0.01}
    left = one.run(judged=only(chances, told=told))
    # What is planned is what the rounds that are left would answer.
    assert told[0]["steady"] == Whole(700, 3, 560)
    assert told[0]["tfidf"] == Whole(700, 1, 560)
    assert "sluggish" not in told[-1], "it was left behind"
    assert sum(one.rows("sluggish").values()) == 25
    assert sum(one.rows("steady").values()) > 500
    (said,) = [x for x in left.all() if x.candidate == "sluggish"]
    assert (said.reason, said.answered) == ("dropped", 25)
    # Fast candidates always go on: others are compared with them.
    assert one.rows("majority") == one.rows("tfidf")


def test_it_stays_the_same_one_whoever_is_named_first_among_equals(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "SHORT_FIT", 0.0)
    one = Set(tmp_path, "tfidf", "steady", "sluggish")
    alike = {"tfidf": 1.0, "steady": 0.0, "sluggish": 0.0}
    one.run(judged=only(dict(reversed(alike.items())), alike, dict(reversed(alike.items())), alike))
    assert sorted(max(one.rows(n).values()) for n in ("steady", "sluggish")) == [25, 100]
    assert {size for _, size in one.rows("steady") | one.rows("sluggish")} == {250}, "no new fit"


@pytest.mark.parametrize("better", ["steady", "sluggish"])
def test_of_two_that_are_behind_the_better_so_far_answers_the_first_rows(tmp_path, better) -> None:
    one = Set(tmp_path, "tfidf", "steady", "sluggish")
    scores = {"steady": 0.1, "sluggish": 0.1, better: 0.4}
    one.run(judged=only({"tfidf": 0.98, "steady": 0.02, "sluggish": 0.0}, scores=scores))
    for name in ("steady", "sluggish"):
        assert max(one.rows(name).values()) == (100 if name == better else 25)


def test_texts_of_the_first_rows_are_written_at_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "SHORT_FIT", 0.0)
    one = Set(tmp_path, "tfidf", "steady", "sluggish")
    executor, texts = LocalExecutor(Worker(one.pools)), replace(one.data.task, labels=(), names=())
    one.pools = Pools(replace(one.data, task=texts))
    one.run(judged=only({"tfidf": 1.0, "steady": 0.0, "sluggish": 0.0}), executor=executor)
    slow = [
        j for j, run in one.seen.jobs if run is None and j.trial.strategy in ("steady", "sluggish")
    ]
    assert [job.ask for job in slow] == [25, 25, 100]


def test_the_run_stops_where_what_is_left_changes_no_word(tmp_path) -> None:
    one = Set(tmp_path, "tfidf", "steady", "sluggish")
    chances = {"tfidf": 0.5, "majority": 0.0, "steady": 0.5, "sluggish": 0.5}
    left = one.run(judged=only(chances, moved=0.05))
    # The likeliest of the family answers 100 rows first, the other one stops at once.
    assert sorted(max(one.rows(n).values()) for n in ("steady", "sluggish")) == [25, 100]
    assert {x.reason for x in left.all() if x.candidate == "steady"} == {"not-needed"}
    assert sum(n for (_, size), n in one.rows("tfidf").items() if size > 500) == 700, "seconds"


def test_a_repetition_is_not_followed_by_another_where_that_changes_nothing(tmp_path) -> None:
    one, asked = Set(tmp_path, "tfidf", "steady", seeds=3), []
    compared = 1 + sum(r.part == COMPARISON for r in one.rounds)
    chances = {"tfidf": 0.9, "majority": 0.0, "steady": 0.1}
    opens, settled = only(chances, told=asked), only(chances, moved=0.0, told=asked)
    left = one.run(judged=lambda *now: (opens if len(asked) < compared else settled)(*now))
    runs = (j.trial for r in one.rounds for j in r.jobs if j.trial.candidate == "steady")
    assert max(trial.draw for trial in runs if one.store.get(trial)) == 1, "of the draws 0, 1, 2"
    assert {x.reason for x in left.all()} == {"not-needed"}


def test_prompts_of_the_named_family_answer_some_rows_before_it_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cls in (fakes.Steady, fakes.Sluggish):
        monkeypatch.setattr(cls, "family", "prompting")
    one = Set(tmp_path, "tfidf", "steady", "sluggish")
    chances = {"tfidf": 0.1, "majority": 0.0, "steady": 0.9, "sluggish": 0.05}
    one.run(judged=only(chances, moved=0.05))
    assert max(one.rows("sluggish").values()) == 100, "it may be the best prompt"
    other = Set(tmp_path / "other", "tfidf", "steady", "sluggish")
    other.run(judged=only({**chances, "sluggish": 0.01}, moved=0.05))
    assert max(other.rows("sluggish").values()) == 25, "it is behind for certain"


def test_a_failing_candidate_is_tried_once_and_stops_no_other(tmp_path: Path) -> None:
    one = Set(tmp_path, "tfidf", "broken", "liar", "short")
    one.run()
    for name in ("broken", "liar", "short"):
        assert one.seen.began().count(name) == 1
    errors = {r.trial.candidate: r.error for _, r in one.seen.jobs if r is not None and r.error}
    assert "the weights are [bold red]on fire[/]" in (errors["broken"] or "")
    assert "'no such label'" in (errors["liar"] or "")
    assert "answers to" in (errors["short"] or "")
    assert sum(one.rows("tfidf").values()) > 500


class Clocked(LocalExecutor):
    """Runs trials in no time, on a clock that jumps by what they would take."""

    def __init__(self, worker, now, paces):
        super().__init__(worker)
        self.now, self.paces = now, paces
        self.fitted, self.again = list[tuple[str, int]](), list[Limits]()

    def results(self) -> Iterator[GroupResult]:
        while self._waiting:
            request = self._waiting.popleft()
            self.again += [request.limits] if request.anew else []
            unlimited = request.limits._replace(all=inf, fit=inf)
            for result in self.worker.parts(replace(request, limits=unlimited)):
                runs = tuple((self._timed(run, request), said) for run, said in result.runs)
                yield replace(result, runs=runs)

    def _timed(self, run: Run, request: GroupRequest) -> Run:
        fit, each = self.paces.get(run.trial.candidate, (0.0001, 0.0))
        before = None if request.anew else request.earlier.get(run.trial.key)
        rows, fit = len(run.asked["clean", 0]), fit * run.share_read
        seconds = 0.0 if before else fit * run.trial.train_size
        seconds += each * (rows - (len(before.asked["clean", 0]) if before else 0))
        self.now[0] += seconds
        if not before:
            self.fitted.append((run.trial.candidate, run.trial.train_size))
        return replace(run, fit_seconds=fit * run.trial.train_size, predict_seconds=each * rows)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [0.0]
    monkeypatch.setattr("choose.run.budget.perf_counter", lambda: clock[0])
    for module in (trial, requests):
        monkeypatch.setattr(module, "SPARE", 0.0)  # of seconds on another clock
    return clock


def clocked(one: Set, now: list[float], seconds: float, **settings: Any) -> Summary:
    """Run with the seconds of a fit on a row, and of an answer, of the slow candidates."""
    paces = {"steady": (0.1, 0.1), "sluggish": (0.1, 0.1), **settings.pop("paces", {})}
    here = Clocked(Worker(one.pools), now, paces)
    left = one.run(budget=Budget(seconds, started=now[0]), executor=here, **settings)
    one.fitted, one.again = here.fitted, here.again
    return left


def test_a_fit_that_does_not_fit_is_not_begun_and_its_last_one_answers_on(tmp_path, now):
    one = Set(tmp_path, "tfidf", "steady", rows=5_000)
    left = clocked(one, now, 300.0)
    # 25 s are spent. The fit of 100 s takes less than half of the rest, so that of 50 s is skipped.
    assert [size for name, size in one.fitted if name == "steady"] == [250, 1_000]
    assert now[0] <= 300.0
    rows = one.rows("steady")[0, 1_000]
    assert rows > 100
    # What it is compared with answers the same rows after the same pool, too.
    assert one.rows("tfidf")[0, 1_000] >= rows
    (said,) = [x for x in left.all() if (x.candidate, x.reason) == ("steady", "too-long")]
    assert (said.learns, said.keeps) == (2_000, 1_000)
    assert said.seconds == pytest.approx(200.0)


@pytest.mark.parametrize(("seconds", "rows"), [(45.0, 0), (80.0, 25)])
def test_a_new_member_is_not_begun_where_the_quickest_fit_of_its_family_would_not_end(
    tmp_path, now, seconds, rows
):
    one = Set(tmp_path, "tfidf", "steady", "sluggish", rounds=1)
    clocked(one, now, seconds)
    assert sum(one.rows("sluggish").values()) == 25
    assert sum(one.rows("steady").values()) == rows


@pytest.mark.parametrize(
    ("seconds", "asked", "rows"), [(1.9, False, 0), (2.1, False, 25), (1.9, True, 25)]
)
def test_models_are_begun_where_their_libraries_can_load_in_time(
    tmp_path, now, monkeypatch, seconds, asked, rows
):
    """A budget of 10 s ended 6 s late on a busy machine: a model was begun 1 s before its end."""
    one = Set(tmp_path, "tfidf", "steady", "sluggish", rounds=1)
    monkeypatch.setattr(requests, "names_endpoint", lambda _: asked)
    # The second one finds them loaded.
    left = clocked(one, now, seconds, paces={"sluggish": (0.0, 0.06), "steady": (0.0, 0.0)})
    for name in ("steady", "sluggish"):
        assert sum(one.rows(name).values()) == rows
        assert bool([x for x in left.all() if x.candidate == name]) is not bool(rows)


def test_a_slower_member_waits_until_a_faster_one_can_answer_all_rows(tmp_path, now):
    """Of two that tie, one answered 200 of 602 rows since fits of the other took all the time."""
    one = Set(tmp_path, "tfidf", "sluggish", "steady")
    judge = only({"tfidf": 0.2, "steady": 0.41, "sluggish": 0.39})
    paces = {"steady": (0.05, 0.0), "sluggish": (0.15, 0.0)}
    left = clocked(one, now, 300.0, paces=paces, judged=judge)
    assert sum(n for (_, size), n in one.rows("steady").items() if size > 500) == 700
    assert {place for place in one.rows("sluggish") if place[1] > 250} == {(0, 560)}, "time is left"
    assert ("sluggish", "too-long") not in {(x.candidate, x.reason) for x in left.all()}
    clocked(one, now, 3_000.0, paces=paces, judged=judge)
    assert sum(n for (_, size), n in one.rows("sluggish").items() if size > 500) == 700


@pytest.mark.parametrize(
    ("seconds", "chances", "fits", "left"),
    [
        (100_000.0, (0.4,), [240] * 5, []),
        (100_000.0, (0.1,), [50, *[240] * 5], []),
        (1_420.0, (0.1,), [240] * 5, []),  # 25 and 1,230 and a tenth are left for these, not 50
        (100_000.0, (0.1,) * 3 + (0.01,), [50], [5]),
        (100_000.0, (0.01,), [], [6]),
    ],
)
def test_a_long_fit_waits_and_is_left_out_once_where_it_was_dropped_by_then(
    tmp_path, now, monkeypatch, seconds, chances, fits, left
):
    """One below 25 % learns from a part before, where that does not cost the whole fit its time."""
    monkeypatch.setattr("choose.study.rounds.FIRST_ROWS", 25)
    one = Set(tmp_path, "tfidf", "steady", "sluggish", rows=300)
    said = [{"tfidf": 0.5, "sluggish": 0.5, "steady": p} for p in (*[0.4] * 3, *chances)]
    paces = {"steady": (1.0, 0.0), "sluggish": (0.0, 0.1)}
    out = clocked(one, now, seconds, paces=paces, judged=only(*said)).all()
    slow = [(name, size) for name, size in one.fitted if name in paces]
    assert [size for name, size in slow if name == "steady"] == [25, *fits]
    assert not fits or dict(slow[-len(fits) :]).keys() == {"steady"}, "the other has all rows"
    dropped = [x for x in out if (x.candidate, x.reason) == ("steady", "dropped")]
    assert [x.trials[COMPARISON] for x in dropped] == left, "of the last rounds, each once"


@pytest.mark.parametrize(("chance", "repeats"), [(0.6, {"steady"}), (0.5, {"steady", "sluggish"})])
def test_where_one_family_is_likelier_than_the_others_it_and_the_next_are_repeated(
    tmp_path, monkeypatch, chance, repeats
):
    monkeypatch.setattr(fakes.Sluggish, "family", "prompting")
    one = Set(tmp_path, "tfidf", "steady", "sluggish", seeds=2)
    one.run(judged=only({"tfidf": chance, "steady": 0.3, "sluggish": 0.1}))
    ended = (job.trial for job, run in one.seen.jobs if run is not None)
    assert {trial.candidate for trial in ended if trial.draw} == repeats


def test_a_fast_candidate_answers_all_folds_before_the_next_one(tmp_path):
    one = Set(tmp_path, "tfidf")
    one.run()
    began = [job.trial for job, run in one.seen.jobs if run is None and job.part == COMPARISON]
    assert [t.candidate for t in began if t.fold >= 3] == ["majority"] * 2 + ["tfidf"] * 2


def test_a_candidate_may_have_no_job_in_the_last_round(tmp_path):
    one = Set(tmp_path, "tfidf", "together")
    last = [round for round in one.rounds if round.part == COMPARISON][-1]
    others = tuple(job for job in last.jobs if job.trial.candidate != "together")
    one.rounds[last.number] = replace(last, jobs=others)
    one.run()
    assert max(one.rows("together").values()) == 140


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_the_first_verdict_waits_for_a_few_rows_of_each_family(tmp_path, monkeypatch, share):
    """Rows that take long are answered after it, and before other members of a family.

    The only fine-tuned one that read some of its rows is the last to answer the others.
    """
    monkeypatch.setattr(forecast, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(forecast, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(trial, "SPARE", 0.0)
    monkeypatch.setattr(fakes.Steady, "family", "prompting")
    monkeypatch.setattr(fakes.Sluggish, "family", "fine-tuning")

    def fit(self: Any, task: Any, _: Any) -> None:
        self.labels = task.labels
        decided_in_time(SHARE_READ, share, 1.0)

    monkeypatch.setattr(fakes.Sluggish, "fit", fit)
    one = Set(tmp_path, "tfidf", "steady", "sluggish", "certain", rounds=1)
    one.run(seconds=600.0)
    ended = [(job.trial.candidate, run) for job, run in one.seen.jobs if run is not None]
    fast = ("tfidf", "majority")
    rows = [f"{name} {len(run.asked['clean', 0])}" for name, run in ended if name not in fast]
    later = ["certain 25", "sluggish 25", "steady 25"]
    assert rows == ["certain 2", "sluggish 2", *(later if share == 1 else later[::2] + later[1:2])]
    first = one.seen.standings[0]
    assert not first.ended
    assert [name for name, rows in first.rows.items() if not rows] == ["steady"]


def test_rows_of_the_first_round_take_what_the_others_leave(tmp_path: Path) -> None:
    one = Set(tmp_path, "steady", rounds=1)
    own, other = (State(name, find(name), one.data) for name in ("steady", "liar"))
    own.last[0] = one.rounds[0].jobs[0]
    asked = Needed([0.0], 50.0, 0.0), {other: 10.0}
    alone: set[Family] = {own.family}
    for first, lacking, most in ((True, set(), 90), (False, set(), 50), (False, alone, 100)):
        limits = limits_of(own, *asked, budget=Budget(100.0), lacking=lacking, first=first)
        assert most - 2 < limits.all <= most


def test_what_takes_long_is_answered_alike_after_the_first_rows_of_all(tmp_path, monkeypatch):
    one = Set(tmp_path, "tfidf", "steady", rows=5_000)
    settings = {"pools": one.pools, "store": one.store, "observer": one.seen}
    loop = Loop(rounds=one.rounds, budget=Budget(100.0), **settings)
    loop.states["steady"].last[0] = one.rounds[0].jobs[0]
    loop.states["tfidf"].pace.answer = 1.0
    monkeypatch.setattr(State, "had", lambda *_: 500)
    for lacking, rows in (({"retrieval"}, 100), (set(), 500)):
        monkeypatch.setattr(requests.Requests, "families_below", lambda *_, own=lacking: own)
        asked = {job.trial.candidate: job.ask for job in loop._answer_alike()}
        assert asked == {"majority": 500, "tfidf": rows}


def test_a_long_fit_is_followed_by_more_answers_where_these_take_little(tmp_path, monkeypatch):
    monkeypatch.setattr(fakes.Steady, "fit_seconds", 0.004)
    for budget, most in ((None, 25), (600.0, 140)):
        one = Set(tmp_path / str(budget), "tfidf", "steady", rounds=1)
        one.run(seconds=budget)
        assert one.rows("steady")[0, 250] == most
        assert one.rows("tfidf")[0, 250] == most


def test_nothing_begins_after_the_end(tmp_path: Path) -> None:
    one = Set(tmp_path, "tfidf", "steady")
    left = one.run(budget=Budget(1.0, started=time.perf_counter() - 2.0))
    assert not one.seen.began()
    assert {x.reason for x in left.all()} == {"out-of-time"}


def test_first_answers_take_from_what_is_left_for_repetitions(tmp_path: Path) -> None:
    one = Set(tmp_path, "tfidf", "steady")
    every, one.rounds = one.rounds, one.rounds[:1]
    one.run()
    one.rounds = every
    one.run(budget=Budget(100.0, started=time.perf_counter() - 93.0))
    assert one.rows("steady") == {(0, 250): 140}, "at least a hundred, by the fit that there is"
    assert sum(one.rows("tfidf").values()) > 700


def test_a_second_fold_needs_no_reserve_before_100_rows_are_answered(tmp_path, now) -> None:
    one = Set(tmp_path, "tfidf", "steady", rows=300, seeds=1)
    clocked(one, now, 50.0, paces={"steady": (0.1, 0.0)})  # a fit takes 24 s
    assert one.rows("steady").keys() == {(0, 240), (1, 240)}


def test_time_that_is_waited_for_consent_does_not_count() -> None:
    budget = Budget(10.0, started=time.perf_counter() - 8.0)
    with budget.paused():
        time.sleep(0.05)
    assert 1.9 < budget.left() <= 2.0 + 0.05
    assert budget.fits(1.5)
    assert not budget.fits(1.5, reserve=0.1)
    assert Budget().left() == float("inf")
    money = Budget(dollars=1.0)
    assert money.fits(0.0, dollars=0.9)
    money.spent += 1.0
    assert not money.fits(0.0)


def test_seconds_of_fits_grow_as_the_last_two_did() -> None:
    pace = Pace()
    assert pace.fit(250) is None
    pace.fits[250] = 2.0
    assert pace.fit(500) == pytest.approx(4.0)
    pace.fits[500] = 2.0 * 2**0.5
    assert pace.fit(1_000) == pytest.approx(4.0)
    pace.fits[1_000] = 1e-9
    assert pace.fit(2_000) == pytest.approx(1e-9)


def test_a_fit_that_was_cut_short_counts_with_what_it_would_have_taken(tmp_path: Path) -> None:
    pace, trial = Pace(), Set(tmp_path, "tfidf").rounds[0].jobs[0].trial
    pace.add(Run(trial=trial, fit_seconds=1.0, shortened={SHARE_READ: 0.25}))
    assert pace.fit(2 * trial.train_size) == pytest.approx(8.0)
    assert [Pace(answer=5.0).seconds_anew(27, had) for had in (4, 25, 50)] == [54.0, 135.0, 135.0]


def read_parts(monkeypatch: pytest.MonkeyPatch, *shares: float) -> None:
    """Let the first fit of `steady` read a share of its rows, and answer otherwise than others."""
    left = list(shares)

    def fit(self: Any, task: Any, _: Any) -> None:
        self.labels = task.labels[len(left) < len(shares) :]
        decided_in_time(SHARE_READ, left.pop(0) if left[1:] else left[0], 1.0)

    monkeypatch.setattr(fakes.Steady, "fit", fit)


@pytest.mark.parametrize(
    ("seconds", "shares", "read"),
    [
        (300.0, (0.1, 1.0), 1.0),
        (30.0, (0.1, 0.4), 0.4),  # twice as many have time, all 240 do not
    ],
)
def test_a_fit_that_time_cut_short_is_made_again_in_the_time_that_is_left(
    tmp_path, now, monkeypatch, seconds, shares, read
):
    read_parts(monkeypatch, *shares)
    one = Set(tmp_path, "tfidf", "steady", rows=300)
    clocked(one, now, seconds, paces={"steady": (0.1, 0.01)})
    runs = stored(one, "steady")
    assert {run.share_read for run in runs} == {read}
    assert len({*runs[0].answers["clean", 0].outputs}) == 1, "answers of one fit"
    assert len(runs[0].asked["clean", 0]) >= 25


def test_a_fit_that_is_still_short_is_made_again_before_more_rows_are_answered_by_it(
    tmp_path, now, monkeypatch
):
    read_parts(monkeypatch, 0.1, 0.03, 0.08)
    one = Set(tmp_path, "tfidf", "steady", rows=3_000)
    clocked(one, now, 900.0, paces={"steady": (1.5, 1.0)})
    assert [size for name, size in one.fitted if name == "steady"] == [250, 2_400, 2_400]


@pytest.mark.parametrize(("each", "fit", "enough"), [(1.0, 640, 581), (6.0, 220, 0)])
def test_an_early_fit_that_reads_enough_leaves_time_for_first_answers(
    tmp_path, now, monkeypatch, each, fit, enough
):
    read_parts(monkeypatch, 0.1, 0.03)
    monkeypatch.setattr(requests, "SPARE", 0.1)
    one = Set(tmp_path, "tfidf", "steady", rows=3_000)
    clocked(one, now, 900.0, paces={"steady": (1.5, each)})
    # After 25 answers, 75 are needed; those of the new fit, and its further ones, count.
    assert (one.again[0].fit, one.again[0].enough) == pytest.approx((fit, enough), abs=1)


def test_the_likeliest_does_not_wait_for_all_rows_of_cheaper_ones(tmp_path, now, monkeypatch):
    read_parts(monkeypatch, 1.0, 0.45, 1.0)  # of the cheaper one first
    one = Set(tmp_path, "tfidf", "steady", "sluggish", rows=300)
    judged = only({"tfidf": 0.2, "steady": 0.5, "sluggish": 0.3})
    clocked(one, now, 500.0, judged=judged, paces={"steady": (0.5, 0.01), "sluggish": (0.38, 0.01)})
    assert [run.share_read for run in stored(one, "steady")] == [1.0]


def test_first_answers_of_a_family_come_before_a_fit_that_takes_less(tmp_path, now, monkeypatch):
    monkeypatch.setattr(fakes.Steady, "family", "fine-tuning")
    monkeypatch.setattr(fakes.Sluggish, "family", "retrieval", raising=False)
    one = Set(tmp_path, "tfidf", "steady", "sluggish", rows=3_000)
    judged = only({"tfidf": 0.5, "steady": 0.5, "sluggish": 0.0})
    clocked(one, now, 900.0, judged=judged, paces={"steady": (0.01, 0.0), "sluggish": (0.1, 1.0)})
    begun = [(j.trial.candidate, j.ask) for j, run in one.seen.jobs if run is None]
    slow = [(name, ask) for name, ask in begun if name in ("steady", "sluggish")]
    # In the second round both keep their fits.
    assert slow[2:6] == [("steady", 50), ("sluggish", 50), ("sluggish", 100), ("steady", 100)]
    assert [size for name, size in one.fitted if name == "steady"][:2] == [250, 1_000]


@pytest.mark.parametrize(("seconds", "sizes"), [(600.0, [250, 1_000, 9_600]), (None, [250, 1_000])])
def test_a_budget_that_is_left_tells_what_the_named_one_reaches_with_more_rows(
    tmp_path, now, monkeypatch, seconds, sizes
):
    read_parts(monkeypatch, 1.0, 1.0, 0.3)
    one = Set(tmp_path, "tfidf", "steady", rows=12_000)
    settled = only({"tfidf": 0.1, "steady": 0.9}, moved=0.0, usable=True)
    left = clocked(one, now, seconds, judged=settled, paces={"steady": (0.1, 0.01)})
    assert [size for name, size in one.fitted if name == "steady"] == sizes
    assert {x.reason for x in left.all() if x.candidate == "steady"} == {"not-needed"}


def stored(one: Set, name: str) -> list[Run]:
    trials = {j.trial.key: j.trial for r in one.rounds for j in r.jobs if j.trial.candidate == name}
    return [run for trial in trials.values() if (run := one.store.get(trial)) is not None]


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeLimitReached, ValueError])
def test_a_fit_that_is_not_made_again_to_its_end_leaves_what_there_is(tmp_path, monkeypatch, error):
    read_parts(monkeypatch, 0.1)
    one = Set(tmp_path, "tfidf", "steady", rows=300, rounds=1)
    one.run()
    before = stored(one, "steady")
    monkeypatch.setattr(fakes.Steady, "fit", Mock(side_effect=error))
    assert one.run().interrupted is (error is KeyboardInterrupt)
    assert stored(one, "steady") == before


def test_a_fit_that_others_have_followed_is_not_made_again(tmp_path, monkeypatch):
    one = Set(tmp_path, "tfidf", "steady", rows=300, seeds=2)
    for share in (0.1, 1.0):
        read_parts(monkeypatch, share)
        one.run()
        assert [run.share_read for run in stored(one, "steady")] == [0.1] * 10


def test_a_forecast_leaves_fast_ones_their_time_and_counts_what_is_stored(tmp_path: Path) -> None:
    """ "Cheap baselines on about 100", which answered all; fits that were there were left out."""
    one = Set(tmp_path, "tfidf", "steady")
    trials = [job.trial for round in one.rounds for job in round.jobs]
    paces = {"tfidf": Pace(fits={250: 1.0}, answer=0.0), "steady": Pace(fits={250: 90.0}, answer=0)}
    first = reach(one.rounds, one.data, budget=60.0, paces=paces)
    assert (first.asked["tfidf"], first.learned["steady"]) == (700, 146), "cut, and made again"
    assert sum(seconds or 0.0 for row in first.seconds for seconds in row.values()) <= 60.0
    one.run()
    made = [run for trial in trials if (run := one.store.get(trial))]
    again = reach(one.rounds, one.data, budget=0.1, paces=paces_of(made), stored=made)
    assert (again.asked["steady"], again.learned["steady"]) == (700, 560)


class Pressing(Silent):
    """Presses Ctrl-C as the first round has ended, or within it."""

    def __init__(self, event: str) -> None:
        self.event = event

    def standing(self, standing: Standing) -> None:
        if self.event == "between rounds" and standing.ended:
            raise KeyboardInterrupt

    def job(self, job: Job, run: Run | None) -> None:
        if self.event == "within a round" and run and job.trial.candidate == "lora":
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("event", ["between rounds", "within a round"])
def test_after_ctrl_c_the_same_runs_follow(tmp_path, model, encoder, monkeypatch, event):
    monkeypatch.setattr(trial, "SPARE", 0.0)  # of the rows that a fast machine adds
    data = write_csv(tmp_path / "words.csv")

    def answers(name: str, **settings: Any) -> dict[str, Any]:
        models = {"model": model, "tune": encoder, "encoder": encoder}
        how: dict[str, Any] = {"overrides": {"models": models, "grid": ONCE}, **settings}
        store = Store(tmp_path / name)
        with suppress(Interrupted):
            compare(data, strategies=["tfidf", "few-shot", "lora"], out=store.path, **how)
        runs = filter(None, map(store.get, store.grid()[1]))
        return {r.trial.key: (r.asked, r.answers["clean", 0].outputs) for r in runs}

    part = answers("st", observer=Pressing(event))
    assert {one.reason for one in Store(tmp_path / "st").left_out()} == {None}
    whole = answers("whole")
    assert 0 < len(part) < len(whole)
    assert answers("st") == whole


def test_a_second_command_goes_on_within_a_round(tmp_path, monkeypatch):
    one = Set(tmp_path, "tfidf", "steady", rounds=1)
    first = [j for j in one.rounds[0].jobs if j.trial.candidate == "steady"]
    one.store.add(next(run_trials([replace(first[0], ask=10)], one.pools)).run)
    asked: list[int] = []
    plainly = fakes.Steady.predict

    def predict(self: Any, items: Any) -> Any:
        asked.append(len(items))
        return plainly(self, items)

    monkeypatch.setattr(fakes.Steady, "predict", predict)
    one.run()
    assert sum(asked) == 15, "ten of the 25 rows were answered before"
    assert one.rows("steady")[0, 250] == 25


def test_a_finished_study_is_told_again_without_any_work(tmp_path: Path) -> None:
    one = Set(tmp_path, "tfidf", "steady")
    one.run()
    last = one.seen.standings[-1]
    assert not one.run().all()
    assert not one.seen.began()
    assert one.seen.standings[-1] == last


def test_a_higher_budget_goes_on_at_the_next_round(tmp_path: Path, now: list[float]) -> None:
    one = Set(tmp_path, "tfidf", "steady", rows=2_400)
    clocked(one, now, 60.0)
    assert max(size for _, size in one.rows("steady")) == 250
    trials = [j.trial for r in one.rounds for j in r.jobs if j.trial.candidate == "steady"]
    too_large = next(trial for trial in trials if trial.train_size > 250)
    one.store.add(failed_run(too_large, "no memory then"))
    clocked(one, now, 3_000.0)
    assert {size for name, size in one.fitted if name == "steady"} == {1_920}
    clocked(one, now, 60.0)
    assert "steady" not in dict(one.fitted), "no fit between these two is made up for"


def test_a_failure_is_tried_again_by_the_next_command(tmp_path, monkeypatch):
    one = Set(tmp_path, "tfidf", "steady")
    with monkeypatch.context() as patch:
        patch.setattr(fakes.Steady, "fit", fakes.Broken.fit)
        one.run()
    assert not one.rows("steady")
    one.run()
    assert sum(one.rows("steady").values()) > 600


def test_answers_that_time_cut_short_are_kept(tmp_path, monkeypatch):
    one = Set(tmp_path, "tfidf", "tiring", rounds=1)
    monkeypatch.setattr(fakes.Tiring, "asked", 0)
    monkeypatch.setattr(predict_test_rows, "MOST_CHUNK", 5)
    one.run(seconds=600.0)
    assert 5 <= one.rows("tiring")[0, 250] < 25


class Losing(LocalExecutor):
    """Loses the worker of a candidate some times."""

    def __init__(self, worker: Worker, name: str, times: int) -> None:
        super().__init__(worker)
        self.name, self.times = name, times

    def results(self) -> Iterator[GroupResult]:
        while self._waiting:
            request: GroupRequest = self._waiting.popleft()
            if request.candidate == self.name and self.times:
                self.times -= 1
                yield GroupResult(number=request.number, lost="too little memory")
            else:
                yield from self.worker.parts(request)


@pytest.mark.parametrize(("times", "works"), [(1, True), (2, False)])
def test_a_trial_whose_worker_is_lost_gets_a_second_one(tmp_path, times, works):
    one = Set(tmp_path, "tfidf", "steady", rounds=1)
    one.run(executor=Losing(Worker(one.pools), "steady", times))
    assert bool(one.rows("steady")) is works
    errors = [r.error for _, r in one.seen.jobs if r is not None and r.error]
    assert errors == ([] if works else ["Two workers could not run it: too little memory"])


def test_folds_of_a_strategy_that_can_are_fitted_together(tmp_path: Path) -> None:
    fakes.Together.sizes.clear()
    one = Set(tmp_path, "together", rows=300)
    one.run()
    assert fakes.Together.sizes[-1] == 4, "all that are left"
    assert sum(one.rows("together").values()) == 300


def test_where_fitting_together_fails_each_is_fitted_alone(tmp_path: Path) -> None:
    one = Set(tmp_path, "halting", "apart", rows=300, seeds=3)
    one.run()
    runs = [run for _, run in one.seen.jobs if run is not None]
    for name in ("halting", "apart"):
        own = [run for run in runs if run.trial.candidate == name]
        assert {run.trial.draw for run in own if run.error} == {1}
        assert {run.trial.draw for run in own if not run.error} == {0, 2}


def test_a_group_that_the_time_ends_is_left_out(tmp_path: Path) -> None:
    one = Set(tmp_path, "tfidf", "late", rows=300)
    assert "late" in {x.candidate for x in one.run().all()}
    assert sum(one.rows("tfidf").values()) == 300


def test_folds_are_fitted_as_the_first_one_that_time_has_shortened(tmp_path, monkeypatch):
    steps = list[float]()

    def fit(self: Any, task: Any, _: Any) -> None:
        self.labels = task.labels
        steps.append(decided_in_time("steps", 100 if steps else 3, 100))

    monkeypatch.setattr(fakes.Together, "fit", fit)
    one = Set(tmp_path, "together", rows=300, seeds=2)
    one.run()
    assert steps == [3] * 10
    last = [r for _, r in one.seen.jobs if r and r.trial.fold == 4 and r.shortened]
    jobs, earlier = tuple(Job(run.trial) for run in last), {run.trial.key: run for run in last}
    made = Worker(one.pools).run_group(GroupRequest(number=1, jobs=jobs, earlier=earlier)).runs
    assert [run.shortened for run, _ in made] == [{"steps": 3}] * 2, "answers of one fit"

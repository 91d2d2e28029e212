"""Scenarios: nothing from the future, the same rows and sizes on both sides, nested examples."""

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
import pytest

from choose.api.plan import plan_trials
from choose.api.study_evidence import evidence_of
from choose.data import scenarios as module
from choose.data.scenarios import (
    ORIGINS,
    Pools,
    Split,
    SplitSpec,
    make_split,
    new_class,
    noisy,
    origins,
    sources,
    timeline,
)
from choose.data.splits import build_dataset
from choose.data.stratify import training_pool
from choose.errors import StudyError
from choose.files import digest_rows
from choose.judge.diagnosis.doubted_labels import out_of_fold
from choose.judge.measures.scorecard import drop_of, losses_by_source
from choose.judge.scores.paired_comparison import ASSUMED_SD
from choose.judge.scores.score_tables import study_scores
from choose.run.trial import run_trials
from choose.schema.study_sections import DataSection, TaskSection
from choose.store.store import Store
from choose.study.config import CandidateSection, Grid, Study
from choose.types import STANDARD, Dataset, Example, Scenario
from support import fake_strategies as fakes
from support.studies import compare, dataset, jobs_of, load_dataset, planned, study
from support.studies import dataset as words

START = datetime(2025, 1, 1, tzinfo=UTC)
WORDS_ONLY = CandidateSection(strategy="tfidf", params={"characters": False})
BARE = {"seeds": 1, "noise": (0.0,), "views": (), "wordings": False}


def rows(count=400, per_day=1, dated=True, late=True):
    """Three classes all along and, with `late`, a fourth in the last 40 %."""
    random = Random(4)
    found = []
    for i in range(count):
        label = random.choice(("red", "green", "blue"))
        if late and i >= 0.6 * count and random.random() < 0.4:
            label = "violet"
        found.append(
            Example(
                id=f"r{i}",
                text=f"{label} {label} thing {i} {random.getrandbits(30)} {random.getrandbits(30)}",
                target=label,
                timestamp=START + timedelta(days=i // per_day) if dated else None,
            )
        )
    random.shuffle(found)
    return found


def data(test: bool = False, **how: object) -> Dataset:
    found = rows(**how)
    return build_dataset("dated", found[80:], found[:80]) if test else build_dataset("dated", found)


def at(cut: float, learns_from: str = "past", parts: int = 1, **more: object) -> Scenario:
    return Scenario(kind="time", cut=cut, learns_from=learns_from, parts=parts, **more)


def withheld(examples: int) -> Scenario:
    return Scenario(kind="new-class", label="violet", examples=examples)


def test_rows_held_out_for_early_stopping_are_noised_too(monkeypatch) -> None:
    """Whatever part a strategy holds out of what it is given, a share of it is wrong."""
    fakes.install(monkeypatch)
    given, fit = [], fakes.Late.fit
    monkeypatch.setattr(fakes.Late, "fit", lambda *a: given.extend(a[2]) or fit(*a))
    what = words(rows=600)
    jobs = jobs_of(study("late", noise=(0.0, 0.3), wordings=False, views=()), what)
    noised = [j for j in jobs if j.trial.scenario.kind == "noise" and j.trial.candidate == "late"]
    next(run_trials([noised[0]], Pools(what)))
    flipped = [e.target != what.examples[e.id].target for e in given]
    assert all(0.15 < np.mean(flipped[start::5]) < 0.45 for start in range(5))


@pytest.mark.parametrize("per_day", [1, 7])
@pytest.mark.parametrize("cut", ORIGINS)
def test_nothing_from_the_future_or_the_same_moment_is_learnt_from(cut, per_day):
    what = data(per_day=per_day)
    past = make_split(what, SplitSpec(0, 0, None, at(cut)))
    newest = max(e.timestamp for e in past.pool)
    assert newest < min(what.examples[id].timestamp for id in past.questions)
    assert abs(len(past.pool) - cut * 400) <= per_day
    assert abs(len(past.questions) - 40) <= per_day


def test_both_sides_of_a_cut_ask_the_same_rows_after_the_same_number() -> None:
    what = data()
    for cut in origins(what):
        past = make_split(what, SplitSpec(0, 1, None, at(cut)))
        halves = [make_split(what, SplitSpec(h, 1, None, at(cut, "any", 2))) for h in (0, 1)]
        assert sorted(id for half in halves for id in half.questions) == sorted(past.questions)
        for half, other in (halves, halves[::-1]):
            assert len(half.pool) == len(past.pool)
            ids = {e.id for e in half.pool}
            assert not ids & set(half.questions)
            assert ids & set(other.questions)  # rows of the same time are among those of any time
            assert max(e.timestamp for e in half.pool) > max(e.timestamp for e in past.pool)


def test_slices_never_overlap_and_repetitions_draw_other_rows() -> None:
    what = data(per_day=3)
    asked = [
        id for cut in ORIGINS for id in make_split(what, SplitSpec(0, 0, None, at(cut))).questions
    ]
    assert len(asked) == len(set(asked))
    pools = [
        {e.id for e in make_split(what, SplitSpec(0, d, None, at(0.5, "any", 2))).pool}
        for d in (0, 1)
    ]
    assert pools[0] != pools[1]
    whole = [make_split(what, SplitSpec(0, d, None, at(0.5))).pool for d in (0, 1)]
    assert whole[0] == whole[1]


def test_a_cluster_never_straddles_a_cut() -> None:
    what = build_dataset("grouped", [replace(e, group=f"g{int(e.id[1:]) % 50}") for e in rows()])
    for scenario in (at(0.5, ask=10), at(0.5, "any", 2, ask=10)):
        found = make_split(what, SplitSpec(0, 0, None, scenario))
        groups = {what.examples[id].group for id in found.questions}
        assert found.pool
        assert groups.isdisjoint(e.group for e in found.pool)


def test_with_a_test_part_only_rows_that_are_learnt_from_are_asked_over_time() -> None:
    what = data(test=True)
    pool = set(what.folds[0].pool)
    assert {e.id for e in timeline(what)} == pool
    for cut in origins(what):
        found = make_split(what, SplitSpec(0, 0, None, at(cut)))
        assert pool.issuperset(found.questions)
        assert pool.issuperset(e.id for e in found.pool)


def test_rows_without_dates_have_no_origin() -> None:
    assert origins(data(dated=False)) == ()
    few = [replace(e, timestamp=None if int(e.id[1:]) % 10 == 0 else e.timestamp) for e in rows()]
    assert origins(build_dataset("gaps", few)) == ()
    assert origins(data(count=120)) == ()
    assert origins(data()) == ORIGINS


def by_source(*counts, test=False):
    found = rows(sum(counts), late=False)
    names = [f"s{n}" for n, count in enumerate(counts) for _ in range(count)]
    named = [replace(e, source=name) for e, name in zip(found, names, strict=True)]
    return build_dataset("sources", named)


def test_sources_are_left_out_in_turn_the_largest_first():
    assert sources(by_source(100, 60, 39, 200)) == ("s3", "s0", "s1")
    assert sources(by_source(*[50] * 8)) == tuple(f"s{n}" for n in range(6))
    assert sources(by_source(400)) == sources(data()) == ()


@pytest.mark.parametrize("ask", [0, 30])
def test_both_sides_of_a_source_ask_its_rows_after_learning_from_as_many(ask):
    what = by_source(100, 60, 240)
    left = Scenario(kind="source", label="s1", learns_from="others", ask=ask)
    both = replace(left, learns_from="any", parts=2)
    others = make_split(what, SplitSpec(0, 0, None, left))
    halves = [make_split(what, SplitSpec(half, 0, None, both)) for half in (0, 1)]
    assert {what.examples[id].source for id in others.questions} == {"s1"}
    assert len(others.questions) == (ask or 60)
    assert {e.source for e in others.pool} == {"s0", "s2"}
    assert sorted(id for half in halves for id in half.questions) == sorted(others.questions)
    for half in halves:
        assert len(half.pool) == len(others.pool)
        assert "s1" in {e.source for e in half.pool}
        assert not {e.id for e in half.pool} & set(half.questions)


def test_a_study_leaves_sources_out_for_fast_candidates(tmp_path):
    what = by_source(60, 60)
    store = run_all(what, tmp_path / "st", ("source",))
    card = study_scores(evidence_of(store))["tfidf"]
    assert {one.source for one in losses_by_source(card)} == {"s0", "s1"}
    assert {e.source for e in store.dataset.examples.values()} == {"s0", "s1"}
    assert (
        store.dataset.fingerprint == what.fingerprint != build_dataset("x", rows(120)).fingerprint
    )


def test_a_column_of_one_source_is_refused(tmp_path):
    lines = [f"a {label} thing {i},{label},x" for i, label in enumerate(("red", "blue") * 30)]
    (tmp_path / "one.csv").write_text("\n".join(["text,label,repo", *lines]))
    section = DataSection(path=str(tmp_path / "one.csv"), source_column="repo")
    with pytest.raises(StudyError, match="'repo': there is one source only"):
        load_dataset(section, TaskSection())


def test_the_withheld_class_is_absent_then_comes_back_nested() -> None:
    what = data()
    for fold in range(len(what.folds)):
        places = [make_split(what, SplitSpec(fold, 0, None, withheld(k))) for k in (0, 1, 5, 20)]
        theirs = [{e.id for e in p.pool if e.target == "violet"} for p in places]
        assert [len(t) for t in theirs] == [0, 1, 5, 20]
        assert theirs[1] < theirs[2] < theirs[3]
        others = [[e.id for e in p.pool if e.target != "violet"] for p in places]
        assert all(o == others[0] for o in others)
        assert {p.questions for p in places} == {what.folds[fold].questions}
    again = make_split(what, SplitSpec(0, 1, None, withheld(5))).pool
    first = make_split(what, SplitSpec(0, 0, None, withheld(5))).pool
    assert {e.id for e in again} != {e.id for e in first}


def test_the_class_that_appears_last_is_withheld_despite_a_stray_label() -> None:
    found = rows()
    oldest = min(found, key=lambda e: e.timestamp)
    stray = [replace(e, target="violet") if e is oldest else e for e in found]
    assert new_class(build_dataset("stray", stray)) == "violet"


def test_without_dates_a_class_of_median_size_is_withheld() -> None:
    sizes = {"a": 100, "b": 40, "c": 70}
    texts = Random(1)
    some = [
        Example(id=f"{label}{i}", text=f"{label} {texts.getrandbits(60)}", target=label)
        for label, count in sizes.items()
        for i in range(count)
    ]
    assert new_class(build_dataset("sizes", some)) == "c"
    assert new_class(words()) is None  # too few rows of any class
    assert new_class(build_dataset("two", [e for e in some if e.target != "b"])) is None


def test_a_pool_asked_of_itself_asks_each_row_once_after_a_fit_on_others() -> None:
    what = data(test=True)
    pool, tested = set(what.folds[0].pool), set(what.folds[0].questions)
    scenario = Scenario(kind="inner", parts=5)
    parts = [make_split(what, SplitSpec(part, 0, None, scenario)) for part in range(5)]
    assert sorted(id for part in parts for id in part.questions) == sorted(pool)
    for part in parts:
        ids = {e.id for e in part.pool}
        assert ids == pool - set(part.questions)
        assert ids.isdisjoint(tested)
        assert 0.2 < [what.examples[id].target for id in part.questions].count("red") / 64 < 0.4
    few = make_split(what, SplitSpec(0, 0, None, Scenario(kind="inner", ask=30)))
    assert len(few.questions) == 30
    assert len(few.pool) == len(pool) - 30


def test_keys_of_standard_and_noise_trials_are_of_their_pools_and_questions_alone() -> None:
    what = words()
    jobs = jobs_of(study("tfidf", seeds=3, noise=(0.0, 0.2)), what)
    assert len(jobs) > 30
    for trial in (job.trial for job in jobs):
        fold = what.folds[trial.fold]
        size = trial.train_size if trial.train_size < len(fold.pool) else None
        pool = training_pool(what, trial.fold, trial.draw if size else 0, size)
        if trial.scenario.kind == "noise":
            pool = noisy(pool, what.task, trial.scenario.rate, trial.draw)
        assert trial.pool == digest_rows((e.id, e.text, e.target) for e in pool)
        assert trial.questions == digest_rows((i, what.examples[i].text) for i in fold.questions)


def test_the_pool_asked_of_itself_reaches_the_audit(tmp_path: Path) -> None:
    what = data(test=True)
    found = out_of_fold(evidence_of(run_all(what, tmp_path / "st", ("inner",))), "tfidf")
    assert sorted(found) == sorted(what.folds[0].pool)
    assert np.mean([what.examples[id].target == said for id, said in found.items()]) > 0.9


def run_all(what: Dataset, path: Path, scenarios: tuple[str, ...]) -> Store:
    chosen = Study(candidates=(WORDS_ONLY,), grid=Grid(**{**BARE, "seeds": 3}, scenarios=scenarios))
    store = Store.create(path)
    store.begin(chosen.model_dump(mode="json", exclude_none=True), what)
    plan = plan_trials(chosen, Pools(what))
    told = [planned(c.name, c.strategy) for c in plan.candidates]
    store.plan((job.trial for job in plan.jobs), told)
    for job in plan.jobs:
        store.add(next(run_trials([job], Pools(what))).run)
    return store


@pytest.mark.slow
def test_renamed_terms_are_drift_and_stable_data_is_not(tmp_path):
    still = rows(late=False)
    # In each tenth of the time things have names of their own: the past knows none of them and can
    # only guess one label in three, the other half of the slice tells them all.
    renamed = [
        replace(e, text=e.text.replace(e.target, f"{e.target}{int(e.id[1:]) // 40}")) for e in still
    ]
    drops = {}
    for name, some in (("still", still), ("renamed", renamed)):
        store = run_all(build_dataset(name, some), tmp_path / name, ("time",))
        found = drop_of(study_scores(evidence_of(store))["tfidf"])
        assert found.rows == 160
        drops[name] = found
    still_drop = drops["still"]
    assert abs(still_drop.value) < 0.01
    # Every side of a cut is fitted once: the interval is as wide as such fits are assumed to vary.
    half = 1.96 * ASSUMED_SD * math.sqrt(2 / len(ORIGINS))
    assert still_drop.high - still_drop.value == pytest.approx(half, rel=0.1)
    assert still_drop.value - still_drop.low == pytest.approx(half, rel=0.1)
    assert drops["renamed"].low < 2 / 3 < drops["renamed"].high + 0.1
    assert drops["renamed"].low > 0.4


@pytest.mark.slow(seconds=12)
def test_the_sample_tickets_drift_and_the_product_launched_in_july_is_their_new_class(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text('[[candidates]]\nstrategy = "tfidf"\nparams = {characters = false}\n')
    grid = {"grid": {**BARE, "scenarios": ("time", "new-class")}}
    found = compare("sample:tickets", study_file=file, overrides=grid, out=tmp_path / "st").decision
    card = next(c for c in found.scorecards if c.candidate == "tfidf")
    assert card.stability.temporal_drop.value > 0.02
    gate = next(g for g in found.gates if g.name == "task stable")
    assert (gate.code, gate.count) == ("drift", 241)
    new = card.stability.new_class
    assert new.label == "frontdesk"
    assert [p.examples for p in new.points] == [0, 1, 5, 20]
    assert new.points[0].recall.value == 0
    assert new.points[-1].recall.value > 0


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Counter[SplitSpec]:
    counts: Counter[SplitSpec] = Counter()

    def counted(rows: Dataset, place: SplitSpec) -> Split:
        counts[place] += 1
        return make_split(rows, place)

    monkeypatch.setattr(module, "make_split", counted)
    return counts


def test_a_plan_and_its_run_draw_each_pool_once(data, draws):
    grid = {"grid": {"seeds": 2, "noise": [0.0, 0.2]}}
    compare(data, overrides=grid, strategies=["majority", "tfidf"], out="st")
    assert len(draws) > 5
    assert set(draws.values()) == {1}


def test_only_the_pools_used_last_are_kept(draws: Counter[SplitSpec]) -> None:
    data = dataset()
    first, second, third = (SplitSpec(fold, 0, None, STANDARD) for fold in range(3))
    pools = Pools(data, limit=2 * len(data.examples))
    for place in (first, second, first, third, first, second):
        pools.at(place)
    assert draws == {first: 1, second: 2, third: 1}


def test_a_caller_may_reorder_its_pool() -> None:
    pools = Pools(dataset())
    place = SplitSpec(0, 0, None, STANDARD)
    before = list(pools.at(place).pool)
    pools.at(place).pool.reverse()
    assert pools.at(place).pool == before

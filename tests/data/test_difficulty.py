"""The rows that a budget reaches are like the rest: folds and prefixes are balanced by difficulty.

Fold 0 of the sample was the easiest of five (88 % there, 81 % in all for the best candidate), and a
slow candidate answered fold 0 alone.
"""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest

from choose.data import difficulty
from choose.data.dataset import load_dataset
from choose.data.scenarios import Pools, SplitSpec
from choose.data.splits import SplitOptions, build_dataset
from choose.data.stratify import (
    label_by_label,
    strata_of,
    stratified_folds,
    stratified_order,
    training_pool,
)
from choose.run.predict_test_rows import asking_order
from choose.schema.study_sections import DataSection, TaskSection
from choose.types import Dataset, Example, Scenario
from support.studies import TASK, label_rows

DATA = Path(__file__).parents[3] / "shared" / "data"


def drawn(seed: int, rows: int = 300, labels: int = 4) -> tuple[dict[str, str], dict[str, float]]:
    random = Random(seed)
    ids = [f"r{i}" for i in range(rows)]
    targets = {id: f"l{min(random.randrange(labels + 2), labels - 1)}" for id in ids}
    return targets, {id: random.random() ** 2 for id in ids}


def worded(rows: int) -> list[Example]:
    """Rows of two labels whose words tell the label, except for one row in four."""
    random = Random(5)
    found = []
    for number in range(rows):
        label = number % 2
        clear = random.random() > 0.25
        says = ("refund money charge", "parcel courier delivery")[label if clear else 1 - label]
        words = " ".join(random.sample(says.split(), 2))
        found.append(Example(id=f"r{number}", text=f"{words} case{number}", target=f"l{label}"))
    return found


def spread(parts: list[list[str]], hard: dict[str, float]) -> float:
    return float(np.std([np.mean([hard[id] for id in part]) for part in parts]))


def test_folds_are_more_alike_in_difficulty_and_as_stratified_as_before() -> None:
    before, after = [], []
    for seed in range(20):
        targets, hard = drawn(seed)
        plain = stratified_folds(list(targets), targets, {}, 5, seed)
        balanced = stratified_folds(list(targets), targets, {}, 5, seed, hard)
        before.append(spread(plain, hard))
        after.append(spread(balanced, hard))
        assert max(map(len, balanced)) - min(map(len, balanced)) <= 1
        totals = Counter(targets.values())
        for part in balanced:
            for label, count in Counter(targets[id] for id in part).items():
                assert abs(count - totals[label] / 5) < 1
    assert np.mean(after) < 0.5 * np.mean(before)


def test_rows_of_like_difficulty_share_a_fold_as_often_as_by_chance() -> None:
    """Parting like rows for certain would raise what is measured: each would find its like."""
    together = 0
    for seed in range(60):
        targets, hard = drawn(seed, labels=2)
        parts = stratified_folds(list(targets), targets, {}, 5, seed, hard)
        where = {id: number for number, part in enumerate(parts) for id in part}
        ranked = sorted((id for id in targets if targets[id] == "l1"), key=hard.__getitem__)
        together += sum(where[a] == where[b] for a, b in pairwise(ranked)) / (len(ranked) - 1)
    assert 0.14 < together / 60 < 0.22


@pytest.mark.parametrize("seed", range(5))
def test_each_class_of_a_fold_has_easy_and_hard_rows(seed: int) -> None:
    targets, hard = drawn(seed)
    for label in set(targets.values()):
        own = sorted((id for id in targets if targets[id] == label), key=hard.__getitem__)
        half = set(own[len(own) // 2 :])
        for part in stratified_folds(list(targets), targets, {}, 5, seed, hard):
            mine = [id for id in part if targets[id] == label]
            assert abs(sum(id in half for id in mine) - len(mine) / 2) <= len(mine) / 5 + 1


def test_rows_that_hang_together_never_straddle_balanced_folds() -> None:
    targets, hard = drawn(7)
    random = Random(1)
    spreads = {}
    clusters = {id: f"c{random.randrange(60)}" for id in targets if random.random() < 0.7}
    parts = stratified_folds(list(targets), targets, clusters, 5, 0, hard)
    where = {id: number for number, part in enumerate(parts) for id in part}
    assert len(where) == len(targets)
    for cluster in set(clusters.values()):
        assert len({where[id] for id, own in clusters.items() if own == cluster}) == 1
    for kind, known in (("plain", None), ("balanced", hard)):
        found = [stratified_folds(list(targets), targets, clusters, 5, s, known) for s in range(20)]
        spreads[kind] = np.mean([spread(parts, hard) for parts in found])
    assert spreads["balanced"] < 0.5 * spreads["plain"]


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_asked_so_that_each_beginning_is_as_hard_as_the_whole(seed: int) -> None:
    targets, hard = drawn(seed)
    whole = np.mean(list(hard.values()))
    off = {}
    for kind, known in (("plain", None), ("spread", hard)):
        orders = [stratified_order(sorted(targets), targets, f"s{n}", known) for n in range(40)]
        assert all(sorted(order) == sorted(targets) for order in orders)
        means = [np.mean([hard[id] for id in order[:50]]) - whole for order in orders]
        off[kind] = float(np.sqrt(np.mean(np.square(means))))
        assert abs(np.mean(means)) < 0.02, "no side is favoured"
    assert off["spread"] < 0.6 * off["plain"]


def test_difficulty_finds_the_rows_whose_words_belong_to_another_label() -> None:
    rows = worded(200)
    targets = {row.id: row.target for row in rows}
    hard = difficulty.cross_fitted(rows, stratified_folds(list(targets), targets, {}, 5, 0))
    money = {"refund", "money", "charge"}
    wrong = {r.id for r in rows if (r.target == "l0") != bool(money & set(r.text.split()))}
    assert min(hard[id] for id in wrong) > max(hard[id] for id in targets if id not in wrong)
    test = difficulty.held_out(rows[:150], rows[150:])
    assert {*test} == {row.id for row in rows[150:]}
    assert all((test[id] > 0.5) == (id in wrong) for id in test)


def test_a_row_never_teaches_how_hard_it_is_itself() -> None:
    """Its own label decides how hard a row is, and never through a fit that learnt from it."""
    rows = worded(100)
    targets = {row.id: row.target for row in rows}
    parts = stratified_folds(list(targets), targets, {}, 5, 0)
    before = difficulty.cross_fitted(rows, parts)
    other = {"l0": "l1", "l1": "l0"}
    changed = [replace(r, target=other[r.target]) if r.id == "r10" else r for r in rows]
    after = difficulty.cross_fitted(changed, parts)
    assert before["r10"] + after["r10"] == pytest.approx(1, abs=2e-4)


def test_texts_without_words_and_single_rows_of_a_label_have_a_difficulty() -> None:
    rows = [Example(id=f"r{i}", text="!?" * (i + 1), target=f"l{i % 3}") for i in range(9)]
    rows.append(Example(id="odd", text="\N{SNOWMAN}", target="alone"))
    hard = difficulty.cross_fitted(rows, [[r.id for r in rows[i::3]] for i in range(3)])
    assert hard["odd"] == 1.0
    assert all(0 <= value <= 1 for value in hard.values())


def test_a_large_pool_costs_no_more_than_its_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, test = worded(2_000)[:1_800], worded(2_000)[1_800:]
    whole = difficulty.held_out(pool, test)
    monkeypatch.setattr(difficulty, "MOST_ROWS", 400)
    read: list[int] = []
    features = difficulty._features
    monkeypatch.setattr(
        difficulty, "_features", lambda rows: read.append(len(rows)) or features(rows)
    )
    sampled = difficulty.held_out(pool, test)
    assert read == [400 + 200]
    both = [(whole[row.id], sampled[row.id]) for row in test]
    assert np.corrcoef(np.array(both).T)[0, 1] > 0.9
    # Where more rows are tested, any part of them is like the rest.
    assert difficulty.held_out(test, pool) == difficulty.by_length(pool)
    assert difficulty.cross_fitted(pool, []) == difficulty.by_length(pool)
    assert len(read) == 1


def test_the_same_rows_are_always_divided_alike() -> None:
    rows = worded(120)
    first, again = (build_dataset("w", rows) for _ in range(2))
    assert first.folds == again.folds
    assert first.difficulty == again.difficulty
    assert asking_order(first.folds[0].questions, first) == asking_order(
        reversed(again.folds[0].questions), again
    )


def test_held_out_rows_are_asked_easy_and_hard_ones_in_turn() -> None:
    rows = worded(400)
    data = build_dataset("w", rows[:200], rows[200:])
    assert {*data.difficulty} == {*data.folds[0].questions}
    order = asking_order(data.folds[0].questions, data)
    whole = np.mean([data.difficulty[id] for id in order])
    assert abs(np.mean([data.difficulty[id] for id in order[:40]]) - whole) < 0.04


def sample() -> Dataset:
    return load_dataset(DataSection(path="sample:tickets"), TaskSection())


def real(name: str, rows: int) -> Dataset:
    path = DATA / name / "train.csv"
    if not path.is_file():
        pytest.skip(f"{name} is not on this machine")
    whole = load_dataset(DataSection(path=str(path), folds=5), TaskSection())
    ids = Random(0).sample(sorted(whole.examples), rows)
    return build_dataset(name, [whole.examples[id] for id in ids])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tickets", "trec6", "sst2", "fin_phrasebank"])
def test_folds_of_real_sets_are_more_alike_for_the_baseline(name: str) -> None:
    """What a neural candidate gains by it is less: benchmarks/folds.py prints how much."""
    data = sample() if name == "tickets" else real(name, 600)
    ids, targets = list(data.examples), {e.id: e.target for e in data.examples.values()}
    before, after = [], []
    for seed in range(12):
        plain = stratified_folds(ids, targets, data.clusters, 5, seed)
        hard = difficulty.cross_fitted(list(data.examples.values()), plain)
        before.append(spread(plain, hard))
        after.append(spread(stratified_folds(ids, targets, data.clusters, 5, seed, hard), hard))
    assert np.mean(after) < 0.85 * np.mean(before)
    for fold in data.folds:
        clusters = [{data.clusters.get(id) for id in side} for side in (fold.pool, fold.questions)]
        assert (clusters[0] & clusters[1]) <= {None}


@pytest.mark.slow
def test_ten_thousand_rows_are_divided_in_seconds() -> None:
    random = Random(0)
    words = [f"w{n}" for n in range(3_000)]
    rows = [
        Example(id=f"r{i}", text=" ".join(random.sample(words, 12)), target=f"l{i % 77}")
        for i in range(10_000)
    ]
    parts = [[row.id for row in rows[part::5]] for part in range(5)]
    start = time.process_time()
    difficulty.cross_fitted(rows, parts)
    assert time.process_time() - start < 20  # 3 s where nothing else runs


def test_options_divide_as_before() -> None:
    rows = worded(100)
    data = build_dataset("w", rows, options=SplitOptions(folds=3, test_rows=40))
    assert len(data.folds) == 3
    assert len(data.asked) == 40


Sets = Mapping[str, Sequence[str]]


def long_tail(rows: int = 600, labels: int = 30, seed: int = 0) -> Sets:
    rng = random.Random(seed)
    shares = [0.4 / (1 + n) for n in range(labels)]
    return {
        f"r{i}": [f"l{n}" for n, share in enumerate(shares) if rng.random() < share]
        for i in range(rows)
    }


def uneven(sets: Sets, parts: Sequence[Sequence[str]]) -> float:
    """Return the labels distribution measure of Sechidis et al. (2011): 0 where all are alike."""
    totals, rows = Counter(label for own in sets.values() for label in own), len(sets)
    found = []
    for label, count in totals.items():
        for part in parts:
            own = sum(label in sets[id] for id in part)
            found.append(abs(own / (len(part) - own) - count / (rows - count)))
    return float(np.mean(found))


def test_folds_are_as_even_as_those_of_the_library_and_far_from_random_ones() -> None:
    library = pytest.importorskip("iterstrat.ml_stratifiers")
    sets = long_tail()
    ids, labels = list(sets), sorted({label for own in sets.values() for label in own})
    members = np.array([[label in own for label in labels] for own in sets.values()], dtype=int)
    ours, theirs, shuffled = [], [], []
    for seed in range(5):
        parts = label_by_label(sets, {}, 5, seed, {})
        assert sorted(id for part in parts for id in part) == sorted(ids)
        assert {len(part) for part in parts} == {120}
        ours.append(uneven(sets, parts))
        dealt = library.MultilabelStratifiedKFold(5, shuffle=True, random_state=seed)
        theirs.append(uneven(sets, [[ids[i] for i in t] for _, t in dealt.split(ids, members)]))
        random.Random(seed).shuffle(ids)
        shuffled.append(uneven(sets, [ids[i::5] for i in range(5)]))
        ids = list(sets)
    assert np.mean(ours) <= 1.1 * np.mean(theirs)
    assert np.mean(ours) < 0.4 * np.mean(shuffled)


def test_clusters_stay_whole_and_no_fold_is_empty() -> None:
    sets = long_tail(200, 12)
    clusters = {id: f"c{n // 7}" for n, id in enumerate(sets) if n < 140}
    parts = label_by_label(sets, clusters, 5, 0, {})
    homes = [{clusters[id] for id in part if id in clusters} for part in parts]
    assert sum(map(len, homes)) == len(set(clusters.values()))
    assert uneven(sets, parts) < 0.5 * uneven(sets, [list(sets)[n::5] for n in range(5)]) + 0.02
    few = {f"r{n}": ["a"] for n in range(10)}
    blocks = {f"r{n}": "x" if n < 6 else f"y{n}" for n in range(10)}
    assert all(label_by_label(few, blocks, 5, 0, {}))
    assert label_by_label(sets, clusters, 5, 0, {}) == parts


def test_a_study_of_sets_is_divided_label_by_label() -> None:
    rows = label_rows(150)
    rows = [replace(e, group="g" if n < 12 else None) for n, e in enumerate(rows)]
    data = build_dataset("m", rows, None, SplitOptions(kind="multilabel"))
    assert len({data.clusters.get(e.id) for e in rows[:12]}) == 1
    for label in TASK.choices:
        counts = [
            sum(label in TASK.classes(data.examples[id].target) for id in fold.questions)
            for fold in data.folds
        ]
        assert max(counts) - min(counts) <= 5, label
    strata = strata_of(TASK, rows)
    totals = Counter(label for e in rows for label in TASK.classes(e.target))
    for row in rows:
        own = TASK.classes(row.target)
        assert strata[row.id] == min(own, key=lambda label: (totals[label], label), default="")
    small = [e.id for e in training_pool(data, 0, 1, 20)]
    assert [e.id for e in training_pool(data, 0, 1, 40)][:20] == small
    assert {label for id in small for label in TASK.classes(data.examples[id].target)} == set(
        TASK.choices
    )


def test_label_noise_drops_and_adds_in_the_pool_alone_and_is_nested() -> None:
    data = build_dataset("m", label_rows(200), None, SplitOptions(kind="multilabel"))

    def changed(rate: float) -> dict[str, tuple[set[str], set[str]]]:
        scenario = Scenario(kind="noise", rate=rate)
        split = Pools(data).at(SplitSpec(0, 0, None, scenario))
        assert split.questions == data.folds[0].questions
        found = {}
        for row in split.pool:
            assert data.task.problem_with(row.target) is None
            before, after = (
                set(data.task.classes(target))
                for target in (data.examples[row.id].target, row.target)
            )
            if before != after:
                found[row.id] = (before - after, after - before)
        return found

    low, high = changed(0.1), changed(0.3)
    assert low.items() <= high.items()
    pool = len(data.folds[0].pool)
    assert abs(len(high) / pool - 0.3) < 0.1
    dropped, added = (sum(len(pair[side]) for pair in high.values()) for side in (0, 1))
    assert dropped + added == len(high)  # one label a row
    assert 0.25 < dropped / len(high) < 0.65


def test_a_new_label_is_withheld_from_the_pool_with_all_rows_that_have_it() -> None:
    data = build_dataset("m", label_rows(200), None, SplitOptions(kind="multilabel"))
    scenario = Scenario(kind="new-class", label="pin", examples=5)
    split = Pools(data).at(SplitSpec(0, 0, None, scenario))
    assert sum("pin" in data.task.classes(e.target) for e in split.pool) == 5
    assert any("pin" in data.task.classes(data.examples[id].target) for id in split.questions)

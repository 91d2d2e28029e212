"""Folds of rows with sets of labels: every label is spread evenly, and clusters stay whole."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from choose.data.scenarios import Pools, SplitSpec
from choose.data.splits import SplitOptions, build_dataset
from choose.data.stratify import label_by_label, strata_of, training_pool
from choose.types import Scenario
from support.label_sets import TASK, label_rows

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

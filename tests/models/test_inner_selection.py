"""Settings chosen on inner folds: what is chosen, what it is worth, and when nothing is chosen."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from choose.conformance import TASK, pool
from choose.models.classical.inner_selection import (
    FEWEST_ROWS,
    choose_setting,
    inner_folds,
    inner_hold_out,
    mean_gain,
)
from choose.models.classical.logistic_solver import held_out_path, row_coordinates
from choose.models.tfidf_logistic import TfidfFeatures
from choose.types import Example


def rows(count: int, text: str = "row", groups: int = 0) -> list[Example]:
    return [
        Example(
            id=f"r{i}",
            text=f"{text} {i} {chr(97 + i % 26)} {i * 7}",
            target="ab"[i % 2],
            group=f"g{i % groups}" if groups else None,
        )
        for i in range(count)
    ]


def test_every_row_is_held_out_once_and_groups_and_copies_stay_together() -> None:
    some = [*rows(60, groups=12), Example(id="copy", text="ROW 3  d 21", target="b")]
    folds = inner_folds(some, most=1000)
    assert folds is not None
    assert folds.places.tolist() == list(range(61))
    assert set(folds.fold.tolist()) == set(range(5))
    fold_of = dict(zip((some[i].group for i in folds.places), folds.fold.tolist(), strict=True))
    assert all(fold_of[some[i].group] == f for i, f in zip(folds.places, folds.fold, strict=True))
    assert folds.fold[60] == folds.fold[3]
    assert folds.labels == ("a", "b")


def test_large_pools_are_sampled_and_the_sample_is_stratified() -> None:
    folds = inner_folds(rows(500), most=100)
    assert folds is not None
    assert len(folds.places) == 100
    assert folds.codes.mean() == pytest.approx(0.5)


def test_a_pool_is_too_small_without_rows_or_without_a_second_label() -> None:
    assert inner_folds(rows(FEWEST_ROWS - 1), most=1000) is None
    assert inner_folds([e for e in rows(100) if e.target == "a"], most=1000) is None
    same = [Example(id=f"s{i}", text="the same", target="ab"[i % 2]) for i in range(40)]
    assert inner_folds(same, most=1000) is None
    assert inner_hold_out(TASK, rows(FEWEST_ROWS - 1), 0.25, seed=0) == []


def test_a_hold_out_keeps_groups_whole() -> None:
    some = rows(80, groups=16)
    held = set(inner_hold_out(TASK, some, 0.25, seed=0))
    assert 12 <= len(held) <= 20
    assert not {some[i].group for i in held} & {
        e.group for i, e in enumerate(some) if i not in held
    }


def known(chances: list[float], count: int, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return (settings, n) answers that are right with some chance, alike between settings."""
    luck = np.random.default_rng(seed).random((1, count))
    own = np.random.default_rng(seed + 10**6).random((len(chances), count))
    level = np.array(chances)[:, None]
    # Half of the rows are decided by what all settings share.
    return np.where(np.arange(count) % 2, luck < level, own < level).astype(float)


def test_the_usual_setting_stays_unless_another_is_clearly_better() -> None:
    even = np.ones((3, 200))
    clusters = np.arange(200)
    assert choose_setting(even, np.zeros((3, 200)), clusters).index == 0
    better = even.copy()
    better[0, :20] = 0  # ten points behind the others
    assert choose_setting(better, np.array([[0.0], [-2.0], [-1.0]]) + even, clusters).index == 2
    one = even.copy()
    one[0, 0] = 0  # a single row is within the standard error
    assert choose_setting(one, np.zeros((3, 200)), clusters).index == 0


def test_rows_of_a_cluster_count_as_one_draw() -> None:
    right = np.ones((2, 200))
    right[0, :40] = 0
    alone = choose_setting(right, right, np.arange(200))
    together = choose_setting(right, right, np.repeat(np.arange(5), 40))
    assert (alone.index, together.index) == (1, 0)


def test_the_choice_adds_no_optimism_where_all_settings_are_the_same() -> None:
    naive, corrected, covered = [], [], 0
    for seed in range(150):
        right = known([0.7] * 20, 100, seed)
        choice = choose_setting(right, right, np.arange(100))
        naive.append(right.mean(axis=1).max())
        corrected.append(choice.value)
        covered += choice.low <= 0.7 <= choice.high
    assert np.mean(naive) > 0.76
    assert np.mean(corrected) == pytest.approx(0.7, abs=0.015)
    assert covered >= 0.95 * 150


def test_the_interval_of_one_setting_is_that_of_bonett_and_price_widened() -> None:
    # 31 / 42, t with 39 degrees of freedom 2.022691, deviation 0.068642; times sqrt(1.5).
    right = (np.arange(40) % 4 > 0).astype(float)[None]
    choice = choose_setting(right, right, np.arange(40), learnt=1.0)
    assert (choice.value, choice.low, choice.high) == pytest.approx(
        (0.75, 0.56537, 0.90547), abs=1e-4
    )
    assert choice.gain == 0
    fewer = choose_setting(right, right, np.arange(40), learnt=0.64)
    # With all rows, errors may be 0.8 times as many.
    assert (fewer.low, fewer.high) == pytest.approx((choice.low, choice.high + 0.2 * 0.25))


@pytest.mark.parametrize(("effect", "alone"), [(0.2, False), (0.6, True)])
def test_intervals_of_what_is_chosen_on_few_rows_hold_its_truth(effect: float, alone: bool) -> None:
    """Of 30 settings one is better, or all differ; rows are right by effect, difficulty, chance."""
    errors, held, gains, wide = [], 0, 0, []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        level = np.zeros(30)
        level[29 if alone else slice(1, 30)] = effect if alone else rng.normal(0, effect, 29)
        marks = level[:, None] + (rng.normal(size=49) + rng.normal(size=(30, 49))) / np.sqrt(2)
        right = (marks > 0).astype(float)
        choice = choose_setting(right, np.zeros(right.shape), np.arange(49), 0.0, 1.0)
        truth = NormalDist().cdf(level[choice.index])
        errors.append(choice.value - truth)
        held += choice.low <= truth <= choice.high
        gains += choice.gain_low <= truth - 0.5 <= choice.gain_high
        wide.append(choice.high - choice.low)
    assert np.mean(errors) < 2 * np.std(errors) / np.sqrt(150)  # never too high
    assert min(held, gains) >= 0.95 * 150
    assert np.mean(wide) < 0.42


def test_a_better_setting_is_found_and_its_accuracy_is_that_of_the_setting() -> None:
    found, values = 0, []
    for seed in range(60):
        right = known([0.6] * 6 + [0.75], 300, seed)
        choice = choose_setting(right, right, np.arange(300))
        found += choice.index == 6
        values.append(choice.value)
    assert found >= 57
    assert np.mean(values) == pytest.approx(0.75, abs=0.015)


def test_what_was_chosen_is_said_with_its_gain() -> None:
    right = np.ones((2, 100))
    right[0, ::4] = 0
    said = choose_setting(right, right, np.arange(100)).sentence("C = 3")
    assert said.startswith("C = 3, chosen out of 2 settings on 100 rows in inner folds.")
    assert "the usual setting 0.750" in said
    stayed = choose_setting(right[:1], right[:1], np.arange(100)).sentence("C = 10")
    assert "the usual setting: none of 1 settings" in stayed


@pytest.mark.parametrize("labels", [2, 3])
def test_the_path_is_what_a_fit_for_each_fold_and_strength_gives(labels: int) -> None:
    rng = np.random.default_rng(labels)
    centres = rng.normal(size=(labels, 12))
    codes = np.arange(90) % labels
    features = centres[codes] + rng.normal(size=(90, 12))
    fold, strengths = rng.integers(0, 5, size=90), (0.1, 1.0, 10.0)
    path = held_out_path(features, codes, fold, strengths)
    other = held_out_path(row_coordinates(features @ features.T), codes, fold, strengths)
    for C, found, same in zip(strengths, path, other, strict=True):
        for held in range(5):
            model = LogisticRegression(C=C, max_iter=1000, tol=1e-8)
            model.fit(features[fold != held], codes[fold != held])
            wanted = model.predict_proba(features[fold == held])
            assert np.abs(np.exp(found[fold == held]) - wanted).max() < 0.02
            assert np.abs(np.exp(same[fold == held]) - wanted).max() < 0.02


def test_features_that_were_fitted_apart_are_those_fitted_together() -> None:
    texts = [e.text for e in pool()]
    together = TfidfFeatures("words", "characters")
    whole = together.fit(texts)
    parts = [TfidfFeatures(name) for name in ("words", "characters")]
    for part in parts:
        part.fit(texts)
    joined = TfidfFeatures.joined(parts)
    assert abs(joined(texts) - whole).max() < 1e-12
    assert joined.state()[0] == together.state()[0]


def test_the_interval_of_a_mean_gain_is_that_of_bonett_and_price_by_clusters() -> None:
    # 4 / 10 and t with 7 degrees of freedom: 2.364624 * sqrt(8 / 7 * 0.08 + 2 * 1.16) / 10.
    gain = mean_gain(np.full(8, 0.5), np.arange(8))
    assert gain == pytest.approx((0.5, 0.032802, 0.767198), abs=1e-6)
    assert str(gain) == "+50.0 points (+3.3 to +76.7)"
    assert mean_gain(np.full(8, 0.5), np.zeros(8, int)) == (0.5, -1.0, 1.0)


def test_intervals_of_a_mean_gain_hold_the_truth() -> None:
    """Of 600 searches on 12 documents with one to five rows each, 95 % or so."""
    rng, held = np.random.default_rng(11), 0
    for _ in range(600):
        clusters = np.repeat(np.arange(12), rng.integers(1, 6, 12))
        of_document = rng.normal(0.1, 0.25, 12)[clusters]
        gain = mean_gain(np.clip(of_document + rng.normal(0, 0.3, len(clusters)), -1, 1), clusters)
        held += gain.low <= 0.1 <= gain.high
    assert 0.94 <= held / 600 <= 0.99

"""Settings chosen on inner folds: what is chosen, what it is worth, and when nothing is chosen."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from choose.conformance import TASK, pool
from choose.models.classical.inner_selection import (
    STRENGTHS,
    choose_setting,
    choose_strength,
    sample_rows,
)


def test_twins_and_groups_share_a_cluster_and_large_pools_are_sampled_evenly() -> None:
    rows = pool(rows=60)
    grouped = [replace(e, group=f"g{n % 12}") for n, e in enumerate(rows)]
    twins = [replace(e, id=f"t{e.id}") for e in rows[:5]]
    some = sample_rows(TASK, [*grouped, *twins], 1_000)
    assert some.places.tolist() == [*range(65)]
    assert {*some.clusters[60:]} == {*some.clusters[:5]}
    assert all(len({*some.clusters[n:60:12]}) == 1 for n in range(12))
    few = sample_rows(TASK, rows, 30)
    targets = [rows[place].target for place in few.places]
    assert [targets.count(label) for label in TASK.labels] == [10, 10, 10]


def test_the_strength_is_the_likeliest_of_held_out_rows_beyond_one_standard_error() -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(200) % 2
    features = rng.normal(size=(200, 20)) + 0.3 * codes[:, None]
    clusters = np.arange(200)
    likelihood = {}
    for C in STRENGTHS:
        own = np.zeros(200)
        for part in range(3):
            held = clusters % 3 == part
            model = LogisticRegression(C=C, max_iter=1000).fit(features[~held], codes[~held])
            own[held] = model.predict_log_proba(features[held])[np.arange(held.sum()), codes[held]]
        likelihood[C] = own
    found = choose_strength(features, [str(code) for code in codes], clusters)
    best = max(STRENGTHS, key=lambda C: likelihood[C].mean())
    gaps = likelihood[best] - likelihood[10.0]
    assert gaps.mean() > gaps.std(ddof=1) / np.sqrt(200)
    assert found == best == 1.0
    easy = features + 9 * codes[:, None]
    assert choose_strength(easy[:19], [str(code) for code in codes[:19]], clusters[:19]) == 10.0


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

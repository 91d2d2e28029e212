"""Sets from probabilities: the set of the best F1, thresholds, and one regression a label."""

from itertools import product

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from choose.models.classical import (
    SetHead,
    Thresholds,
    best_set,
    best_sets,
    example_f1s,
    members_of,
)


def test_the_best_constant_set_is_that_of_all_subsets() -> None:
    rng = np.random.default_rng(0)
    for trial in range(60):
        members = rng.random((12, 5)) < rng.uniform(0.1, 0.7, 5)
        members[: trial % 4] = False
        weights = rng.dirichlet(np.ones(12))
        subsets = np.array(list(product([False, True], repeat=5)))
        means = [weights @ example_f1s(np.tile(s, (12, 1)), members) for s in subsets]
        chosen = best_set(members, weights)
        value = weights @ example_f1s(np.tile(chosen, (12, 1)), members)
        assert value == pytest.approx(max(means), abs=1e-12)
    assert not best_set(np.zeros((3, 2), dtype=bool), np.ones(3) / 3).any()


def test_sets_of_many_rows_are_those_of_each_and_rows_without_weight_do_not_count() -> None:
    rng = np.random.default_rng(1)
    members = rng.random((40, 9, 6)) < rng.uniform(0.0, 0.6, (40, 1, 6))
    weights = rng.dirichlet(np.ones(9), 40)
    weights[:10, 6:] = 0
    found = best_sets(members, weights)
    for row in range(40):
        own = members[row, : 6 if row < 10 else 9]
        assert (found[row] == best_set(own, weights[row, : len(own)])).all()


def test_members_follow_the_order_of_the_labels() -> None:
    members = members_of(("b", "a"), ['["a", "b"]', "[]", '["a"]'])
    assert members.tolist() == [[True, True], [False, False], [False, True]]


def skewed(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are half of what they should be, of a frequent and two rare labels."""
    rng = np.random.default_rng(seed)
    true = rng.beta(1, (1.0, 6.0, 12.0), (rows, 3))
    return true / 2, rng.random((rows, 3)) < true


def test_thresholds_beat_a_half_on_rows_that_did_not_choose_them() -> None:
    chances, members = skewed(600, 0)
    others, right = skewed(4000, 1)
    thresholds = Thresholds.chosen(chances, members)
    half = example_f1s(others >= 0.5, right).mean()
    assert example_f1s(thresholds(others), right).mean() > half + 0.05
    assert thresholds.never_empty is False
    assert thresholds(np.zeros((1, 3))).sum() == 0


def test_a_set_has_a_label_where_every_set_of_the_pool_has_one() -> None:
    chances, members = skewed(300, 2)
    members[~members.any(axis=1), 0] = True
    thresholds = Thresholds.chosen(chances, members)
    assert thresholds.never_empty
    assert thresholds(np.full((2, 3), 1e-4)).sum(axis=1).tolist() == [1, 1]


def test_a_label_with_few_rows_keeps_to_the_common_threshold() -> None:
    chances, members = skewed(400, 3)
    members[:, 2] = False
    absent = Thresholds.chosen(chances, members).least[2]
    members[0, 2] = True  # one row, whose own best threshold is its own chance
    chances[0, 2] = 0.45
    rare = Thresholds.chosen(chances, members).least[2]
    assert abs(rare - absent) < 0.05
    assert Thresholds.chosen(chances, np.zeros_like(members)).least.tolist() == [0.5] * 3


def test_each_label_is_fitted_as_scikit_learn_does_and_restored() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(240, 6))
    logits = features @ rng.normal(size=(6, 4)) - 1
    members = rng.random((240, 4)) < 1 / (1 + np.exp(-logits))
    members[:, 3] = False  # a label without rows is never given
    head = SetHead(1.0)
    head.fit(features, members)
    for label in range(3):
        own = LogisticRegression(C=1.0, tol=1e-8).fit(features, members[:, label])
        assert head.weights[label] == pytest.approx(own.coef_[0], abs=0.02)
    chosen = head.thresholds(head.probabilities(features))
    assert not chosen[:, 3].any()
    assert f1_score(members, chosen, average="samples", zero_division=1) > 0.6
    again = SetHead.restored(*head.state(), labels=4, features=6)
    assert (again.probabilities(features) == head.probabilities(features)).all()
    with pytest.raises(ValueError, match="'weights' holds"):
        SetHead.restored(*head.state(), labels=3)

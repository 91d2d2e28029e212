"""Classical heads: fits equal those of scikit-learn, sets of labels, choices made inside a fit."""

from dataclasses import replace
from itertools import product
from time import perf_counter

import numpy as np
import pytest
from scipy.sparse import random as random_sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from choose.conformance import TASK, pool
from choose.models import classical
from choose.models.classical import (
    STRENGTHS,
    BoundedLogistic,
    LogisticHead,
    MergedColumns,
    SetHead,
    TfidfFeatures,
    Thresholds,
    best_set,
    best_sets,
    choose_strength,
    example_f1s,
    members_of,
    sample_rows,
)
from choose.progress import LoopProgress, TimeLimitReached, time_limit


def test_parallel_columns_are_merged_without_changing_the_fit() -> None:
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(4)
    single = random_sparse(150, 60, density=0.1, format="csr", rng=rng)
    rows = hstack([single, 3 * single, csr_matrix((150, 2)), single[:, :9]]).tocsr()
    folded = MergedColumns(rows)
    assert folded(rows).shape[1] <= 61
    np.testing.assert_allclose(
        (folded(rows) @ folded(rows).T - rows @ rows.T).toarray(), 0, atol=1e-9
    )
    targets = [f"c{i}" for i in rng.integers(0, 4, 150)]
    head = LogisticHead(10.0)
    head.fit(rows, targets)
    plain = LogisticRegression(C=10.0, max_iter=1000).fit(rows, targets)
    np.testing.assert_allclose(head.probabilities(rows), plain.predict_proba(rows), atol=1e-6)
    _, arrays = head.state()
    np.testing.assert_allclose(arrays["weights"], plain.coef_, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 5])
def test_a_fit_in_bounded_memory_is_the_fit_of_scikit_learn(classes: int) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(5)
    rows = random_sparse(400, 300, density=0.05, format="csr", rng=rng)
    targets = [f"c{i}" for i in rng.integers(0, classes, 400)]
    plain = LogisticRegression(C=10.0, max_iter=1000, tol=1e-6).fit(rows, targets)
    for features in (rows, rows.toarray()):
        model = BoundedLogistic(10.0)
        model.fit(features, targets)
        assert list(model.classes_) == list(plain.classes_)
        np.testing.assert_allclose(
            model.predict_proba(features), plain.predict_proba(features), atol=0.02
        )


def test_a_large_fit_leaves_out_the_rarest_features_and_can_be_saved(monkeypatch):
    """M1: what many classes with many features take in memory is bounded."""
    monkeypatch.setattr(classical, "MAX_PLAIN_WEIGHTS", 100)
    monkeypatch.setattr(classical, "MAX_WEIGHTS", 400)
    rows = random_sparse(60, 200, density=0.1, format="csr", rng=np.random.default_rng(6))
    rows[:, 0] = 1.0
    head = LogisticHead(10.0)
    head.fit(rows, [f"c{i % 4}" for i in range(60)])
    assert isinstance(head.model, BoundedLogistic)
    facts, arrays = head.state()
    again = LogisticHead.restored(facts, arrays, facts["seen"])
    np.testing.assert_allclose(
        head.probabilities(rows), again.probabilities(rows), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("classes", [3, 300])
def test_a_budget_stops_a_fit_at_its_next_pass(classes: int) -> None:
    """M2: vectorising and both solvers report their progress."""
    rng = np.random.default_rng(7)
    rows = random_sparse(3000, 20_000, density=0.003, format="csr", rng=rng)
    targets = [f"c{i % classes}" for i in range(3000)]
    texts = [f"word{i} and word{i * i % 977}" for i in range(3000)]
    with time_limit(0.0), pytest.raises(TimeLimitReached):
        TfidfFeatures("words").fit(texts)
    start = perf_counter()
    with time_limit(0.0), pytest.raises(TimeLimitReached):
        LogisticHead(10.0).fit(rows, targets)
    assert perf_counter() - start < 5


@pytest.mark.parametrize("large", [False, True])
def test_both_solvers_report_every_pass(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """M2: scikit-learn's solver reports as it multiplies by the sparse rows.

    Both end where they have converged, so that no fit is given up for the passes that are left.
    """
    if large:
        monkeypatch.setattr(classical, "MAX_PLAIN_WEIGHTS", 0)
    monkeypatch.setattr(LoopProgress, "_too_slow", lambda *_: True)
    rows = random_sparse(300, 400, density=0.03, format="csr", rng=np.random.default_rng(8))
    with time_limit(fits=True) as progress:
        LogisticHead(10.0).fit(rows, [f"c{i % 3}" for i in range(300)])
    assert progress.loop == "logistic fit"
    assert progress.span[-1][1] > 3


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
    again = SetHead.restored(*head.state(), "abcd", features=6)
    assert (again.probabilities(features) == head.probabilities(features)).all()
    with pytest.raises(ValueError, match="'weights' holds"):
        SetHead.restored(*head.state(), "abc")


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

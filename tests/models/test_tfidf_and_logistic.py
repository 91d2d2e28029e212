"""Classical heads: fits equal those of scikit-learn, sets of labels, choices made inside a fit."""

from dataclasses import replace
from itertools import product
from time import perf_counter

import numpy as np
import pytest
from scipy.sparse import csr_matrix, hstack
from scipy.sparse import random as random_sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from choose.conformance import TASK, pool
from choose.models.tfidf_and_logistic import (
    STRENGTHS,
    LogisticHead,
    SetHead,
    TfidfFeatures,
    Thresholds,
    best_set,
    best_sets,
    choose_strength,
    example_f1s,
    head_from,
    merging_of,
    sample_rows,
)
from choose.progress import LoopProgress, TimeLimitReached, time_limit
from choose.tasks.multilabel import set_text


@pytest.mark.parametrize("classes", [2, 4])
def test_parallel_columns_are_merged_without_changing_the_fit(classes: int) -> None:
    rng = np.random.default_rng(4)
    single = random_sparse(150, 60, density=0.1, format="csr", rng=rng)
    rows = hstack([single, 3 * single, csr_matrix((150, 2)), single[:, :9]]).tocsr()
    merged = (rows @ merging_of(rows)).tocsr()
    assert merged.shape[1] <= 61
    np.testing.assert_allclose((merged @ merged.T - rows @ rows.T).toarray(), 0, atol=1e-9)
    targets = [f"c{i}" for i in rng.integers(0, classes, 150)]
    head = LogisticHead(["absent", *sorted({*targets})], 10.0)
    head.fit(rows, targets)
    plain = LogisticRegression(C=10.0, max_iter=1000).fit(rows, targets)
    found = np.exp(head.scores(rows))
    np.testing.assert_allclose(found[:, 1:], plain.predict_proba(rows), atol=1e-6)
    assert found[:, 0].max() < 1e-8
    np.testing.assert_allclose(head.weights[:, :-1], plain.coef_, atol=1e-5)


def test_terms_are_the_most_frequent_where_they_would_be_too_many() -> None:
    """M1: what many classes with many features take in memory is bounded."""
    features = TfidfFeatures("words", "characters", most=40)
    assert features.fit([f"word{i} and word{i * i % 977}" for i in range(300)]).shape == (300, 80)
    assert features([]).shape == (0, 80)
    assert (
        TfidfFeatures.restored(*features.state())(["and word7"]) != features(["and word7"])
    ).nnz == 0


def test_a_budget_stops_a_fit_at_its_next_pass() -> None:
    """M2: vectorising and the solver report their progress."""
    rows = random_sparse(3000, 20_000, density=0.003, format="csr", rng=np.random.default_rng(7))
    texts = [f"word{i} and word{i * i % 977}" for i in range(3000)]
    with time_limit(0.0), pytest.raises(TimeLimitReached):
        TfidfFeatures("words").fit(texts)
    start = perf_counter()
    with time_limit(0.0), pytest.raises(TimeLimitReached):
        LogisticHead(["c0", "c1"], 10.0).fit(rows, [f"c{i % 2}" for i in range(3000)])
    assert perf_counter() - start < 5


def test_the_solver_reports_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """M2: it reports as it multiplies by the sparse rows.

    It ends where it has converged, so that no fit is given up for the passes that are left.
    """
    monkeypatch.setattr(LoopProgress, "_too_slow", lambda *_: True)
    rows = random_sparse(300, 400, density=0.03, format="csr", rng=np.random.default_rng(8))
    with time_limit(fits=True) as progress:
        LogisticHead(["c0", "c1", "c2"], 10.0).fit(rows, [f"c{i % 3}" for i in range(300)])
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
    assert abs(Thresholds.chosen(chances, members).least[2] - absent) < 0.05
    assert Thresholds.chosen(chances, np.zeros_like(members)).least.tolist() == [0.5] * 3


def test_each_label_is_fitted_as_scikit_learn_does_and_restored() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(240, 6))
    logits = features @ rng.normal(size=(6, 4)) - 1
    members = rng.random((240, 4)) < 1 / (1 + np.exp(-logits))
    members[:, 3] = False  # a label without rows is never given
    head = SetHead("abcd", 1.0)
    head.fit(features, [set_text(np.array([*"abcd"])[row].tolist()) for row in members])
    for label in range(3):
        own = LogisticRegression(C=1.0, max_iter=1000).fit(features, members[:, label])
        assert head.weights[label, :-1] == pytest.approx(own.coef_[0])
    chosen = head.thresholds(head.probabilities(features))
    assert not chosen[:, 3].any()
    assert f1_score(members, chosen, average="samples", zero_division=1) > 0.6
    assert (head_from(*head.state()).probabilities(features) == head.probabilities(features)).all()


def test_twins_and_groups_share_a_cluster_and_large_pools_are_sampled_evenly() -> None:
    rows = pool(rows=60)
    grouped = [replace(e, group=f"g{n % 12}") for n, e in enumerate(rows)]
    some = sample_rows(TASK, [*grouped, *[replace(e, id=f"t{e.id}") for e in rows[:5]]], 1_000)
    assert some.places.tolist() == [*range(65)]
    assert {*some.clusters[60:]} == {*some.clusters[:5]}
    assert all(len({*some.clusters[n:60:12]}) == 1 for n in range(12))
    targets = [rows[place].target for place in sample_rows(TASK, rows, 30).places]
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

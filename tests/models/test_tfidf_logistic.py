"""A fit in row space, or on merged columns, is the fit on the features."""

from time import perf_counter

import numpy as np
import pytest
from scipy.sparse import random as random_sparse

from choose.models import classical
from choose.models.classical import (
    BoundedLogistic,
    LogisticHead,
    MergedColumns,
    RowSpace,
    TfidfFeatures,
    row_space_is_faster,
)
from choose.progress import LoopProgress, TimeLimitReached, time_limit


@pytest.mark.parametrize("C", [1.0, 10.0])
def test_few_rows_with_many_features_give_the_same_probabilities(C, monkeypatch):
    rng = np.random.default_rng(0)
    rows = random_sparse(160, 2000, density=0.02, format="csr", rng=rng)
    targets = [f"c{i}" for i in rng.integers(0, 5, 120)]
    fast = LogisticHead(C)
    fast.fit(rows[:120], targets)
    assert fast.coordinates is not None
    monkeypatch.setattr(classical, "MAX_ROW_SPACE_ROWS", 0)
    plain = LogisticHead(C)
    plain.fit(rows[:120], targets)
    assert isinstance(plain.coordinates, MergedColumns)
    # Both stop at the solver's tolerance, not at the optimum itself.
    np.testing.assert_allclose(
        fast.probabilities(rows[120:]), plain.probabilities(rows[120:]), atol=2e-3
    )


def test_row_space_preserves_inner_products() -> None:
    rows = random_sparse(40, 900, density=0.05, format="csr", rng=np.random.default_rng(1))
    space = RowSpace(rows)
    inside = space(rows)
    np.testing.assert_allclose(inside @ inside.T, (rows @ rows.T).toarray(), atol=1e-9)


def test_repeated_dense_or_many_rows_are_fitted() -> None:
    rows = random_sparse(30, 900, density=0.05, format="csr", rng=np.random.default_rng(2))
    twice = rows[[*range(30), *range(30)]]
    head = LogisticHead(10.0)
    head.fit(twice, [f"c{i % 3}" for i in range(30)] * 2)
    assert np.isfinite(head.probabilities(rows)).all()
    assert row_space_is_faster(rows, 3)
    assert not row_space_is_faster(rows.toarray(), 3)
    assert not row_space_is_faster(random_sparse(900, 901, density=0.01, format="csr"), 3)


def test_many_short_rows_are_not_fitted_in_row_space() -> None:
    short = random_sparse(
        1360, 20_000, density=128 / 20_000, format="csr", rng=np.random.default_rng(3)
    )
    assert not row_space_is_faster(short, 6)
    assert row_space_is_faster(short[:340], 6)


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
    again = LogisticHead.restored(facts, arrays)
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

"""PPI++: golden values of ppi-python 0.2.3, and coverage where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from choose.judge.stats.prediction_powered import (
    prediction_powered,
)
from choose.types import Floats

PEOPLE = np.array([0.25, 0, 0.5, -0.25, 0.25, 0.75, 0, 0.25, -0.5, 0.5, 0, 0.25])
METRIC = np.array([0.1, 0.05, 0.3, -0.1, 0.2, 0.4, 0.1, 0, -0.2, 0.25, 0.15, 0.1])
REST = np.array([4, 2, -2, 6, 5, 1, 0, 3, 8, -4, 2, 4, 6, -1, 2, 4, 3, 1, 7, 2]) / 20


def test_golden_values() -> None:
    """`ppi_mean_pointestimate` and `ppi_mean_ci`, which divide variances by n and not n - 1."""
    found = prediction_powered(PEOPLE, METRIC, REST)
    assert (found.value, found.weight) == (pytest.approx(0.18666667), 1.0)
    by_hand = np.var(REST, ddof=1) / 20 + np.var(PEOPLE - METRIC, ddof=1) / 12
    assert found.error.variance == pytest.approx(by_hand)
    assert found.error.variance == pytest.approx((0.12697684 / 1.959964) ** 2 * 12 / 11, rel=0.02)
    alone = prediction_powered(PEOPLE, METRIC, REST, power=False)
    assert (alone.value, alone.weight) == (pytest.approx(1 / 6), 0.0)
    assert alone.effective == pytest.approx(12)
    assert alone.error.variance == pytest.approx((0.18562740 / 1.959964) ** 2 * 12 / 11, rel=1e-6)
    assert found.effective == pytest.approx(12 * alone.error.variance / found.error.variance)


def test_a_weight_between_is_the_one_of_least_variance() -> None:
    """A metric of twice the size of people's differences counts half."""
    found = prediction_powered(PEOPLE, 4 * METRIC, REST * 4)
    assert 0 < found.weight < 1
    for other in (found.weight - 0.1, found.weight + 0.1):
        variance = other**2 * np.var(4 * REST, ddof=1) / 20
        variance += np.var(PEOPLE - other * 4 * METRIC, ddof=2) / 12
        assert variance > found.error.variance
    by_hand = found.weight**2 * np.var(4 * REST, ddof=1) / 20
    by_hand += np.var(PEOPLE - found.weight * 4 * METRIC, ddof=1) * 11 / 10 / 12
    assert found.error.variance == pytest.approx(by_hand), "the weight costs a degree of freedom"
    assert found.error.df_first == 10


def test_ratings_all_alike_or_without_other_rows_have_an_open_interval() -> None:
    same = prediction_powered(np.zeros(50), np.zeros(50), np.zeros(10)).interval()
    assert same.low < 0 < same.high
    steps = np.array([0.3 - 0.2, 0.8 - 0.7, 0.5 - 0.4, 0.2 - 0.1])  # alike but for rounding
    tenth = prediction_powered(steps, np.arange(4.0), np.zeros(10)).interval()
    assert tenth.low < 0 < tenth.high
    whole = prediction_powered(PEOPLE, METRIC, np.zeros(0))
    assert (whole.value, whole.weight) == (pytest.approx(PEOPLE.mean()), 0.0)
    with pytest.raises(ValueError, match="at least 2 ratings"):
        prediction_powered(PEOPLE[:1], METRIC[:1], REST)


def test_rows_of_one_document_count_as_one() -> None:
    clusters = [f"d{i // 4}" for i in range(44)]
    alone, grouped = (
        prediction_powered(np.repeat(PEOPLE[:6], 4), np.repeat(METRIC[:6], 4), REST, names)
        for names in (None, clusters)
    )
    assert grouped.value == alone.value
    assert grouped.error.variance > 2 * alone.error.variance
    assert 0 < grouped.weight < 1
    assert grouped.error.df_first == 4
    three = prediction_powered(
        np.repeat(PEOPLE[:3], 4), np.repeat(METRIC[:3], 4), REST, clusters[:32]
    )
    assert (three.weight, three.error.df_first) == (0.0, 2)


def world(
    rng: np.random.Generator, n: int, m: int, rho: float, bias: float
) -> tuple[Floats, Floats, Floats]:
    """Return people's rounded differences with the metric's, and the metric's of other rows."""
    truth = rng.normal(0.1, 0.35, n + m)
    metric = bias + rho * truth + np.sqrt(1 - rho**2) * rng.normal(0, 0.35, n + m)
    return np.round(4 * truth[:n]) / 4, metric[:n], metric[n:]


def test_it_covers_where_the_metric_is_biased_and_is_narrower_than_people_alone() -> None:
    """`answers.md` has .945 (+-.083 against +-.098) at 100 of 1,000 rows; the metric alone 0 %."""
    rng, hits, alone, widths = np.random.default_rng(7), [], [], []
    for _ in range(1500):
        people, metric, rest = world(rng, 100, 1000, 0.8, 0.2)
        found = prediction_powered(people, metric, rest).interval()
        only = prediction_powered(people, metric, rest, power=False).interval()
        hits.append(found.low <= 0.1 <= found.high)
        widths.append((found.high - found.low) / (only.high - only.low))
        every = np.concatenate([metric, rest])
        alone.append(abs(every.mean() - 0.1) < 1.96 * every.std() / np.sqrt(1100))
    assert 0.93 <= np.mean(hits) <= 0.96
    assert np.mean(alone) < 0.01
    assert np.mean(widths) < 0.8


def test_few_ratings_cover_too() -> None:
    """Without the weight's degree of freedom 8 rated rows cover 93.8 %."""
    rng, hits = np.random.default_rng(1), []
    for _ in range(3000):
        people, metric, rest = world(rng, 8, 60, 0.3, 0.2)
        found = prediction_powered(people, metric, rest).interval()
        hits.append(found.low <= 0.1 <= found.high)
    assert 0.943 <= np.mean(hits) <= 0.965
    few = prediction_powered(PEOPLE[:4], METRIC[:4], REST)
    assert few.weight == 0, "four rows weigh no metric"


@pytest.mark.slow
def test_a_poor_metric_costs_nothing() -> None:
    """With a weight of 1 the interval would be a fifth wider than that of people alone."""
    rng, hits, widths = np.random.default_rng(8), [], []
    for _ in range(400):
        people, metric, rest = world(rng, 60, 300, 0.1, 0.0)
        found = prediction_powered(people, metric, rest).interval()
        only = prediction_powered(people, metric, rest, power=False).interval()
        hits.append(found.low <= 0.1 <= found.high)
        widths.append((found.high - found.low) / (only.high - only.low))
    assert 0.92 <= np.mean(hits) <= 0.98
    assert np.mean(widths) < 1.0

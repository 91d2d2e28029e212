"""The benchmarks of growth and of a whole study: exponents, targets, and the naive loop."""

from __future__ import annotations

import pytest

from choose.strategy import build
from choose.types import Dataset
from growth import Memory, Series, missed
from growth_point import examples, task
from naive_trial import Classical


def series(power: float, axis: str = "labels", start: float = 0.0) -> Series:
    at = (250, 500, 1000, 2000)
    return Series("x", axis, at, tuple(start + 1e-3 * n**power for n in at))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_power_of_growth_is_found(power: float) -> None:
    assert series(power).power == pytest.approx(power, abs=1e-9)


def test_what_grows_too_fast_is_named() -> None:
    assert not list(missed([series(1.0), series(1.0, start=5)], []))
    (sentence,) = missed([series(1.0), series(1.3)], [])
    assert "labels: power 1.30" in sentence


def test_repetitions_that_cost_as_much_as_the_first_are_named() -> None:
    seeds = (1, 2, 3, 5)
    full = Series("study", "seeds", seeds, tuple(10.0 * n for n in seeds))
    shared = Series("study", "seeds", seeds, tuple(10.0 + n for n in seeds))
    (sentence,) = missed([full, shared], [])
    assert "power 1.00" in sentence


def test_memory_is_limited() -> None:
    (sentence,) = missed([], [Memory("a study", 10_000, 4_100.0, 1.0)])
    assert "4,100 MB" in sentence


def test_made_up_rows_differ_and_have_every_class() -> None:
    rows = examples(400, 7, "pool")
    assert len({row.text for row in rows}) == 400
    assert {row.target for row in rows} == set(task(7).labels)
    assert rows == examples(400, 7, "pool")


def test_the_naive_loop_gives_the_answers_of_tfidf(toy: Dataset) -> None:
    fold = toy.folds[0]
    pool = [toy.examples[id] for id in fold.pool]
    items = [toy.examples[id].item() for id in fold.questions]
    strategy = build("tfidf", seed=0)
    strategy.fit(toy.task, pool)
    job = {
        "strategy": "tfidf",
        "params": {},
        "order": list(toy.task.labels),
        "texts": [row.text for row in pool],
        "labels": [row.target for row in pool],
        "questions": [item.text for item in items],
    }
    method = Classical(job)
    assert method.fit() == len(pool)
    assert method.predict() == list(strategy.predict(items).outputs)

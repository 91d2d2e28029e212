"""What a candidate promises with all labels: a golden value, and real learning curves."""

from itertools import product
from math import sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import regret
from choose.judge.scores.promised_score import DRIFT, RATE_SD, promised_gain, promised_score
from choose.schema.base import Interval
from choose.types import Floats
from replay.answers import read_all

ROWS = 100


def learner(main: Floats, pool: int, whole: int, sizes: Any = (), family: str = "baseline") -> Any:
    tables = {size: SimpleNamespace(right=right[:, None]) for size, right in dict(sizes).items()}
    return SimpleNamespace(
        main=SimpleNamespace(right=main[:, None]),
        info=SimpleNamespace(learns=True, family=family),
        pool=pool,
        whole=whole,
        sizes=tables,
        by_pool={**tables, pool: None},
    )


def test_each_doubling_removes_a_tenth_of_the_errors_where_nothing_else_is_known() -> None:
    right = np.repeat([1.0, 0.0], [60, 40])
    gain = promised_gain(learner(right, 250, 1_000))
    assert gain.mean == pytest.approx(0.4 * (1 - 0.9**2))
    assert sqrt(gain.variance) == pytest.approx(0.4 * 2 * 0.9 * sqrt(RATE_SD**2 + DRIFT**2))
    now = Interval(value=0.6, low=0.5, high=0.7, estimand="")
    found = promised_score(learner(right, 250, 1_000), now)
    assert found.value == pytest.approx(0.6 + gain.mean)
    assert found.value - (found.low or 0) == pytest.approx(sqrt(0.01 + 1.96**2 * gain.variance))
    for none in (learner(right, 1_000, 1_000), learner(right, 0, 1_000)):
        assert promised_gain(none) == (0.0, 0.0)
    assert promised_gain(learner(right, 250, 1_000), learned=1_000) == (0.0, 0.0)
    assert promised_gain(learner(right, 250, 1_000, family="prompting")).mean == 0.0


def test_its_own_curve_counts_as_far_as_its_rows_tell() -> None:
    def mean(rows: int) -> float:
        before, now = (np.arange(rows) % 10 < n for n in (5, 5))
        sizes = {250: before.astype(float)}
        return promised_gain(learner(now.astype(float), 500, 1_000, sizes)).mean

    assert 0.05 > mean(20) > mean(100) > mean(2_000), "nothing was gained from 250 to 500 rows"
    assert mean(2_000) < 0.01


def test_bands_hold_on_the_curves_of_seven_real_sets() -> None:
    """From 100 test rows and pools of 100 and 300 labels the score with 1,000 is foretold."""
    errors = list[float]()
    for found in read_all(regret.HERE / "replay" / "answers").values():
        scores = {(f.candidate, f.size, f.draw): np.asarray(f.scores, float) for f in found.fits}
        names, draws = {key[0] for key in scores}, {key[2] for key in scores}
        for name, draw in product(sorted(names), sorted(draws)):
            own = [scores.get((name, size, draw)) for size in (100, 300, 1_000)]
            if any(one is None for one in own) or name in ("majority", "empty", "pattern"):
                continue
            known = ~np.isnan(np.sum(own, axis=0))
            if known.sum() < ROWS:
                continue
            few, some, all_ = (one[known] for one in own if one is not None)
            for sizes in ({}, {100: few[:ROWS]}):
                gain = promised_gain(learner(some[:ROWS], 300, 1_000, sizes))
                told = float(all_.mean() - some.mean()) - gain.mean
                errors.append(told / sqrt(gain.variance))
    assert len(errors) > 60
    assert np.mean(np.abs(errors) < 1.96) >= 0.93
    assert np.abs(np.mean(errors)) < 0.3
    assert 0.5 < np.std(errors) < 1.2

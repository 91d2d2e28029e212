"""Statistics of the audit and of plans: golden values, oracles and simulated rates."""

from math import sqrt

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from choose.judge.before_data import PER_CLASS, before_data, detectable_gains, rows_for_target
from choose.judge.decision.more_labels import chance_to_decide, more_rows, rows_to_decide
from choose.judge.scores.joint_distribution import SPREAD
from choose.schema.plan import DISCORDANCES, TRAINING_SHARE, Wishes
from choose.stats.paired import (
    Difference,
    mcnemar_midp,
    paired_difference,
    smallest_detectable_gain,
)


def test_reach_golden() -> None:
    """methods.md, Connor's closed form: 500 rows at 20 % discordance find 5.6 points."""
    found = detectable_gains([str(i) for i in range(500)], margin=0.02)
    gains = [smallest_detectable_gain(500, discordance, 0.8) for discordance in DISCORDANCES]
    assert [round(100 * gain, 1) for gain in gains] == [4.0, 5.6, 6.8]
    assert found.usual == gains[1]
    assert found.margin_rows == pytest.approx(3923, abs=1)
    few = detectable_gains(["a", "b", "c"], 0.0)  # nor do any rows show a margin of nothing
    assert few.usual is few.margin_rows is None


def test_the_rows_needed_have_the_power_that_is_claimed() -> None:
    """Paired answers with 20 % discordance and a true gain of 5 points, tested by mid-p."""
    rng = np.random.default_rng(0)
    rows = detectable_gains(["a"], 0.05).margin_rows
    draws = rng.multinomial(rows, [0.125, 0.075, 0.8], size=2000)
    found = np.mean([b > c and mcnemar_midp(int(b), int(c)) < 0.05 for b, c, _ in draws])
    assert 0.77 <= found <= 0.84


def test_a_plan_without_data_golden() -> None:
    found = before_data(Wishes(classes=8, gain=0.03, minutes_per_label=2, hourly_rate=30))
    assert (found.test.low, found.test.usual, found.test.high) == (870, 1742, 2614)
    assert [8 * each for each in PER_CLASS] == [64, 160, 512]
    assert found.rows.usual == 1742  # the same rows are asked and learnt from
    assert found.hours.usual == pytest.approx(1742 / 30)
    assert found.usd.usual == pytest.approx(1742)
    bare = before_data(Wishes(classes=3, gain=0.02))
    assert bare.usd is bare.target_rows is None
    many = before_data(Wishes(classes=500, gain=0.05))  # more rows to learn from than to test
    assert many.rows.usual == round(20 * 500 / TRAINING_SHARE)


def test_rows_for_a_target_have_the_power_that_is_claimed() -> None:
    rows = rows_for_target(0.9, 0.03)
    right = np.random.default_rng(3).binomial(rows, 0.93, size=4000) / rows
    half = 1.96 * np.sqrt(0.9 * 0.1 / rows)
    assert np.mean(right - half > 0.9) == pytest.approx(0.8, abs=0.03)
    # The same formula, in the library's words: a one-sample test of means with unit variance is
    # exact where both variances agree.
    same = NormalIndPower(ddof=0).solve_power(0.1, alpha=0.05, power=0.8, ratio=0)
    assert rows_for_target(0.5, 0.05) == pytest.approx(same, rel=0.01)
    # Near 1 a tenth of the errors is left.
    assert rows_for_target(0.99, 0.05) == rows_for_target(0.99, 0.009)


MARGIN = 0.02


def scores(rng: np.random.Generator, lead: float, rows: int, apart: float) -> np.ndarray:
    """Return (2, rows) scores of which a share `apart` differs, the first ahead by `lead`."""
    lot = rng.random(rows)
    first, second = lot < (apart + lead) / 2, lot > 1 - (apart - lead) / 2
    both = (rng.random(rows) < 0.7) & ~first & ~second
    return np.stack([first | both, second | both]).astype(float)


def decided(lead: Difference) -> bool:
    return (lead.low > 0 and lead.value >= MARGIN) or lead.high < MARGIN


def test_a_chance_that_is_named_comes_true() -> None:
    """Leads are drawn as they are expected to be; the rows that are asked for are added."""
    rng = np.random.default_rng(20)
    came: dict[str, list[bool]] = {"even": [], "likely": []}
    for _ in range(1500):
        lead, apart = float(np.clip(rng.normal(0, SPREAD), -0.2, 0.2)), 0.25
        rows = int(rng.integers(100, 400))
        whole = scores(rng, lead, rows * 22, apart)
        found = paired_difference(*whole[:, :rows])
        if decided(found):
            continue
        needed = rows_to_decide(found, MARGIN)
        for name in came:
            count = getattr(needed, name) if needed else None
            if count is not None:
                came[name].append(decided(paired_difference(*whole[:, :count])))
    for name, chance in (("even", 0.5), ("likely", 0.8)):
        hits = came[name]
        assert len(hits) > 200
        assert abs(np.mean(hits) - chance) < 0.04 + 2 * sqrt(0.25 / len(hits)), name


def test_more_rows_settle_more_surely_unless_run_variance_is_the_doubt() -> None:
    rng = np.random.default_rng(3)
    found = paired_difference(*scores(rng, 0.05, 200, 0.25))
    chances = chance_to_decide(found, MARGIN, np.array([1.1, 2.0, 5.0, 15.0, 1e6]))
    assert (np.diff(chances) > 0).all()
    assert chances[0] < 0.3
    assert chances[-1] == pytest.approx(1, abs=0.01)
    few = paired_difference(*scores(rng, 0.05, 20_000, 0.25))
    assert rows_to_decide(few, 0.5) is not None, "that it is below such a margin is seen at once"


def test_rows_at_hand_are_not_labelled_again() -> None:
    found = paired_difference(*scores(np.random.default_rng(3), 0.05, 200, 0.25))
    needed, more = rows_to_decide(found, MARGIN), more_rows(found, MARGIN, labelled=200)
    assert more.even == needed.even - 200
    assert needed.likely is None or more.likely == needed.likely - 200
    assert more_rows(found, MARGIN, labelled=needed.even) is None

"""How many test rows settle a question: the chances that are named are those that come true."""

from math import sqrt

import numpy as np
import pytest

from choose.judge.decision.contenders import relation
from choose.judge.decision.more_labels import (
    answered_too_few,
    chance_to_decide,
    more_rows,
    rows_to_decide,
)
from choose.judge.scores.joint_distribution import SPREAD
from choose.judge.stats.paired import paired_difference

MARGIN = 0.02


def scores(rng: np.random.Generator, lead: float, rows: int, apart: float) -> np.ndarray:
    """Return (2, rows) scores of which a share `apart` differs, the first ahead by `lead`."""
    lot = rng.random(rows)
    first, second = lot < (apart + lead) / 2, lot > 1 - (apart - lead) / 2
    both = (rng.random(rows) < 0.7) & ~first & ~second
    return np.stack([first | both, second | both]).astype(float)


def test_a_chance_that_is_named_comes_true() -> None:
    """Leads are drawn as they are expected to be; the rows that are asked for are added."""
    rng = np.random.default_rng(20)
    came: dict[str, list[bool]] = {"even": [], "likely": []}
    for _ in range(1500):
        lead, apart = float(np.clip(rng.normal(0, SPREAD), -0.2, 0.2)), 0.25
        rows = int(rng.integers(100, 400))
        whole = scores(rng, lead, rows * 22, apart)
        found = paired_difference(*whole[:, :rows])
        if relation(found, MARGIN) != "open":
            continue
        needed = rows_to_decide(found, MARGIN)
        for name in came:
            count = getattr(needed, name) if needed else None
            if count is not None:
                then = paired_difference(*whole[:, :count])
                came[name].append(relation(then, MARGIN) != "open")
    for name, chance in (("even", 0.5), ("likely", 0.8)):
        hits = came[name]
        assert len(hits) > 200
        assert abs(np.mean(hits) - chance) < 0.04 + 2 * sqrt(0.25 / len(hits)), name


def test_more_rows_settle_more_surely_unless_run_variance_is_the_doubt() -> None:
    rng = np.random.default_rng(3)
    found = paired_difference(*scores(rng, 0.05, 200, 0.25))
    times = np.array([1.1, 2.0, 5.0, 15.0, 1e6])
    chances = chance_to_decide(found, MARGIN, times)
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


def test_rows_that_were_not_asked_come_before_rows_that_are_not_labelled() -> None:
    chooser = np.random.default_rng(5)
    better = (chooser.random(25) < 0.84).astype(float)[:, None]
    worse = (chooser.random(25) < 0.72).astype(float)[:, None]
    found = paired_difference(better, worse)
    assert found.run_share < 0.5
    assert answered_too_few(found, labelled=5_000)
    assert more_rows(found, 0.02, labelled=5_000) is None
    assert not answered_too_few(found, labelled=25), "all that are labelled were asked"
    more = more_rows(found, 0.02, labelled=25)
    assert more is not None
    assert more_rows(found, 0.02, labelled=26) is None, "one labelled row was not asked"

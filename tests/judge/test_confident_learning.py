"""Confident learning agrees with cleanlab, whose authors wrote the paper."""

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint, estimate_joint

from choose.judge.diagnosis.label_noise import NONE, confident_labels, joint_distribution


def noisy(seed: int, rows: int = 400, labels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which some are wrong, and probabilities that know better."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, labels, rows)
    given = np.where(rng.random(rows) < 0.15, rng.integers(0, labels, rows), truth)
    scores = rng.gumbel(size=(rows, labels))
    scores[np.arange(rows), truth] += rng.choice([0.0, 2.0, 4.0], rows)
    odds = np.exp(scores)
    return given, odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_counts_and_joint_distribution_are_those_of_cleanlab(seed: int) -> None:
    given, probabilities = noisy(seed)
    counted = confident_labels(given, probabilities)
    sure = counted != NONE
    counts = np.zeros((5, 5), dtype=int)
    np.add.at(counts, (given[sure], counted[sure]), 1)
    theirs = compute_confident_joint(given, probabilities, calibrate=False)
    assert (counts == theirs).all()
    # cleanlab rounds the joint counts to whole rows.
    theirs = estimate_joint(given, probabilities)
    assert joint_distribution(given, counted, 5) == pytest.approx(theirs, abs=1 / len(given))

"""The accuracy of cross-fitted folds: its interval, and what it holds in simulated studies."""

from __future__ import annotations

import numpy as np
import pytest

from choose.judge.measures.build_scorecard import accuracy
from choose.judge.scores.score_tables import study_scores
from choose.judge.stats.intervals import growth_of_folds, two_way_interval, wilson
from support.simulated_studies import majority, prompt, study, tfidf

ROWS, OUTSIDE = 150, 3000


@pytest.mark.parametrize(
    ("folds", "labelled", "learnt", "growth"),
    [
        ([60] * 5, 300, 240, 1.5),
        ([20] * 5, 100, 80, 1.5),
        ([200] * 5, 1000, 800, 1.15),
        ([600], 3000, 2400, 1.0),
        ([600, 600], 3000, 2400, 1.0125),
        ([60, 0, 0, 0, 0], 300, 240, 1.0),
        ([0], 300, 240, 1.0),
        ([60] * 5, 300, 0, 1.0),
    ],
)
def test_growth_of_folds(folds, labelled, learnt, growth):
    assert growth_of_folds(folds, labelled, learnt) == pytest.approx(growth)


def test_only_what_learns_from_the_other_folds_has_a_wider_interval():
    players = [majority(), tfidf(0.7), prompt(0.7)]
    crossed, held_out = (study_scores(study(players, 400, 1, folds=folds)) for folds in (5, 1))
    for scores, wider in ((crossed, {"tfidf"}), (held_out, set())):
        for candidate in scores.scored:
            right = candidate.main.right
            low, high = wilson(float(right.sum()), len(right))
            found = accuracy(candidate)
            assert found.high - found.low >= high - low - 1e-12
            assert (found.high - found.low > 1.05 * (high - low)) == (candidate.info.name in wider)


def test_growth_is_of_the_variance_from_rows():
    right = np.random.default_rng(3).integers(0, 2, (400, 1)).astype(float)
    plain, grown = two_way_interval(right), two_way_interval(right, growth=1.5)
    assert (grown.high - grown.low) / (plain.high - plain.low) == pytest.approx(1.5**0.5)
    assert grown.value == plain.value


def nearest(learnt, codes, asked):
    likeness = 2 * asked @ learnt.T - (learnt**2).sum(axis=1)
    return codes[likeness.argmax(axis=1)]


@pytest.mark.slow
def test_coverage_of_a_cross_fitted_accuracy():
    """Nearest neighbours: two like rows of different folds are right together or wrong together."""
    rng, labels = np.random.default_rng(11), 4
    means = np.random.default_rng(12).standard_normal((labels, 2))
    outside = rng.integers(0, labels, OUTSIDE)
    asked = means[outside] + rng.standard_normal((OUTSIDE, 2))
    fold = np.arange(ROWS) % 5
    grown = growth_of_folds([ROWS // 5] * 5, ROWS, ROWS * 4 // 5)
    alone, counted = [], []
    for _ in range(400):
        codes = rng.integers(0, labels, ROWS)
        rows = means[codes] + rng.standard_normal((ROWS, 2))
        right, truth = 0, []
        for learnt, tested in ((fold != part, fold == part) for part in range(5)):
            every = np.concatenate([rows[tested], asked])
            hit = nearest(rows[learnt], codes[learnt], every) == np.concatenate(
                [codes[tested], outside]
            )
            right += int(hit[: tested.sum()].sum())
            truth.append(hit[tested.sum() :].mean())
        for growth, kept in ((1.0, alone), (grown, counted)):
            low, high = wilson(right / growth, ROWS / growth)
            kept.append(low <= np.mean(truth) <= high)
    assert np.mean(alone) < 0.92
    assert 0.93 <= np.mean(counted) <= 0.98

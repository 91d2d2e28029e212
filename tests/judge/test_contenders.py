"""What choosing now is expected to cost, where not everybody answered every row."""

from __future__ import annotations

import numpy as np

from choose.judge.decision.more_labels import answered_too_few, more_rows
from choose.judge.scores.family_comparison import _means
from choose.judge.stats.paired import paired_difference


def test_a_candidate_that_was_asked_easy_rows_is_measured_against_who_finds_them_easy_too() -> None:
    chooser = np.random.default_rng(3)
    easy = np.arange(600) < 120
    probe = (chooser.random(600) < np.where(easy, 0.9, 0.78)).astype(float)[:, None]
    majority = (chooser.random(600) < 0.15).astype(float)[:, None]
    majority[:30] = 1.0  # by chance also right more often where the easy rows are
    lora = np.where(easy[:, None], probe, np.nan)
    whole = np.ones((1, 600), dtype=np.float32)
    for order in ((majority, probe), (probe, majority)):
        means = _means((*order, lora), whole, chooser)[0]
        places = (1, 0)[order[0] is probe]
        assert means[2] == np.float32(means[places]), "it answers just as the probe does"
        assert abs(means[places] - probe.mean()) < 1e-6


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

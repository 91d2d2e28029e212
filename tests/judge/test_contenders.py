"""Rows that are labelled come before rows to label."""

import numpy as np

from choose.judge.decision.more_labels import answered_too_few, more_rows
from choose.judge.stats.paired import paired_difference


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

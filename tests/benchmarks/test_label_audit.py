"""The list of doubted labels, where errors were planted: the committed benchmark in small."""

from pathlib import Path

import pytest

import label_audit
from choose.judge.diagnosis.label_noise import SKILLED


@pytest.mark.slow
def test_half_of_a_list_is_wrong_and_weak_auditors_have_none(tmp_path: Path) -> None:
    """D4: the list of an auditor at chance was 113 of 150 correct labels."""
    drawn = list(label_audit.audited(tmp_path, 250, seed=1))  # simulated alone: the folder is empty
    assert not any(d.listed or d.estimate for d in drawn if d.skill < SKILLED)
    skilled = [d for d in drawn if d.skill >= SKILLED]
    assert len(skilled) >= 30
    noisy = label_audit.figures([d for d in skilled if d.rate])
    assert noisy.with_list >= 15
    assert noisy.precision >= 0.5
    every = label_audit.figures(skilled)
    assert every.estimates == len(skilled)
    assert every.above + every.below <= label_audit.MISSED * every.estimates
    clean = [d for d in skilled if not d.rate]
    assert sum(d.listed for d in clean) <= label_audit.CLEAN * sum(d.rows for d in clean)


def test_a_list_is_graded_by_hand() -> None:
    drawn = [
        label_audit.Drawn(100, 3, 0.05, 0.9, listed=4, wrong=3, planted=5, estimate=(0.06, 0.1)),
        label_audit.Drawn(100, 3, 0.05, 0.7, listed=2, wrong=0, planted=5, estimate=(0.01, 0.05)),
        label_audit.Drawn(100, 3, 0.05, 0.1, listed=0, wrong=0, planted=5),
    ]
    found = label_audit.figures(drawn)
    assert (found.sets, found.with_list, found.listed) == (3, 2, 6)
    assert found.precision == 0.375
    assert found.half == 0.5
    assert found.recall == 0.2
    assert (found.estimates, found.above, found.below) == (2, 1, 0)

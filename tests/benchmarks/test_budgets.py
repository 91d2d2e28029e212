"""Smaller budgets are whole studies cut where time ran out; flips of the family are counted."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import budgets as bench
from choose.judge.evidence import Evidence
from simulation.evidence import evidence
from simulation.thinned import CLEAN, budgets, thin
from simulation.worlds import draw


@pytest.fixture(scope="module")
def study() -> Evidence:
    rng = np.random.default_rng(3)
    return evidence(replace(draw("cross-fit", "report", rng), rows=600), rng)


def answers(study: Evidence) -> dict[tuple[str, int, int], dict[str, str | None]]:
    """Return the clean answers by id of each trial: candidate, fold and repetition."""
    return {
        (r.trial.candidate, r.trial.fold, r.trial.draw): dict(
            zip(r.asked[CLEAN], r.answers[CLEAN].outputs, strict=True)
        )
        for r in study.runs
    }


def asked(study: Evidence, name: str) -> int:
    return sum(len(rows) for (candidate, *_), rows in answers(study).items() if candidate == name)


def test_a_smaller_budget_is_a_part_of_a_larger_one(study: Evidence) -> None:
    ladder = budgets(study)
    assert ladder[0] >= 3 * 25
    assert all(abs(b - 2 * a) <= 1 for a, b in pairwise(ladder))
    parts = [answers(thin(study, rows, np.random.default_rng(1))) for rows in ladder]
    assert parts[-1] == answers(study)
    for small, large in pairwise(parts):
        for trial, rows in small.items():
            assert rows.items() <= large[trial].items()


@pytest.mark.slow
def test_a_world_is_climbed_from_few_rows_to_all_and_repeats() -> None:
    ladder = bench.world("cross-fit", 4)
    assert len(ladder.rungs) > 1
    assert [r.rows for r in ladder.rungs] == sorted(r.rows for r in ladder.rungs)
    assert ladder == bench.world("cross-fit", 4)
    assert all(r.right is not None for r in ladder.rungs)

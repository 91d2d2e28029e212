"""Smaller budgets are whole studies cut where time ran out; flips of the family are counted."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import budgets as bench
from choose.judge.evidence import Evidence
from simulation.evidence import evidence
from simulation.thinned import CLEAN, budgets, cut, thin
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


def test_slow_candidates_answer_the_same_rows_and_fast_ones_all(study: Evidence) -> None:
    few = thin(study, 150, np.random.default_rng(1))
    slow = [c.name for c in study.candidates if not c.cheap]
    assert {name: asked(few, name) for name in slow} == dict.fromkeys(slow, 50)
    rows = [set(answers(few)[name, 0, 0]) for name in slow]
    assert all(own == rows[0] for own in rows)
    for name in ("majority", "tfidf", "probe"):
        assert asked(few, name) == asked(study, name)


def test_a_trial_that_is_cut_says_what_it_left_unasked(study: Evidence) -> None:
    run = next(r for r in study.runs if r.trial.candidate == "lora")
    order = {id: place for place, id in enumerate(reversed(study.items.ids))}
    part = cut(run, 30, order)
    assert part is not None
    assert part.unasked == len(run.asked[CLEAN]) - 30
    assert set(part.asked[CLEAN]) == set(sorted(run.asked[CLEAN], key=order.__getitem__)[:30])
    assert cut(run, 0, order) is None
    assert cut(run, 10_000, order) is run


def rung(family: str, **more: object) -> bench.Rung:
    fields = {"rows": 50, "lost": (), "kind": "collect-labels", "word": "open"}
    fields |= more
    return bench.Rung(family=family, **fields)  # type: ignore[arg-type]


def test_flips_are_counted_by_doubling() -> None:
    ladder = bench.Ladder(
        source="s",
        rungs=(
            rung("baseline"),
            rung("prompting"),
            rung("prompting"),
            rung("fine-tuning", lost=("prompting",), kind="adopt"),
        ),
    )
    assert bench.count([ladder]) == bench.Flips(doublings=3, flips=2, lost=1, named=0)
    assert next(iter(bench.missed([ladder]))).startswith("family changed in 66.7 %")
    known = replace(ladder, source="cross-fit")
    assert list(bench.missed([known])) == []


def test_a_word_that_is_not_earned_is_a_missed_target() -> None:
    sure = rung("baseline", word="sure", right=True)
    wrong = replace(sure, right=False)
    ladders = [bench.Ladder(source="cross-fit", rungs=(sure,) * 18 + (wrong,) * 3)]
    assert "right where it is called sure, from 50 rows: 85.7 % of 21" in "".join(
        bench.missed(ladders)
    )
    assert list(bench.missed([bench.Ladder(source="ties", rungs=(wrong,) * 30)])) == []


@pytest.mark.slow
def test_a_world_is_climbed_from_few_rows_to_all_and_repeats() -> None:
    ladder = bench.world("cross-fit", 4)
    assert len(ladder.rungs) > 1
    assert [r.rows for r in ladder.rungs] == sorted(r.rows for r in ladder.rungs)
    assert ladder == bench.world("cross-fit", 4)
    assert all(r.right is not None for r in ladder.rungs)

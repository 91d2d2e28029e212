"""Replayed decisions on sets whose answers are records: stored scores, and how they are graded."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import regret
from replay.answers import (
    read_all,
)
from replay.candidates import RECORD_KINDS
from replay.grading import JUDGE, RECORD_RULES
from replay.sources import RECORD_SETS
from replay.studies import draw
from replay.summary import tally
from replay.truth import truth_of
from support.stored_answers import METRIC, answered

LEVEL = dict.fromkeys(RECORD_KINDS, 0.7)
COMMITTED = Path(regret.__file__).parent / "replay" / "answers"
SET = "restaurant8k"


@pytest.fixture
def data(tmp_path):
    """Bookings for a number of people on a day; half of the test rows name no day that is known."""
    folder = tmp_path / "data" / SET
    folder.mkdir(parents=True)
    rows = [
        {"text": f"a table for {n} on {day} please", "target": {"people": str(n), "date": day}}
        for n in range(2, 32)
        for day in ("monday", "friday")
    ]
    asked = [
        {"text": f"please a table for {n} on {day}", "target": {"people": str(n), "date": day}}
        for n in range(2, 12)
        for day in ("monday", "doomsday")
    ]
    for name, some in (("train", rows), ("test", asked)):
        written = [json.dumps({**row, "id": i, "requested": ""}) for i, row in enumerate(some)]
        (folder / f"{name}.jsonl").write_text("\n".join(written) + "\n")
    return folder.parent


def test_equal_candidates_have_no_regret_and_unequal_ones_their_distance():
    levels = {"empty": 0.3, "nearest": 0.5, "tagger": 0.7, "lora": 0.8}
    equal, apart = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        made = answered(LEVEL, rows=700, few=700, seed=seed, metric=METRIC)
        occasion = draw(made, rng)
        truth = truth_of(occasion, tuple(occasion.draws), 0.02, rng)
        equal.append(np.mean([truth.regret(name) for name in occasion.draws]))
        made = answered(levels, seed=seed, metric=METRIC)
        occasion = replace(draw(made, rng), draws=dict.fromkeys(("empty", "tagger", "lora"), (0,)))
        truth = truth_of(occasion, ("empty", "tagger", "lora"), 0.02, rng)
        assert truth.families == ("", "baseline", "fine-tuning")
        assert truth.excess("tagger") == pytest.approx(max(0, truth.regret("tagger") - 0.02))
        apart.append(truth.regret("tagger"))
    assert abs(np.mean(equal)) < 3 * np.std(equal) / np.sqrt(60)
    assert np.mean(apart) == pytest.approx(0.1, abs=3 * np.std(apart) / np.sqrt(60))


@cache
def committed_tally():
    return tally(regret.replay(COMMITTED, 400, 1, of_records=True), RECORD_RULES)


@pytest.mark.slow
def test_on_the_committed_records_the_judge_does_no_worse_than_rules_of_thumb():
    sets = read_all(COMMITTED)
    assert {name for name, found in sets.items() if found.metric} == set(RECORD_SETS)
    found = committed_tally()
    assert found.false_family.value <= 0.05
    assert found.rules[JUDGE].excess.value <= 0.003


@pytest.mark.slow
def test_on_the_committed_records_the_judge_pays_needlessly_no_more_often():
    rules = committed_tally().rules
    assert rules[JUDGE].needless.value <= rules["highest score"].needless.value

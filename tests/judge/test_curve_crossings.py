"""Where one candidate overtakes another, inside the data and beyond it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from choose.judge.decision.contenders import contenders_of
from choose.judge.decision.curve_crossings import (
    FORECAST,
    MEASURED,
    crossings_of,
    forecast_crossings,
)
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.report.decision_text import forecast_lines
from choose.schema.decision import Crossing, Decision
from simulation.setting import SimulatedCandidate
from support import simulated_studies as worlds

RISING = {25: 0.45, 50: 0.55, 100: 0.65, 200: 0.74}
SLOW = {25: 0.62, 50: 0.64, 100: 0.66, 200: 0.675}


def lora(accuracy: float = 0.82, at: Any = RISING, **more: Any) -> SimulatedCandidate:
    return worlds.lora(accuracy, at=at, luck=0.05, **more)


def crossings(
    *players: SimulatedCandidate, rows: int = 1500, seed: int = 3
) -> tuple[Crossing, ...]:
    return crossings_of(
        contenders_of(study_scores(worlds.study(list(players), rows, seed)), Rule())
    )


def test_a_crossing_between_measured_sizes_is_shown_with_its_labels():
    """By construction lora passes tfidf between 100 labels (a point behind) and 200 (6.5 ahead)."""
    found = crossings(worlds.tfidf(0.69, at=SLOW, seeds=3, luck=0.05), lora())
    assert len(found) == 1
    assert (found[0].a, found[0].b) == ("lora", "tfidf")
    labels = found[0].labels
    assert labels is not None
    assert labels.estimand == MEASURED
    assert labels.low in (50, 100)
    assert labels.high == 200
    assert labels.low <= labels.value <= labels.high
    assert labels.value == pytest.approx(110, abs=30)
    assert found[0].probability is None


def test_what_learns_nothing_is_crossed_as_a_flat_line():
    """A prompted model answers alike at every size; lora passes its 0.6 between 50 and 100."""
    study = worlds.study([worlds.prompt(0.6), lora()], 1500, 3)
    infos = tuple(replace(c, learns=c.name != "prompt") for c in study.candidates)
    found = crossings_of(contenders_of(study_scores(replace(study, candidates=infos)), Rule()))
    assert [(c.a, c.b) for c in found] == [("lora", "prompt")]
    assert found[0].labels is not None
    assert 50 <= found[0].labels.value <= 100


@pytest.mark.slow
def test_two_equal_candidates_hardly_ever_cross():
    """40 studies of a tie at every size: a crossing needs two certain signs, each by luck."""
    shown = 0
    for seed in range(40):
        tied = worlds.tfidf(0.7, at=SLOW, seeds=3, luck=0.1)
        found = crossings(tied, lora(0.7, at=SLOW), rows=300, seed=seed)
        shown += sum(c.labels is not None and c.labels.estimand == MEASURED for c in found)
    assert shown <= 2


def test_a_candidate_behind_but_rising_is_foretold_to_overtake():
    ahead = worlds.tfidf(0.78, at=dict.fromkeys(SLOW, 0.78), seeds=3, luck=0.05)
    rising = lora(0.74, at={25: 0.46, 50: 0.53, 100: 0.6, 200: 0.67})
    found = crossings(ahead, rising)
    assert [(c.a, c.b) for c in found] == [("lora", "tfidf")]
    assert found[0].labels is not None
    assert found[0].labels.estimand == FORECAST
    assert 400 < found[0].labels.value <= 1600
    assert found[0].probability is not None
    assert 0.5 <= found[0].probability <= 1


def test_nothing_is_foretold_of_two_sizes():
    ahead = worlds.tfidf(0.78, at={200: 0.78}, seeds=3, luck=0.05)
    study = worlds.study([ahead, lora(0.74, at={200: 0.67})], 800, 3)
    assert forecast_crossings(contenders_of(study_scores(study), Rule())) == ()


def decide(rule: Rule, *players: SimulatedCandidate) -> Decision:
    return judge(worlds.study([worlds.majority(), *players], 1500, 3), rule)


def test_a_target_in_reach_asks_for_labels_with_interval_and_probability():
    rising = lora(0.74, at={25: 0.46, 50: 0.53, 100: 0.6, 200: 0.67})
    found = decide(Rule(target=0.8, minutes_per_label=2.0), rising)
    assert found.verdict.kind == "collect-labels"
    assert "lora would reach 80 % with about" in found.verdict.headline
    assert "probability" in found.verdict.headline
    step = next(s for s in found.verdict.next if "would reach" in s)
    assert re.search(r"more labels \([\d,]+ to ", step)
    assert "hours" in step
    forecast = next(f for f in found.forecasts if f.candidate == "lora")
    assert forecast.target is not None
    assert forecast.target.probability >= 0.5


def test_a_target_out_of_reach_is_said_to_be():
    flat = lora(0.74, at={25: 0.7, 50: 0.72, 100: 0.73, 200: 0.735})
    found = decide(Rule(target=0.95), flat)
    assert found.verdict.kind == "none-works"
    assert any("unlikely to reach 95 %" in s for s in found.verdict.flips)


def test_records_survive_the_file_and_each_candidate_has_a_line():
    found = decide(Rule(target=0.9), lora())
    again = Decision.model_validate_json(found.model_dump_json(by_alias=True))
    assert again.forecasts == found.forecasts
    lines = list(forecast_lines(found))
    assert len(lines) == 1
    assert lines[0].startswith("lora: ")
    assert "with 1,600 labels" in lines[0]


def test_an_old_record_without_forecasts_loads():
    stored = decide(Rule(), lora()).model_dump(by_alias=True)
    del stored["forecasts"]
    assert Decision.model_validate(stored).forecasts == ()

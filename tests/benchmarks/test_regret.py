"""Replayed decisions on real sets: what is stored, what counts as true, how rules are graded."""

import json
import re
from pathlib import Path

import pytest

import margins
import regret
import reliability
from reliability import Stated
from replay.answers import read_all
from replay.grading import JUDGE, RECORD_RULES
from replay.sources import RECORD_SETS
from replay.summary import REGRET, tally

COMMITTED = Path(regret.__file__).parent / "replay" / "answers"


@pytest.mark.slow
def test_the_command_reports_and_fails_on_a_missed_target(tmp_path, capsys, monkeypatch):
    few = ["--data", str(tmp_path), "--decisions", "8", "--processes", "1"]
    monkeypatch.setattr("replay.summary.EXCESS", -1.0)
    assert regret.main(few) == 1
    told = capsys.readouterr().out
    assert re.match(r"\d decisions on ", told)
    assert "excess regret of what is used" in told.split("Missed targets:")[1]
    assert regret.main([*few, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert sum(one["decisions"] for one in found.values()) == 8
    assert len(found["labels"]["missed"]) >= 1
    assert regret.main(["--answers", str(tmp_path / "none")]) == 2


@pytest.mark.slow(seconds=25)
def test_on_the_committed_answers_the_judge_does_better_than_rules_of_thumb():
    """The targets are for `regret.py` to hold; this is what holds whatever is stored."""
    every = tally(regret.replay(COMMITTED, 500, 1))
    assert every.open_though_clear.value <= 0.10
    found = every.rules
    mine, naive = found[JUDGE], found["highest score"]
    assert mine.regret.value <= naive.regret.value + REGRET
    assert mine.needless.value < naive.needless.value
    for rule in ("one standard error", "always prompt", "always probe"):
        assert found[rule].more.value > 0


@pytest.mark.parametrize(("right", "named"), [(10, True), (60, False), (90, True)])
def test_a_tenth_of_a_hundred_decisions_is_named_if_it_is_off_to_either_side(right, named):
    stated = [Stated(0.6, n < right, True) for n in range(100)]
    assert bool([*reliability.missed(stated)]) is named
    assert not [*reliability.missed(stated[1:])]


def test_chances_at_several_margins_are_reported_of_labels_and_of_records(capsys):
    assert margins.main(["--decisions", "7", "--first", "1"]) == 0
    told = capsys.readouterr().out
    assert told.count("stated chance") == 4
    assert "records, margins (0.01, 0.02, 0.03, 0.05)" in told


@pytest.mark.slow
def test_on_the_committed_records_the_judge_does_no_worse_than_rules_of_thumb():
    assert {name for name, found in read_all(COMMITTED).items() if found.metric} == set(RECORD_SETS)
    found = tally(regret.replay(COMMITTED, 400, 1, of_records=True), RECORD_RULES)
    assert found.false_family.value <= 0.05
    assert found.rules[JUDGE].excess.value <= 0.003
    assert found.rules[JUDGE].needless.value <= found.rules["highest score"].needless.value

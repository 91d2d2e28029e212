"""Replayed decisions on real sets: what is stored, what counts as true, how rules are graded."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import regret
from replay.answers import changed, read_all, restore_packed, unpack, write_packed
from replay.fits import Worker, measure
from replay.grading import JUDGE, RECORD_RULES
from replay.plan import SIZES, Place, plan
from replay.sources import RECORD_SETS, SETS, read
from replay.summary import REGRET, tally

COMMITTED = Path(regret.__file__).parent / "replay" / "answers"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def data(tmp_path):
    """Two classes told apart by a word, half of the test rows by a word that nobody learnt."""
    folder = tmp_path / "data" / "trec6"
    folder.mkdir(parents=True)
    rows = [f"the {word} runs {n},{word}" for n in range(60) for word in ("cat", "dog")]
    asked = [f"a {word} sleeps {n},{word}" for n in range(10) for word in ("cat", "dog")]
    asked += [f"nothing of the kind {n},{word}" for n in range(10) for word in ("cat", "dog")]
    for name, lines in (("train", rows), ("test", asked)):
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *lines, ""]))
    return folder.parent


def test_gathering_goes_on_where_it_stopped_and_packs_what_is_there(data, tmp_path):
    place = Place(data=data, kept=tmp_path / "kept", rows=(16,))
    fits = [f for f in plan(["trec6"]) if f.candidate in ("majority", "tfidf") and f.draw < 2]
    first = Worker(place, fits[:3], np.inf)
    assert len(list(first.work())) == 3
    again = list(Worker(place, fits, np.inf).work())
    assert len(again) == len(fits) - 3
    assert write_packed(place, fits, tmp_path / "packed") == 0
    found = read_all(tmp_path / "packed")["trec6"]
    assert not list(Worker(place, fits, np.inf).work())
    assert set(found.sizes) == set(SIZES)
    source = read(data, "trec6")
    record = measure(fits[-1], source.dataset(source.sample(0, 40)), np.inf)
    stored = found.fitted(fits[-1].candidate, fits[-1].size)[fits[-1].draw]
    assert (stored.scores == unpack(record["right"], 40)).all()
    assert not list(changed({"trec6": found}, data))
    elsewhere = replace(place, kept=tmp_path / "elsewhere")
    assert restore_packed(elsewhere, fits, tmp_path / "packed") == len(fits)
    assert restore_packed(elsewhere, fits, tmp_path / "packed") == 0
    assert [elsewhere.finished(fit) for fit in fits] == [place.finished(fit) for fit in fits]
    assert restore_packed(replace(elsewhere, rows=(8,)), fits, tmp_path / "packed") == 0


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


@pytest.mark.data
def test_the_committed_answers_are_to_the_files_beside_the_project():
    if not DATA.is_dir():
        pytest.skip("the real sets are not beside the project")
    sets = read_all(COMMITTED)
    assert set(sets) == set(SETS)
    assert not list(changed(sets, DATA))


@pytest.mark.slow
def test_on_the_committed_records_the_judge_does_no_worse_than_rules_of_thumb():
    sets = read_all(COMMITTED)
    assert {name for name, found in sets.items() if found.metric} == set(RECORD_SETS)
    found = tally(regret.replay(COMMITTED, 400, 1, of_records=True), RECORD_RULES)
    assert found.false_family.value <= 0.05
    assert found.rules[JUDGE].excess.value <= 0.003
    assert found.rules[JUDGE].needless.value <= found.rules["highest score"].needless.value

"""Replayed decisions on real sets: what is stored, what counts as true, how rules are graded."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import regret
from replay.answers import changed, read_all, restore_packed, unpack, write_packed
from replay.candidates import KINDS
from replay.fits import Worker, measure
from replay.grading import JUDGE
from replay.plan import SIZES, Place, plan
from replay.sources import SETS, read
from replay.studies import draw
from replay.summary import REGRET, tally
from replay.truth import truth_of
from support.stored_answers import answered, write

LEVEL = dict.fromkeys(KINDS, 0.7)
SPREAD = {**LEVEL, "majority": 0.3, "tfidf": 0.6, "prompt": 0.4, "lora": 0.82, "retrieval": 0.6}
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


def test_equal_candidates_have_no_regret_though_one_always_looks_best():
    """On 1,400 rows the best of nine looks better than it is; cross-fitted it does not."""
    regrets, strict, naive = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        occasion = draw(answered(LEVEL, rows=700, few=700, seed=seed), rng)
        names = tuple(occasion.draws)
        truth = truth_of(occasion, names, 0.02, rng)
        regrets.append(np.mean([truth.regret(name) for name in names]))
        strict.append(np.mean([truth.strict_excess(name) for name in names]))
        whole = (truth.namer + truth.measurer).mean(axis=0) / 2
        naive.append(whole.max() - whole.mean())
    error = np.std(regrets) / np.sqrt(len(regrets))
    assert abs(np.mean(regrets)) < 3 * error
    assert np.mean(strict) < 0.0005
    assert np.mean(naive) > 0.01


def test_the_gap_between_unequal_candidates_is_what_it_is():
    gaps = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        occasion = draw(answered({"majority": 0.3, "tfidf": 0.7, "probe": 0.8}, seed=seed), rng)
        if "probe" in occasion.draws:
            truth = truth_of(occasion, tuple(occasion.draws), 0.02, rng)
            gaps.append(truth.regret("tfidf"))
            assert not truth.needless("probe")
            assert truth.excess("tfidf") == pytest.approx(truth.regret("tfidf") - 0.02)
            assert truth.strict_excess("tfidf") == pytest.approx(truth.excess("tfidf"), abs=0.005)
    assert np.mean(gaps) == pytest.approx(0.1, abs=3 * np.std(gaps) / np.sqrt(len(gaps)))


@pytest.mark.slow
def test_the_command_reports_and_fails_on_a_missed_target(tmp_path, capsys, monkeypatch):
    for seed in range(2):
        write(answered(SPREAD, seed=seed), tmp_path)
    few = ["--answers", str(tmp_path), "--data", str(tmp_path), "--decisions", "8"]
    few += ["--processes", "1"]
    monkeypatch.setattr("replay.summary.EXCESS", -1.0)
    assert regret.main(few) == 1
    told = capsys.readouterr().out
    assert re.search(r"^made 0 +100 ", told, re.MULTILINE)
    assert "excess regret of what is used" in told.split("Missed targets:")[1]
    assert regret.main([*few, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["labels"]
    assert found["decisions"] == 8
    assert len(found["missed"]) >= 1
    assert found["rules"]["always prompt"]["excess"]["value"] > 0.1
    assert regret.main(["--answers", str(tmp_path / "none")]) == 2


@pytest.mark.slow(seconds=25)
def test_on_the_committed_answers_the_judge_does_better_than_rules_of_thumb():
    """The targets are for `regret.py` to hold; this is what holds whatever is stored."""
    found = tally(regret.replay(COMMITTED, 500, 1)).rules
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

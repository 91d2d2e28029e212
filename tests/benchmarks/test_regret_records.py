"""Replayed decisions on sets whose answers are records: stored scores, and how they are graded."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import regret
import regret_answers
from choose.judge.verdict import judge
from choose.strategy import build, kind_settings
from replay.answers import (
    changed,
    pack_scores,
    read_all,
    restore_packed,
    unpack_scores,
    write_packed,
)
from replay.candidates import KINDS, RECORD_KINDS
from replay.fits import Worker, measure
from replay.grading import JUDGE, RECORD_RULES, play
from replay.plan import CHEAP_DRAWS, MIDDLE, RECORD_SIZES, Fit, Place, plan, work
from replay.sources import LABEL_SETS, RECORD_SETS, read
from replay.studies import StandIns, draw, evidence, rule_for
from replay.summary import lines, missed, tally
from replay.truth import truth_of
from support.stored_answers import METRIC, answered, write

LEVEL = dict.fromkeys(RECORD_KINDS, 0.7)
SPREAD = {**LEVEL, "empty": 0.3, "tagger": 0.6, "prompt": 0.4, "lora": 0.82, "retrieval": 0.6}
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


@pytest.mark.parametrize("rows", [1, 9, 1200])
def test_scores_come_back_as_they_were(rows):
    scores = np.random.default_rng(rows).choice([0, 0.4, 0.5, 2 / 3, 0.8, 6 / 7, 1], rows)
    found = unpack_scores(pack_scores(scores), rows)
    assert np.abs(found - scores).max() <= 2**-12
    exact = np.isin(scores, [0, 0.5, 1])
    assert (found[exact] == scores[exact]).all()
    assert ((found == 1) == (scores == 1)).all()
    with pytest.raises(ValueError, match=f"{rows} numbers are not the scores"):
        unpack_scores(pack_scores(scores), rows + 1)


@pytest.mark.parametrize("score", [np.nan, -0.1, 1.1])
def test_what_is_no_score_is_not_stored(score):
    with pytest.raises(ValueError, match="from 0 to 1"):
        pack_scores(np.array([1.0, score]))


def test_a_fit_keeps_the_scores_of_its_answers_and_nothing_else(data):
    source = read(data, SET)
    assert source.metric == METRIC
    dataset = source.dataset(source.sample(0, 20))
    record = measure(Fit(set=SET, candidate="gazetteer", size=60, draw=0), dataset, np.inf)
    scores = unpack_scores(record["scores"], record["rows"])
    known = np.array(["monday" in row.text for row in source.test])
    # The gazetteer knows the number of people of each row; a day that it does not know is missing:
    # one value of two is found, none is wrong, so F1 is 2/3.
    assert (scores[known] == 1).all()
    assert scores[~known] == pytest.approx(2 / 3, abs=2**-12)
    assert "right" not in record
    assert not any(word in json.dumps(record) for word in ("monday", "table", "people"))


def test_records_are_fitted_as_compare_fits_them():
    for name, kind in RECORD_KINDS.items():
        built = build(kind.strategy, seed=0, **kind.params)
        usual = kind_settings(kind.strategy, "extraction")
        assert {key: getattr(built, key) for key in usual} == dict(usual)
        assert (built.family, built.seeded) == (kind.family, kind.seeded), name
        assert kind.constant == getattr(built, "constant", False)
    assert KINDS["retrieval"].neighbours != RECORD_KINDS["retrieval"].neighbours == 2


def test_gathered_scores_are_packed_and_read_again(data, tmp_path):
    place = Place(data=data, kept=tmp_path / "kept", rows=(8, 16))
    names = ("empty", "gazetteer", "tagger")
    fits = [f for f in plan([SET]) if f.candidate in names and f.draw < 2 and f.size < 300]
    assert len(list(Worker(place, fits, np.inf).work())) == len(fits) == 12
    assert write_packed(place, fits, tmp_path / "packed") == 0
    found = read_all(tmp_path / "packed")[SET]
    assert (found.metric, found.labels, found.rows) == (METRIC, 0, 20)
    assert found.kinds is RECORD_KINDS
    source = read(data, SET)
    record = measure(fits[-1], source.dataset([row.id for row in source.test]), np.inf)
    stored = found.fitted(fits[-1].candidate, fits[-1].size)[fits[-1].draw]
    assert (stored.scores == unpack_scores(record["scores"], 20)).all()
    assert (found.fitted("empty", 30)[0].scores == 0).all()
    assert not list(changed({SET: found}, data))
    elsewhere = replace(place, kept=tmp_path / "elsewhere")
    assert restore_packed(elsewhere, fits, tmp_path / "packed") == len(fits)
    assert [elsewhere.finished(fit) for fit in fits] == [place.finished(fit) for fit in fits]


def test_rows_that_were_not_evaluated_have_no_score(tmp_path):
    made = answered(SPREAD, metric=METRIC)
    write(made, tmp_path)
    found = read_all(tmp_path)[made.name]
    for fit in made.fits:
        again = found.fitted(fit.candidate, fit.size)[fit.draw]
        assert np.allclose(again.scores, fit.scores, atol=2**-12, equal_nan=True)
        assert (again.asked == fit.asked).all()
    assert np.isnan(found.fitted("lora", MIDDLE)[0].scores).sum() == 800
    head = json.loads((tmp_path / f"{made.name}.json").read_text())
    head["format"] = 3
    (tmp_path / f"{made.name}.json").write_text(json.dumps(head))
    with pytest.raises(ValueError, match="Format 3 of 'made 0' is not 1 or 2"):
        read_all(tmp_path)


def test_files_of_bits_are_read_as_scores_of_one_and_nothing():
    sets = read_all(COMMITTED)
    for name in LABEL_SETS:
        assert sets[name].metric is None
        for fit in sets[name].fits:
            assert set(np.unique(fit.scores[fit.asked]).tolist()) <= {0.0, 1.0}
    # Of trec6, 18.8 % of the test rows have the most frequent label.
    assert sets["trec6"].fitted("majority", 300)[0].scores.mean() == pytest.approx(0.188)


def test_the_plan_begins_with_what_is_fast_and_then_tunes_and_retrieves():
    fits = plan([*RECORD_SETS, "trec6"])
    assert len(set(fits)) == len(fits)
    assert [f for f in fits if f.set == "trec6"] == plan(["trec6"])
    of_records = [f for f in fits if f.set == SET]
    fast = len(RECORD_SIZES) * CHEAP_DRAWS * 5
    assert all(RECORD_KINDS[f.candidate].every_row for f in of_records[:fast])
    slow = of_records[fast:]
    assert not any(RECORD_KINDS[f.candidate].every_row for f in slow)
    assert [f.candidate for f in slow[:6]] == [*("lora", "retrieval") * 2, "prompt", "few-shot"]
    assert {f.size for f in slow if f.candidate == "lora"} == set(RECORD_SIZES)


def test_the_time_of_writing_records_is_forecast_before_anything_runs(data, tmp_path, capsys):
    source = read(data, SET)
    fit = Fit(set=SET, candidate="lora", size=300, draw=0)
    seconds = {
        "lora": work(fit, source, 600),
        "fewer rows to answer": work(fit, source, 100),
        "a smaller pool": work(replace(fit, size=30), source, 600),
        "nothing to learn": work(replace(fit, candidate="empty"), source, 600),
    }
    assert seconds["lora"] > seconds["fewer rows to answer"] > 0
    assert seconds["lora"] > seconds["a smaller pool"] > seconds["nothing to learn"] == 0
    told = ["--data", str(data), "--kept", str(tmp_path / "kept"), "--sets", SET, "--plan"]
    assert regret_answers.main(told) == 0
    assert f"{SET}: about" in capsys.readouterr().out
    assert not (tmp_path / "kept").exists()


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


def test_the_judge_sees_mean_scores_as_stored_and_no_verdict_hangs_on_the_stand_ins(monkeypatch):
    made = answered(SPREAD, metric=METRIC)
    seen = []
    for number in range(4):
        occasion = draw(made, np.random.default_rng(number))
        assert {"empty", "tagger"} < set(occasion.draws)
        found = judge(evidence(occasion), rule_for(made))
        for card in found.scorecards:
            fits = made.fitted(card.candidate, occasion.size)
            draws = occasion.draws[card.candidate]
            mean = np.mean([fits[d].scores[occasion.rows] for d in draws])
            assert card.accuracy.value == pytest.approx(mean)
        seen.append(found)
    assert seen[0].goal["measure"]["metric"] == METRIC
    monkeypatch.setattr(StandIns, "answers", lambda self, scores, trial: ("so",) * len(scores))
    for number, found in enumerate(seen):
        again = judge(evidence(draw(made, np.random.default_rng(number))), rule_for(made))
        assert again.verdict == found.verdict


@pytest.fixture(scope="module")
def grades():
    made = answered(SPREAD, metric=METRIC)
    return [play(made, number) for number in range(12)]


@pytest.mark.slow
def test_the_best_rule_is_told_from_bad_ones_and_a_false_family_counts(grades):
    assert play(answered(SPREAD, metric=METRIC), 5) == grades[5]
    found = tally(grades, RECORD_RULES)
    assert list(found.rules) == [JUDGE, *RECORD_RULES]
    assert found.rules["always prompt"].excess.value > 0.2
    assert found.rules["always tag"].excess.value > 0.05
    assert found.rules["always tag"].applies == 1
    assert found.rules["always fine-tune"].excess.value < 0.02
    assert found.rules[JUDGE].excess.value < 0.02
    assert found.false_family.value == 0
    wrong = [replace(g, recommends=True, family_right=False) for g in grades[:3]]
    assert tally([*wrong, *grades[3:]]).false_family.value == pytest.approx(0.25)
    unsure = [replace(g, recommends=False, family_right=False) for g in grades[:3]]
    assert tally([*unsure, *grades[3:]]).false_family.value == 0
    assert "regret in points of field-F1" in "\n".join(lines(found, grades, "field-F1"))


@pytest.mark.slow
def test_nothing_needless_is_no_missed_target(grades):
    found = tally(grades[:4], RECORD_RULES)
    free = replace(found.rules[JUDGE].needless, value=0.0)
    rules = {name: replace(found.rules[name], needless=free) for name in (JUDGE, "highest score")}
    assert not [m for m in missed(replace(found, rules=found.rules | rules)) if "needless" in m]
    dear = {JUDGE: replace(found.rules[JUDGE], needless=replace(free, value=0.01))}
    told = list(missed(replace(found, rules=found.rules | rules | dear)))
    assert [m for m in told if m.startswith("needless cost of what is used: 1.00")]


def test_sets_of_records_are_reported_apart_and_change_nothing_of_the_others(tmp_path, capsys):
    labels = {"majority": 0.3, "tfidf": 0.6, "probe": 0.7}
    write(answered(labels, rows=400, few=400), tmp_path)
    few = ["--answers", str(tmp_path), "--data", str(tmp_path), "--processes", "1", "--json"]
    regret.main([*few, "--decisions", "3"])
    alone = json.loads(capsys.readouterr().out)
    assert list(alone) == ["labels"]
    records = {"empty": 0.3, "tagger": 0.6, "nearest": 0.7}
    write(answered(records, rows=400, few=400, seed=1, metric=METRIC), tmp_path)
    regret._sets.cache_clear()
    regret.main([*few, "--decisions", "6"])
    both = json.loads(capsys.readouterr().out)
    for found in (alone["labels"], both["labels"]):
        assert found.pop("run").startswith("3 decisions on made 0 in")
    assert both["labels"] == alone["labels"]
    assert both["records"]["decisions"] == 3
    assert set(both["records"]["rules"]) == {JUDGE, *RECORD_RULES}
    regret.main([*few[:-1], "--decisions", "6"])
    told = capsys.readouterr().out
    assert "points of accuracy" in told.split("made 1")[0]
    assert "points of field-F1" in told.split("made 1", 1)[1]
    assert "Stored: % of fields (draws)" in told


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

"""Simulated studies of the oracle: their truth, their grades and the command."""

import json
from hashlib import sha256
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

import oracle
import published
from choose.api.study_evidence import rule_of
from choose.judge.goal import RULE
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from replay.answers import unpack
from simulation.evidence import evidence
from simulation.grading import differences, judged_on_disk
from simulation.truth import truth_of
from simulation.worlds import WORLDS, draw


def slow_but(worlds, quick):
    """Return all worlds as parameters; all but the named ones are slow."""
    return [pytest.param(w, marks=[] if w in quick else pytest.mark.slow) for w in worlds]


@pytest.mark.parametrize("world", slow_but(WORLDS, {"plain", "clusters", "wrong labels"}))
def test_what_is_measured_is_what_is_said_to_be_true(world):
    """Over studies, mean measured minus true accuracy is 0 within three standard errors."""
    gaps = []
    for number in range(25):
        rng = np.random.default_rng([number, 77])
        setting = draw(world, "report", rng)
        scored = study_scores(evidence(setting, rng)).scored
        truth = truth_of(setting).measured
        gaps += [float(c.main.block.mean()) - truth[c.info.name] for c in scored if c.main]
    # Candidates of a study share its items: count studies, not candidates, for the error.
    assert abs(np.mean(gaps)) <= 3 * np.std(gaps) / sqrt(25) + 1e-3


STORED = ("cross-fit", "clusters", "full grid", "budget cuts", "prices")


@pytest.mark.parametrize("world", slow_but(STORED, {"cross-fit", "budget cuts"}))
def test_a_study_judged_from_a_store_on_disk_is_judged_alike(world):
    rng = np.random.default_rng([5, 77])
    setting = draw(world, "report", rng)
    study, stated = evidence(setting, rng), setting.study
    found, stored = judge(study, rule_of(stated)), judged_on_disk(study, stated)
    assert not differences(found, stored)
    seconds = {card.candidate: card.cost.fit_seconds for card in stored.scorecards}
    assert seconds[setting.candidates[1].name] == setting.candidates[1].seconds
    other = judged_on_disk(study, {**stated, "goal": {"margin": 0.2}})
    assert "verdict" in differences(found, other), "what differs is seen"


def test_the_committed_result_says_what_the_rule_that_decides_changes():
    text = (Path(oracle.__file__).parent / "results" / "oracle.txt").read_text()
    assert f"rule {RULE} " in text.partition("\n\n")[0]


@pytest.mark.slow
def test_the_command_reports_and_fails_on_a_missed_target(capsys, monkeypatch):
    few = ["--studies", "3", "--processes", "1", "--worlds", "plain", "target"]
    oracle.main([*few, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["overall"]["studies"] == 6
    assert set(found["worlds"]) == {"plain", "target"}
    monkeypatch.setattr("simulation.summary.SURE_GIVEN", 1.01)
    assert oracle.main(few) == 1
    assert "sure given" in capsys.readouterr().out.split("Missed targets:")[1]


SHARED = Path(__file__).resolve().parents[3] / "shared" / "verdicts"

# Shares of right answers as the studies' own tables have them.
RIGHT = {
    ("fin_sentiment", "ft-gpt-4o-mini"): 0.878,
    ("fin_sentiment", "svm"): 0.645,
    ("fin_phrasebank_gpt4", "gpt-4"): 0.939,
    ("banking77_qwen3_1.7b", "knn-10"): 0.834,
    ("banking77_qwen3_1.7b", "retrieval-10-free"): 0.827,
    ("banking77_7b_many_shot", "llama-few-shot-1000"): 0.862,
    ("banking77_subsets_gpt5nano", "probe-minilm"): 0.960,
    ("trec_7b_many_shot", "llama-retrieval-200"): 0.943,
    ("tweet_emotion_roberta", "roberta-twitter"): 0.834,
    ("css_emotion", "flan-ul2"): 0.703,
    ("ecommerce", "claude-3.5-haiku"): 0.725,
    ("text2sql_spider", "gemini"): 0.831,
}


@pytest.mark.parametrize(("name", "candidate"), RIGHT)
def test_packed_answers_are_right_as_often_as_published(name: str, candidate: str) -> None:
    packed = published.stored(name)
    bits = [unpack(c["right"], packed["rows"]) for c in packed["columns"] if c["name"] == candidate]
    assert round(float(np.mean(bits)), 3) == pytest.approx(RIGHT[name, candidate], abs=0.001)


def test_one_tie_is_called_sure_and_the_stored_table_is_of_today() -> None:
    lines = list(published.table([published.judged(case) for case in published.CASES]))
    missed = [" ".join(line.split()[1:]) for line in lines if line.startswith("MISSED")]
    assert missed == ["sure and wrong: 1", "ties called sure: 1 of 3"]
    stored = (published.HERE / "results" / "published.txt").read_text("utf-8").splitlines()
    assert [line.rstrip() for line in stored] == [line.rstrip() for line in lines]


@pytest.mark.data
@pytest.mark.parametrize("name", sorted({case.set for case in published.CASES}))
def test_the_files_are_those_that_were_packed(name: str) -> None:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip("the published sets are not here")
    file = folder / ("answers.csv" if (folder / "answers.csv").is_file() else "scores.csv")
    assert sha256(file.read_bytes()).hexdigest() == published.stored(name)["sha256"]
    assert '"text"' not in json.dumps(published.stored(name))

"""Simulated studies of the oracle: their truth, their grades and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

import oracle
from choose.api.study_evidence import rule_of
from choose.judge.goal import RULE
from choose.judge.measures.cost_comparison import margins_of
from choose.judge.measures.cost_sheet import cost_sheet
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from simulation.evidence import evidence, log_probabilities
from simulation.grading import RESAMPLED, AskedMore, ask_more, differences, judged_on_disk, play
from simulation.setting import Setting, SimulatedCandidate
from simulation.truth import truth_of
from simulation.worlds import RANGES, UNSEEN, WORLDS, draw


def slow_but(worlds, quick):
    """Return all worlds as parameters; all but the named ones are slow."""
    return [
        world if world in quick else pytest.param(world, marks=pytest.mark.slow) for world in worlds
    ]


@pytest.mark.parametrize("world", slow_but(WORLDS, {"plain", "clusters", "wrong labels"}))
def test_what_is_measured_is_what_is_said_to_be_true(world):
    """Over studies, mean measured minus true accuracy is 0 within three standard errors."""
    gaps = []
    for number in range(25):
        rng = np.random.default_rng([number, 77])
        setting = draw(world, "report", rng)
        laid = study_scores(evidence(setting, rng))
        truth = truth_of(setting).measured
        gaps += [
            float(c.main.block.mean()) - truth[c.info.name]
            for c in laid.scored
            if c.main is not None
        ]
    # Candidates of a study share its items: count studies, not candidates, for the error.
    assert abs(np.mean(gaps)) <= 3 * np.std(gaps) / sqrt(25) + 1e-3


def test_a_collapsing_fit_has_the_accuracy_it_is_asked_to_have():
    unstable = SimulatedCandidate(
        name="lora",
        family="fine-tuning",
        accuracy=0.8,
        seconds=1.0,
        seeds=400,
        run_spread=0.1,
        collapse=(0.2, 3.0),
    )
    setting = Setting(candidates=(unstable,), rows=400)
    main = study_scores(evidence(setting, np.random.default_rng(1)))["lora"].main
    by_fit = main.right.mean(axis=0)
    assert abs(by_fit.mean() - 0.8) < 0.03 + 2 * by_fit.std() / sqrt(400)
    assert 0.12 < (by_fit < 0.6).mean() < 0.28
    variance = setting.candidates[0].run_variance
    assert variance == pytest.approx(by_fit.var(), rel=0.3)


def test_false_winners_are_told_from_right_ones():
    accuracies = {"majority": 0.3, "probe": 0.80, "prompt": 0.81, "lora": 0.85}
    truth = truth_of(
        Setting(
            candidates=tuple(
                SimulatedCandidate(name=n, family="baseline", accuracy=a, seconds=float(i))
                for i, (n, a) in enumerate(accuracies.items())
            ),
            rows=100,
        )
    )
    assert truth.false_winner("prompt")  # probe is cheaper and within two points
    assert truth.false_winner("probe")  # lora is better by more than two points
    assert not truth.false_winner("lora")
    assert not truth.not_better("prompt")
    assert truth.excess("probe") == pytest.approx(0.03)


def test_the_splits_are_apart():
    assert not set(RANGES["tune"].labels) & set(RANGES["report"].labels)
    assert not set(UNSEEN) & set(RANGES["tune"].margins)
    assert play("plain", "tune", 3) == play("plain", "tune", 3)
    assert play("plain", "tune", 3) != play("plain", "report", 3)


@pytest.mark.parametrize(
    "world",
    slow_but(
        ["cross-fit", "clusters", "full grid", "budget cuts", "prices"],
        {"cross-fit", "budget cuts"},
    ),
)
def test_a_study_judged_from_a_store_on_disk_is_judged_alike(world):
    rng = np.random.default_rng([5, 77])
    setting = draw(world, "report", rng)
    study, stated = evidence(setting, rng), setting.study
    found, stored = judge(study, rule_of(stated)), judged_on_disk(study, stated)
    assert not differences(found, stored)
    assert stored.scorecards[1].cost.fit_seconds == setting.candidates[1].seconds
    other = judged_on_disk(study, {**stated, "goal": {"margin": 0.2}})
    assert "verdict" in differences(found, other), "what differs is seen"


def test_prices_set_the_margins_that_the_judge_derives():
    for number in range(5):
        rng = np.random.default_rng([number, 78])
        setting = draw("prices", "report", rng)
        truth, laid = truth_of(setting), study_scores(evidence(setting, rng))
        rule = rule_of(setting.study)
        derived = margins_of({c.info.name: cost_sheet(c, rule) for c in laid.scored}, rule)
        assert derived.derived
        for a, b in combinations(truth.names, 2):
            assert min(truth.matters(a, b), 1) == pytest.approx(derived.between(a, b), abs=1e-6)
        best = min(truth.names, key=truth.regret)
        assert truth.regret(best) == 0
        assert not truth.excess(best)


@pytest.mark.slow
def test_wrong_labels_are_told_from_wrong_answers():
    """Where labels limit and nothing wins, they often are said to; and never where they do not."""
    grades = [play("wrong labels", "report", number) for number in range(40)]
    said = [g.kind == "fix-labels" for g in grades]
    limited = [g.limited for g in grades]
    assert {True, False} == set(limited)
    relevant = [g.kind == "fix-labels" for g in grades if g.limited and not g.recommends]
    assert any(relevant)
    assert not any(s for s, is_so in zip(said, limited, strict=True) if not is_so)
    assert all(g.right == g.limited for g in grades if g.kind == "fix-labels")


def test_scores_are_probabilities_whose_likeliest_label_is_the_answer():
    rng = np.random.default_rng(3)
    truth, ahead = rng.integers(0, 4, 500), rng.normal(1, 1, 500)
    codes = np.where(ahead > 0, truth, (truth + 1) % 4)
    found = np.exp(log_probabilities(codes, truth, ahead, 4, rng))
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert (found.argmax(axis=1) == codes).all()
    sure = found.max(axis=1)
    assert sure[codes == truth].mean() > sure[codes != truth].mean() + 0.1


def test_rows_that_are_asked_for_are_asked():
    rng = np.random.default_rng([20, 0, 1])
    setting = draw("plain", "report", rng)
    found = judge(evidence(setting, rng), rule_of(setting.study))
    move = next(m for m in found.moves if m.action == "ask more rows")
    came = ask_more(found, setting, rng)
    assert came.even is not None
    assert move.labels > 10_000, "as many are not simulated"
    assert came.likely is None
    far = replace(setting, rows=10_001)
    assert ask_more(found, far, rng) == AskedMore(skipped=2)


@pytest.mark.slow
def test_stored_answers_are_resampled_and_graded():
    grades = [play(RESAMPLED, "report", number) for number in range(60)]
    covered = [g.covered_pairs for g in grades if not np.isnan(g.covered_pairs)]
    assert len(covered) == 60
    assert np.mean(covered) > 0.9
    assert {g.recommends for g in grades} == {True, False}
    assert play(RESAMPLED, "report", 7) == grades[7]


def test_the_committed_result_is_of_the_rule_that_decides():
    text = (Path(oracle.__file__).parent / "results" / "oracle.txt").read_text()
    assert f"decision rule {RULE}" in text.splitlines()[0]


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

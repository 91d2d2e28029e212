"""The chance that the rest of a study changes what it shows is known before it is run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from choose.judge.decision.open_question import CERTAIN, Prospect, Whole, Z, open_question
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from simulation.evidence import evidence
from simulation.worlds import draw
from support.simulated_studies import majority, prompt, tfidf
from support.simulated_studies import study as simulated

DRAWS = np.random.default_rng(5).standard_normal(20_000)


@given(
    value=st.floats(-0.2, 0.2),
    error=st.floats(0.005, 0.1),
    share=st.floats(0.05, 0.95),
    margin=st.sampled_from([0.01, 0.02, 0.05]),
    costlier=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_chance_of_a_change_is_that_of_simulated_ends(
    value: float, error: float, share: float, margin: float, costlier: bool
) -> None:
    """Ends are drawn from what is known now: the estimate moves as its interval narrows."""
    half, final = Z * error, Z * error * share**0.5
    prospect = Prospect(value, half, final, margin, costlier)
    ends = value + error * (1 - share) ** 0.5 * DRAWS
    now = prospect.shown(value, half)
    changed = np.mean([prospect.shown(end, final) != now for end in ends[:4000].tolist()])
    if now == "open":  # it may also prefer the other one by then
        turned = np.mean((ends > margin) != (value > margin)) if costlier else changed
        assert prospect.change >= max(changed, turned if costlier else 0.0) - 0.03
        assert prospect.change >= 1 - CERTAIN
    else:
        assert prospect.change == pytest.approx(changed, abs=0.03)


def test_with_nothing_left_to_measure_nothing_changes() -> None:
    assert Prospect(0.03, 0.05, 0.05, 0.02, True).change == 0.0


def test_it_takes_about_three_standard_errors_to_be_certain_after_a_part() -> None:
    """As in the rule of Haybittle and Peto, so that early looks hardly cost anything."""
    for share in (0.2, 0.4, 0.6, 0.8):
        gains = np.arange(0.0, 0.3, 0.0005)
        sure = [
            g
            for g in gains
            if Prospect(-g, Z * 0.02, Z * 0.02 * share**0.5, 0.0, True).change < 1 - CERTAIN
        ]
        assert 2.5 < min(sure) / 0.02 < 3.2


def study(number: int) -> Evidence:
    rng = np.random.default_rng([number, 3])
    setting = replace(draw("cross-fit", "report", rng), folds=5, rows=600, racing=False)
    return evidence(setting, rng)


def whole_of(found: Evidence) -> dict[str, Whole]:
    draws: dict[str, set[int]] = {}
    for run in found.runs:
        draws.setdefault(run.trial.candidate, set()).add(run.trial.draw)
    return {name: Whole(len(found.items.ids), len(own)) for name, own in draws.items()}


@pytest.mark.parametrize("number", range(3))
def test_a_whole_grid_leaves_nothing_open_and_names_what_the_verdict_names(number: int) -> None:
    found = study(number)
    question = open_question(found, Rule(), whole_of(found))
    verdict = judge(found, Rule()).verdict
    assert question is not None
    assert question.open == ()
    assert question.named == verdict.use_meanwhile
    assert question.final == (verdict.recommended is not None)


def test_the_first_fold_leaves_more_open_than_the_first_four() -> None:
    counts = []
    for folds in (1, 4):
        total = 0.0
        for number in range(3):
            found = study(number)
            part = [run for run in found.runs if run.trial.fold < folds]
            question = open_question(replace(found, runs=tuple(part)), Rule(), whole_of(found))
            assert question is not None
            rivals = [one for one in question.open if not one.floor]
            assert all(one.family != question.family for one in rivals)
            total += sum(one.change for one in question.open)
        counts.append(total)
    assert counts[0] > counts[1] > 0


@pytest.mark.parametrize(("accuracy", "unsure"), [(0.5, True), (0.8, False)])
def test_the_rest_of_a_grid_may_undo_that_the_floor_is_beaten(
    accuracy: float, unsure: bool
) -> None:
    """A fold shows a gain of 10 points over the constant answer less surely than one of 40."""
    found = simulated([majority(0.4), tfidf(accuracy), prompt(0.2)], 500, 4, folds=5)
    whole = whole_of(found)
    part = replace(found, runs=tuple(run for run in found.runs if run.trial.fold < 1))
    question = open_question(part, Rule(), whole)
    assert question is not None
    assert question.named == "tfidf"
    floors = [(one.candidate, one.family) for one in question.open if one.floor]
    assert floors == ([("majority", "baseline")] if unsure else [])
    assert all(one.floor for one in question.open), "prompting is out of the question"
    ended = open_question(found, Rule(), whole)
    assert ended is not None
    assert ended.open == ()


def test_ending_early_hardly_makes_a_wrong_answer_likelier() -> None:
    """The costlier one gains exactly the margin, and is said not to, in 2.5 % of whole grids.

    Four looks that may end the study, one after each fold, make that 2.65 %.
    """
    folds, error, margin, studies = 5, 0.02, 0.02, 100_000
    steps = np.random.default_rng(11).standard_normal((studies, folds)) * error * folds**0.5
    means = margin + steps.cumsum(axis=1) / np.arange(1, folds + 1)
    errors = error * (folds / np.arange(1, folds + 1)) ** 0.5
    at_end = means[:, -1] + Z * error < margin
    ended = np.zeros(studies, dtype=np.bool_)
    for look in range(folds - 1):
        gains = np.linspace(-0.2, margin, 500)
        sure = [
            g
            for g in gains
            if (p := Prospect(g, Z * errors[look], Z * error, margin, True)).change < 1 - CERTAIN
            and p.shown(g, p.half) == "cheaper"
        ]
        ended |= means[:, look] <= max(sure)
    wrong = float((ended | at_end).mean())
    assert at_end.mean() == pytest.approx(0.025, abs=0.002)
    assert 0 < wrong - float(at_end.mean()) < 0.003

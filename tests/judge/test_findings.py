"""What users met on real sets, each at its cause; the names are those of the findings."""

from dataclasses import replace

import pytest

from choose.judge.decision.chance import SURE
from choose.judge.decision.label_gates import task_stable
from choose.judge.decision.rule import label_shift
from choose.judge.goal import Rule
from choose.judge.measures import drift_and_new_class
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.report import words
from choose.report.family_table import family_table
from choose.schema.decision import Decision
from simulation.setting import SimulatedCandidate
from support.simulated_studies import lora, majority, probe, prompt, study, tfidf


def decided(*players: SimulatedCandidate, rows: int = 600, seed: int = 3) -> Decision:
    return judge(study([majority(), *players], rows, seed), Rule())


def test_f1_a_check_says_nothing_that_its_own_figures_refute() -> None:
    """ "probe does not gain 2 points", with a bound of +6.6 points, in a check that passed."""
    for seed in range(6):
        found = decided(probe(0.80), tfidf(0.79), lora(0.81), rows=300, seed=seed)
        gate = next(g for g in found.gates if g.name == "labelled set adequate")
        assert gate.status != "pass" or found.verdict.recommended or (found.chance or 0) >= 0


def test_f2_what_guesses_is_never_advised() -> None:
    """ "Use a cheap classifier for now", where the candidate was always one label."""
    found = judge(study([majority(0.58), tfidf(0.45), probe(0.54)], 300, 4), Rule())
    assert found.verdict.use_meanwhile != "majority"
    assert not found.verdict.usable
    assert words.answer(found).startswith("Nothing here is usable yet")


def test_f3_enough_is_not_said_while_families_are_open() -> None:
    """ "A cheap classifier is enough for now; retrieval and fine-tuning are open." """
    seen = study([majority(), probe(0.7), prompt(0.3), lora(0.8)], 300, 2)
    part = replace(seen, runs=tuple(r for r in seen.runs if r.trial.candidate != "lora"))
    found = judge(part, Rule())
    assert (found.verdict.kind, found.verdict.unmeasured) == ("incomplete", ("fine-tuning",))
    assert "enough" not in words.headline(found)


def test_f13_a_difference_lies_between_its_members_and_counts_rows_both_answered() -> None:
    """The best of two members against another was a mean beyond both, on rows nobody shared."""
    found = decided(tfidf(0.7), probe(0.75), prompt(0.72), lora(0.74))
    known = {(p.a, p.b): p for p in found.pairs}
    for family in found.verdict.families[1:]:
        pair = known.get((family.best or "", found.pick)) or known.get(
            (found.pick, family.best or "")
        )
        assert abs(family.difference.value) == pytest.approx(abs(pair.difference.value))
        assert family.rows == pair.rows


def test_f15_no_step_where_nothing_is_left_to_gain() -> None:
    """30 minutes of LoRA were the first step at 99.5 % right."""
    found = judge(study([majority(), probe(0.996), prompt(0.6), lora(0.9)], 2000, 3), Rule())
    assert found.verdict.done
    assert found.verdict.steps == ()
    assert (found.chance or 0.0) >= SURE


def test_f16_a_label_that_is_far_more_common_among_test_rows_is_named() -> None:
    """1.3 % of the training rows, 18.2 % of the test rows, and not a word."""
    training, test = ["oos"] * 13 + ["a"] * 987, ["oos"] * 182 + ["a"] * 818
    shift = label_shift(training, test)
    assert (shift.training, shift.test) == (0.013, 0.182)
    assert label_shift(training, training) is None
    assert label_shift(["a"] * 60 + ["b"] * 40, ["a"] * 50 + ["b"] * 50) is None, "may be chance"
    assert label_shift([], test) is None, "every row is a test row"


def test_f17_an_answer_that_never_changes_is_not_called_stable(monkeypatch):
    """A constant changed "by 0.0 points", while one label fell from 70 to 53 %."""
    panel = study_scores(study([majority(), probe(0.8)], 100, 1))
    monkeypatch.setattr(drift_and_new_class, "drop_of", lambda _: pytest.fail("it was asked"))
    assert task_stable(panel, "majority", 0.02).status == "unknown"


def test_f19_a_family_without_an_answer_has_no_row() -> None:
    seen = study([majority(), probe(0.7), lora(0.8)], 300, 2)
    runs = tuple(r for r in seen.runs if r.trial.candidate != "lora")
    table = family_table(judge(replace(seen, runs=runs), Rule()))
    assert [row[0] for row in table.rows] == ["classifier: probe"]
    assert table.unmeasured == ("fine-tuning",)

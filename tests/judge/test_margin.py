"""The smallest gain that matters: stated, by default, or from prices; and what it changes."""

import pytest

from choose.judge.goal import Rule
from choose.judge.measures.cost_comparison import SMALLEST_MARGIN
from choose.judge.verdict import judge
from support.priced_studies import field, rule, world
from support.simulated_studies import lora, majority, probe, study


def test_a_dearer_candidate_must_gain_what_pays_for_it():
    found = field(world(), rule())
    # $198 more to train and $0.198 more for an answer, 1,200 answers worth $4 each.
    assert found.margin("lora", "probe") == pytest.approx((198 / 1200 + 0.198) / 4)
    assert found.margin("probe", "lora") == found.margin("lora", "probe")
    # Nothing sets these two apart, so two points are the smallest gain that matters.
    assert found.margin("probe", "majority") == 0.02
    assert (found.rule.margin, found.rule.margin_from) == (0.02, "derived")


def test_where_everything_pays_with_less_than_two_points_less_matters():
    found = field(world(), rule(value_per_right_answer=50.0))
    dearest = (200 / 1200 + 0.2) / 50  # lora against majority
    assert found.rule.margin == pytest.approx(dearest, rel=0.06)
    assert found.margin("probe", "majority") == found.margin("lora", "probe") == found.rule.margin


def test_no_margin_is_below_what_a_thousand_rows_hold():
    assert field(world(), rule(value_per_right_answer=1e6)).rule.margin == SMALLEST_MARGIN


def test_a_stated_margin_counts_for_all():
    found = field(world(), rule(margin=0.03))
    assert found.margin("lora", "probe") == found.margin("probe", "majority") == 0.03
    assert judge(world(), rule(margin=0.03)).goal["margin_from"] == "stated"


@pytest.mark.parametrize("change", [{"value_per_right_answer": None}, {"volume_per_month": None}])
def test_one_missing_price_leaves_the_default(change):
    found = field(world(), rule(**change))
    assert (found.rule.margin, found.rule.margin_from) == (0.02, "default")
    assert found.margin("lora", "probe") == 0.02


def test_value_and_volume_change_what_is_adopted():
    """A gain of five points pays at one worth of a right answer and not at another."""
    evidence = world(0.86, 0.8)
    poor, rich = (judge(evidence, rule(value_per_right_answer=v)) for v in (4, 100))
    assert poor.verdict.use_meanwhile == "probe"
    assert rich.verdict.use_meanwhile == "lora"
    # Unpriced, the default margin of two points says what it always said.
    assert judge(evidence, Rule()).verdict.use_meanwhile == "lora"
    assert poor.goal["margin_from"] == "derived"


def test_the_gate_says_what_may_not_pay():
    evidence = study(
        [majority(), probe(0.8), lora(0.87, run_spread=0.02, own=0.4)], 4000, 1, folds=5
    )
    found = [judge(evidence, rule(value_per_right_answer=v)) for v in (6, 20)]
    assert [d.verdict.use_meanwhile for d in found] == ["lora", "lora"]
    gates = [next(g.status for g in d.gates if g.name == "worth its cost") for d in found]
    assert gates == ["unknown", "pass"]


def test_prices_that_are_not_whole_leave_an_unpriced_verdict_as_it_was():
    evidence = world(0.84, rows=600)
    bare = judge(evidence, Rule())
    some = judge(evidence, Rule(minutes_per_label=0.5))
    assert bare.verdict.model_dump(exclude={"steps"}) == some.verdict.model_dump(exclude={"steps"})


@pytest.mark.parametrize(("margin", "warned"), [(0.02, False), (0.06, True)])
def test_a_margin_above_a_quarter_of_the_errors_is_warned_about(margin, warned):
    found = judge(world(0.85, 0.8, rows=600), Rule(margin=margin))
    said = [r for r in found.verdict.remarks if r.code == "coarse-margin"]
    assert [r.names for r in said] == [("probe",)] * warned


def test_a_candidate_that_finished_nothing_does_not_unprice_the_others():
    evidence = study([majority(), probe(0.8), lora(0.8, error="OOM: no")], 300, 1)
    assert set(field(evidence, rule()).margins.costs) == {"majority", "probe"}


def test_field_margins_are_those_of_the_rule_where_nothing_is_priced():
    found = field(world(rows=300), rule(volume_per_month=None))
    assert found.margins.costs == {}
    assert not found.margins.derived

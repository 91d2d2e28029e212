"""Cost sheets of candidates, against sums done by hand, and what is missing for one."""

from collections import Counter
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from choose.judge.goal import UNSAID, Deployment, Rule
from choose.judge.measures.cost_comparison import cheapest_first
from choose.judge.measures.cost_sheet import AnswerCost, CostSheet, LifetimeCost, cost_sheet
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.schema.costs import Cost, TokenPrices
from choose.types import Answers
from support.priced_studies import HOURS, retiring, rule, world


def measured(name: str = "lora", evidence=None):
    return study_scores(evidence or world())[name]


def test_a_bill_is_the_sum_of_its_parts():
    prices = rule(new_labels=100, refresh_months=5, refresh_labels=60, refresh_hours=HOURS)
    bill = cost_sheet(measured(), replace(prices, qa_share=0.2)).lifetime
    # A fit of 200 s at $3.60 an hour, 100 labels of half a minute at $30 an hour with 20 % twice,
    # 40 hours at $100.
    assert bill.build == pytest.approx(0.2 + 100 * 0.5 / 60 * 30 * 1.2 + 4000)
    assert bill.refresh == pytest.approx(0.2 + 60 * 0.5 / 60 * 30 * 1.2 + 4000)
    assert bill.answer.value == pytest.approx(0.2 * 3.6 / 3600)
    # Twelve months hold two refreshes, after five and ten.
    assert bill.total(prices.deployment) == pytest.approx(4030.2 + 2 * 4018.2 + 120_000 * 0.0002)


def test_what_learns_nothing_needs_no_labels():
    lora = measured()
    prompt = replace(lora, info=replace(lora.info, learns=False))
    prices = rule(new_labels=100)
    assert cost_sheet(lora, prices).lifetime.build - cost_sheet(
        prompt, prices
    ).lifetime.build == pytest.approx(25)
    assert cost_sheet(prompt, prices).record.labelling_hours == 0
    assert cost_sheet(lora, prices).record.labelling_hours == pytest.approx(400 * 0.5 / 60)


@pytest.mark.parametrize(("months", "expected"), [(12, 3), (11.9, 3), (3, 0), (3.1, 1), (1, 0)])
def test_no_refresh_is_due_on_the_last_day(months, expected):
    assert Deployment(refresh_months=3).refreshes(months) == expected
    assert UNSAID.refreshes(months) == 0


def test_a_model_that_retires_is_built_again():
    prices = rule()
    short = cost_sheet(
        measured(evidence=retiring(world(), "lora", date(2027, 6, 1))), prices
    ).lifetime
    assert short.months == pytest.approx(182 / 30.436875)
    assert short.fixed(prices.deployment, 12) == pytest.approx(2 * 4000.2)
    assert short.fixed(prices.deployment, 5) == pytest.approx(4000.2)
    long = cost_sheet(
        measured(evidence=retiring(world(), "lora", date(2029, 1, 1))), prices
    ).lifetime
    assert long.fixed(prices.deployment, 12) == pytest.approx(4000.2)


def test_unpriced_is_null_and_says_what_is_missing():
    lora = measured()
    assert cost_sheet(lora, Rule()).lifetime is None
    cost = cost_sheet(lora, Rule()).record
    assert (cost.usd_per_1k, cost.build_usd, cost.total_usd, cost.labelling_hours) == (None,) * 4
    assert "costs.engineer_hours.fine-tuning" in cost.missing
    assert "costs.volume_per_month" in cost.missing
    assert cost_sheet(lora, rule()).record.missing == ()
    assert cost_sheet(lora, rule(engineer_hours={"baseline": 1.0})).record.missing == (
        "costs.engineer_hours.fine-tuning",
    )
    assert cost_sheet(lora, rule(refresh_months=3)).record.missing == (
        "costs.refresh_labels",
        "costs.refresh_hours.fine-tuning",
    )
    assert cost_sheet(lora, replace(rule(new_labels=5), hourly_rate=None)).record.missing == (
        "costs.hourly_rate",
    )
    assert cost_sheet(lora, replace(rule(new_labels=5), hourly_rate=None)).lifetime is None


def test_a_candidates_own_hours_count_before_its_familys():
    own = cost_sheet(measured(), rule(engineer_hours={**HOURS, "lora": 3.0})).lifetime
    assert own.build == pytest.approx(300.2)


def test_an_endpoint_costs_its_tokens_and_never_the_machines_hour():
    evidence = world()
    runs = tuple(
        replace(run, answers={("clean", 0): _with_tokens(run.answers["clean", 0])})
        for run in evidence.runs
    )
    lora = measured(evidence=replace(evidence, runs=runs))
    prices = TokenPrices(usd_per_million_in=2, usd_per_million_cached=0.5, usd_per_million_out=8)
    remote = replace(lora, info=replace(lora.info, model="endpoint:x", token_prices=prices))
    found = cost_sheet(remote, rule()).answer
    # Half the rows read 1,000 tokens and half 2,000; 600 are cached, 10 written.
    assert found.value == pytest.approx((900 * 2 + 600 * 0.5 + 10 * 8) / 1e6)
    assert found.low < found.value < found.high
    cost = cost_sheet(remote, rule()).record
    assert (cost.tokens_in, cost.tokens_cached, cost.tokens_out) == (1500, 600, 10)
    assert cost.usd_per_1k == pytest.approx(1000 * found.value)
    unpriced = replace(lora, info=replace(lora.info, model="endpoint:x"))
    assert cost_sheet(unpriced, rule()).answer is None
    assert cost_sheet(unpriced, rule()).record.missing == ("token prices of endpoints.x",)


def _with_tokens(answers: Answers) -> Answers:
    n = len(answers.outputs)
    read = np.where(np.arange(n) % 2, 2000, 1000)
    return replace(
        answers, tokens_in=read, tokens_cached=np.full(n, 600), tokens_out=np.full(n, 10)
    )


def test_throughput_carries_the_spread_of_its_runs():
    evidence = world()
    times = iter((100.0, 200.0, 400.0))
    runs = tuple(
        replace(r, predict_seconds=next(times)) if r.trial.candidate == "lora" else r
        for r in evidence.runs
    )
    found = cost_sheet(measured(evidence=replace(evidence, runs=runs)), rule()).answer
    assert found.value == pytest.approx(200 / 2000 / 1000)
    # Logarithms 2 apart by log 2: their sd is log 2, Student's quantile at 2 degrees is 4.303.
    factor = np.exp(4.302653 * np.log(2) / np.sqrt(3))
    assert (found.low, found.high) == pytest.approx((found.value / factor, found.value * factor))
    assert not cost_sheet(measured("probe", evidence), rule()).answer.measured


def test_totals_set_the_order_where_everything_is_priced():
    laid = study_scores(world())

    def order(**totals):
        costs = {n: CostSheet(record=Cost(total_usd=usd)) for n, usd in totals.items()}
        return [c.info.name for c in cheapest_first(laid.candidates, costs, rule(), totals=True)]

    assert order(majority=500.0, probe=100.0, lora=104.0) == ["probe", "lora", "majority"]
    # Within a tenth the simpler family comes first.
    assert order(majority=500.0, probe=105.0, lora=104.0) == ["probe", "lora", "majority"]
    assert order(majority=500.0, probe=120.0, lora=104.0) == ["lora", "probe", "majority"]


def test_one_decision_computes_the_costs_of_each_candidate_once(monkeypatch):
    counted = Counter()

    def counting(candidate, prices):
        counted[candidate.info.name] += 1
        return cost_sheet(candidate, prices)

    monkeypatch.setattr("choose.judge.decision.contenders.cost_sheet", counting)
    prices = rule(new_labels=100)
    decision = judge(world(), prices)
    assert counted == {"majority": 1, "probe": 1, "lora": 1}
    for card in decision.scorecards:
        assert card.cost == cost_sheet(measured(card.candidate), prices).record


def test_a_bill_without_dates_never_ends():
    bill = LifetimeCost(build=1.0, refresh=0.0, answer=AnswerCost(0.1, 0.1, 0.1, False))
    assert bill.fixed(UNSAID, 1e6) == 1.0

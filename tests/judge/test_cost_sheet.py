"""Cost sheets of candidates, against sums done by hand, and what is missing for one."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from choose.judge.goal import Rule
from choose.judge.measures.cost_comparison import cheapest_first
from choose.judge.measures.cost_sheet import CostSheet, cost_sheet
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.schema.costs import Cost, TokenPrices
from choose.types import Answers
from support.priced_studies import rule, world


def measured(name: str = "lora", evidence=None):
    return study_scores(evidence or world())[name]


def test_a_year_is_a_fit_and_its_answers():
    sheet = cost_sheet(measured(), rule())
    # A fit of 200 s at a dollar a second, and 1,200 answers of 200 ms.
    assert sheet.year.total(1200) == pytest.approx(200 + 1200 * 0.2)
    assert sheet.record.total_usd == sheet.year.total(1200)


def test_what_learns_nothing_needs_no_labels():
    lora = measured()
    prompt = replace(lora, info=replace(lora.info, learns=False))
    assert cost_sheet(prompt, rule()).record.labelling_hours == 0
    assert cost_sheet(lora, rule()).record.labelling_hours == pytest.approx(400 * 0.5 / 60)


def test_unpriced_is_null_and_says_what_is_missing():
    sheet = cost_sheet(measured(), Rule())
    assert sheet.year is None
    cost = sheet.record
    assert (cost.usd_per_1k, cost.training_usd, cost.total_usd, cost.labelling_hours) == (None,) * 4
    assert cost.missing == ("costs.usd_per_machine_hour", "costs.volume_per_month")
    assert cost_sheet(measured(), rule()).record.missing == ()


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
    assert found.value == pytest.approx(200 / 2000)
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
    prices = rule()
    decision = judge(world(), prices)
    assert counted == {"majority": 1, "probe": 1, "lora": 1}
    for card in decision.scorecards:
        assert card.cost == cost_sheet(measured(card.candidate), prices).record

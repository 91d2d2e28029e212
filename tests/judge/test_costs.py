"""What candidates cost, when they pay, and what prices decide: golden values, known worlds."""

import io
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from choose.api.study_evidence import _candidate
from choose.judge.decision.candidate_comparisons import payback_of
from choose.judge.goal import Rule
from choose.judge.measures.costs import breakeven, cheapest_first, cost_of
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.report.terminal.pages import render_full
from choose.report.write import render_html, render_markdown
from choose.schema.candidate_scorecard import Cost, TokenPrices, dollars
from choose.study.candidates import describe_candidates
from choose.study.resolve_study import load_study
from choose.types import Candidate
from support.simulated_studies import field, rule, world


def measured(name: str = "lora", evidence=None):
    return study_scores(evidence or world())[name]


def test_a_year_is_a_fit_and_its_answers_and_what_is_unpriced_is_null():
    # A fit of 200 s at a dollar a second, and 1,200 answers of 200 ms.
    assert cost_of(measured(), rule()).total_usd == pytest.approx(200 + 1200 * 0.2)
    cost = cost_of(measured(), Rule())
    assert (cost.usd_per_1k, cost.training_usd, cost.total_usd) == (None,) * 3


def test_an_endpoint_costs_its_tokens_and_never_the_machines_hour():
    evidence = world()
    counts = {
        "tokens_in": np.tile([1000, 2000], 1000),
        "tokens_cached": np.full(2000, 600),
        "tokens_out": np.full(2000, 10),
    }
    runs = tuple(
        replace(run, answers={("clean", 0): replace(run.answers["clean", 0], **counts)})
        for run in evidence.runs
    )
    lora = measured(evidence=replace(evidence, runs=runs))
    prices = TokenPrices(usd_per_million_in=2, usd_per_million_cached=0.5, usd_per_million_out=8)
    remote = replace(lora, info=replace(lora.info, model="endpoint:x", token_prices=prices))
    cost = cost_of(remote, rule())
    # Half the rows read 1,000 tokens and half 2,000; 600 are cached, 10 written.
    assert cost.usd_per_1k == pytest.approx((900 * 2 + 600 * 0.5 + 10 * 8) / 1e3)
    assert (cost.tokens_in, cost.tokens_out) == (1500, 10)
    unpriced = replace(lora, info=replace(lora.info, model="endpoint:x"))
    assert cost_of(unpriced, rule()).usd_per_1k is None


def test_throughput_is_the_median_of_the_runs():
    evidence = world()
    times = iter((100.0, 200.0, 400.0))
    runs = tuple(
        replace(r, predict_seconds=next(times)) if r.trial.candidate == "lora" else r
        for r in evidence.runs
    )
    found = cost_of(measured(evidence=replace(evidence, runs=runs)), rule())
    assert found.usd_per_1k == pytest.approx(1000 * 200 / 2000)


def test_totals_set_the_order_where_everything_is_priced():
    laid = study_scores(world())

    def order(**totals):
        costs = {n: Cost(total_usd=usd) for n, usd in totals.items()}
        return [c.info.name for c in cheapest_first(laid.candidates, costs, rule())]

    assert order(majority=500.0, probe=100.0, lora=104.0) == ["probe", "lora", "majority"]
    # Within a tenth the simpler family comes first.
    assert order(majority=500.0, probe=105.0, lora=104.0) == ["probe", "lora", "majority"]
    assert order(majority=500.0, probe=120.0, lora=104.0) == ["lora", "probe", "majority"]


def test_one_decision_computes_the_costs_of_each_candidate_once(monkeypatch):
    counted = Counter()

    def counting(candidate, prices):
        counted[candidate.info.name] += 1
        return cost_of(candidate, prices)

    monkeypatch.setattr("choose.judge.decision.candidates.cost_of", counting)
    prices = rule()
    decision = judge(world(), prices)
    assert counted == {"majority": 1, "probe": 1, "lora": 1}
    for card in decision.scorecards:
        assert card.cost == cost_of(measured(card.candidate), prices)


def test_prices_that_are_not_whole_leave_an_unpriced_verdict_as_it_was():
    evidence = world(0.84, rows=600)
    bare = judge(evidence, Rule())
    some = judge(evidence, Rule(minutes_per_label=0.5))
    assert bare.verdict.model_dump(exclude={"steps"}) == some.verdict.model_dump(exclude={"steps"})


ALL, PLAIN = (2.0, 0.5, 8.0), (2.0, None, 8.0)


@pytest.mark.parametrize(
    ("prices", "read", "cached", "written", "usd"),
    [
        # 400 x 2 + 600 x 0.5 + 10 x 8 = 1,180 and 500 x 2 + 2 x 8 = 1,016 millionths.
        (ALL, [1000, 500], [600, 0], [10, 2], [0.00118, 0.001016]),
        (PLAIN, [1000], [600], [10], [0.00208]),  # a cached token costs what others do
        (PLAIN, [1000], None, [10], [0.00208]),
        ((2.0, None, None), [500], None, [0], [0.001]),  # nothing was written
        (ALL, None, None, [1], None),  # not counted
        (ALL, [1], None, None, None),
        ((None, None, 8.0), [1], None, [1], None),  # not priced
        ((2.0, None, None), [1], None, [1], None),
    ],
)
def test_read_cached_and_written_tokens_have_prices_of_their_own(
    prices, read, cached, written, usd
):
    names = ("usd_per_million_in", "usd_per_million_cached", "usd_per_million_out")
    counts = (None if count is None else np.array(count) for count in (read, cached, written))
    found = dollars(TokenPrices(**dict(zip(names, prices, strict=True))), *counts)
    assert found is usd is None or found == pytest.approx(usd)


def test_prices_come_from_the_study_file():
    prices = {"usd_per_million_in": 2.0, "usd_per_million_out": 8.0}
    fast = {"base_url": "https://h/v1", "model": "m", **prices}
    study = load_study({"endpoints": {"fast": fast}})
    told = [
        Candidate(name=model, strategy="prompt", params={"model": model})
        for model in ("endpoint:fast", "endpoint:slow", "org/fast")
    ]
    big, other, local = map(_candidate, json.loads(json.dumps(describe_candidates(study, told))))
    assert big.token_prices == TokenPrices(usd_per_million_in=2.0, usd_per_million_out=8.0)
    assert big.remote
    assert (other.token_prices, other.remote) == (None, True)
    assert not local.remote


def by_an_api(usd_per_1k=2.0, name="lora"):
    """The priced world, in which one's answers are bought at a price for 1,000 of them."""
    evidence = world(rows=300)
    facts = {"usd_per_1k": usd_per_1k, "token_prices": TokenPrices()}
    infos = [replace(c, **facts) if c.name == name else c for c in evidence.candidates]
    return replace(evidence, candidates=tuple(infos))


def test_labels_are_paid_back_by_what_a_month_saves():
    """400 labels of half a minute at $30 an hour are $100; probe computes 0.002 s an answer."""
    prices = rule(volume=10_000, usd_per_hour=0.36)
    candidates = field(by_an_api(), prices)
    found = payback_of(candidates, "lora")
    probe = candidates.costs["probe"].usd_per_1k / 1000
    assert (found.api, found.own, found.labels) == ("lora", "probe", 400)
    assert found.api_usd == pytest.approx(20.0)
    assert found.own_usd == pytest.approx(10_000 * probe)
    assert found.labels_usd == pytest.approx(100.0)
    assert found.months == pytest.approx(100 / (20 - 10_000 * probe))
    assert judge(by_an_api(), prices).payback == payback_of(candidates, "probe")


def test_what_is_not_known_of_a_payback_is_null():
    found = payback_of(field(by_an_api(None), rule(usd_per_hour=None, volume=None)), "probe")
    assert (found.api_usd, found.own_usd, found.months) == (None, None, None)
    assert payback_of(field(by_an_api(1e-9), rule(volume=100)), "probe").months is None, "no saving"
    assert payback_of(field(world(rows=300), rule()), "probe") is None  # no API


@pytest.mark.parametrize(
    ("a", "b", "answers"),
    [
        ((100.0, 1.0), (10.0, 2.0), 90_000.0),
        ((10.0, 2.0), (100.0, 1.0), 90_000.0),
        ((100.0, 1.0), (None, 2.0), 100_000.0),  # given answers, which take no fit
        ((100.0, 2.0), (10.0, 1.0), None),  # never cheaper
        ((10.0, 1.0), (10.0, 2.0), None),  # always cheaper
        ((100.0, 1.0), (10.0, 1.0), None),
        ((100.0, None), (10.0, 2.0), None),  # not priced
    ],
)
def test_a_break_even_is_the_extra_training_over_what_an_answer_saves(a, b, answers):
    first, second = (Cost(training_usd=fit, usd_per_1k=usd) for fit, usd in (a, b))
    assert breakeven(first, second) == (None if answers is None else pytest.approx(answers))


def test_the_report_says_from_how_many_answers_on_training_pays():
    """Of $2 for 1,000 answers of probe, lora saves $1.98; its fit costs 1.98 cents more."""
    decision = judge(by_an_api(name="probe"), rule(usd_per_hour=0.36))
    found = {(pair.a, pair.b): pair.breakeven for pair in decision.pairs}
    assert found["lora", "probe"] == pytest.approx(10.0)
    said = "Training included: lora is cheaper than probe from 10 answers on."
    console = Console(file=io.StringIO(), width=120)
    console.print(render_full(decision))
    for page in render_html(decision), render_markdown(decision), console.file.getvalue():
        assert said in " ".join(page.split())

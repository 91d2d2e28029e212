"""What candidates cost, when they pay, and what prices decide: golden values, known worlds."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from choose.api.study_evidence import _candidate
from choose.judge.decision.break_even import (
    Balance,
    balance_of,
    breakeven_of,
    breakeven_requests,
    payback_of,
)
from choose.judge.goal import Rule
from choose.judge.measures.costs import (
    SMALLEST_MARGIN,
    CostSheet,
    break_even_gain,
    cheapest_first,
    cost_sheet,
)
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.schema.decision import Decision
from choose.schema.scorecard import Cost, TokenPrices, dollars
from choose.stats.intervals import Estimate
from choose.stats.paired import Difference, paired_difference
from choose.stats.two_way import BehrensFisher
from choose.study.candidates import describe_candidates
from choose.study.study_file import load_study
from choose.types import Answers, Candidate
from support.simulated_studies import field, lora, majority, probe, rule, study, world


def measured(name: str = "lora", evidence=None):
    return study_scores(evidence or world())[name]


def test_a_year_is_a_fit_and_its_answers():
    sheet = cost_sheet(measured(), rule())
    # A fit of 200 s at a dollar a second, and 1,200 answers of 200 ms.
    assert sheet.record.total_usd == pytest.approx(200 + 1200 * 0.2)


def test_unpriced_is_null_and_says_what_is_missing():
    sheet = cost_sheet(measured(), Rule())
    assert sheet.record.total_usd is None
    cost = sheet.record
    assert (cost.usd_per_1k, cost.training_usd, cost.total_usd) == (None,) * 3
    assert cost.missing == ("costs.usd_per_hour", "costs.volume")
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
    assert (cost.tokens_in, cost.tokens_out) == (1500, 10)
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
    once = cost_sheet(measured("probe", evidence), rule()).answer
    assert once.low == once.value == once.high


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


def difference(value: float, half: float = 0.0) -> Difference:
    return Difference(
        value=value,
        low=value - half,
        high=value + half,
        p=0.0,
        method="clustered",
        rows=100,
        repetitions=(1, 1),
        discordance=0.1,
        run_share=0.0,
        center=value,
        error=BehrensFisher((half / norm.ppf(0.975)) ** 2, np.inf),
    )


def stake(**facts: object) -> Balance:
    known = {
        "extra": 4000.0,
        "saves": Estimate(value=-0.001, low=-0.001, high=-0.001),
        "gain": difference(0.05, 0.02),
        "value": 0.1,
        "answers": 2_000_000.0,
    }
    return Balance(**{**known, **facts})


def test_golden_value():
    # 4,000 / (-0.001 + 0.1 x 0.05) = 1,000,000; ends of the gain 0.03 and 0.07.
    at = stake()
    found = breakeven_requests(at.extra, at.per_answer)
    assert found.value == pytest.approx(1_000_000)
    assert found.low == pytest.approx(4000 / 0.006)
    assert found.high == pytest.approx(4000 / 0.002)
    assert at.net.value == pytest.approx(2_000_000 * 0.004 - 4000)
    # The gain that pays is 0.03, one normal 95 % half width below what was measured.
    assert at.probability == pytest.approx(0.975, abs=1e-4)
    doubled = stake(answers=1_000_000.0)
    assert doubled.probability == pytest.approx(0.5, abs=1e-6)


def test_the_error_of_throughput_adds_in_quadrature():
    saving = Estimate(value=-0.001, low=-0.0025, high=-0.0005)
    at = stake(saves=saving)
    assert at.per_answer.low == pytest.approx(0.004 - np.hypot(0.002, 0.0015))
    assert at.per_answer.high == pytest.approx(0.004 + np.hypot(0.002, 0.0005))
    assert stake().probability > at.probability > 0.5


@pytest.mark.parametrize(
    ("extra_usd", "worth", "expected"),
    [
        (100.0, (0.01, 0.005, 0.02), (10_000, 5_000, 20_000)),
        (100.0, (0.01, -0.005, 0.02), (10_000, 5_000, None)),
        (100.0, (-0.001, -0.01, 0.02), (None, 5_000, None)),
        (100.0, (-0.01, -0.02, -0.001), (None, None, None)),
        (0.0, (0.01, 0.0, 0.02), (0.0, 0.0, 0.0)),
        (0.0, (-0.01, -0.02, 0.01), (None, 0.0, None)),
    ],
)
def test_never_is_null_and_at_once_is_zero(extra_usd, worth, expected):
    found = breakeven_requests(extra_usd, Estimate(value=worth[0], low=worth[1], high=worth[2]))
    assert (found.value, found.low, found.high) == pytest.approx(expected)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(5)
    rows, runs, value, extra_usd = 400, 5, 0.2, 3000.0
    cost = {"a": 0.004, "b": 0.001}
    truth = norm.cdf(1.5 / np.sqrt(2)) - norm.cdf(1.0 / np.sqrt(2))
    wanted = extra_usd / (cost["b"] - cost["a"] + value * truth)
    held = 0
    for _ in range(800):
        shared = rng.standard_normal(rows)
        right = [
            (level + shared + rng.standard_normal(rows) > 0).astype(float) for level in (1.5, 1.0)
        ]
        clocks = [c * np.exp(0.4 * rng.standard_normal(runs)) for c in cost.values()]
        found = breakeven_requests(
            extra_usd,
            stake(
                extra=extra_usd, value=value, saves=_saves(*clocks), gain=paired_difference(*right)
            ).per_answer,
        )
        above = found.low is not None and found.low <= wanted
        held += above and (found.high is None or wanted <= found.high)
    # 95 % of 800, with three Monte Carlo errors of 0.8 points.
    assert 0.927 < held / 800 < 0.98


def _saves(a: np.ndarray, b: np.ndarray) -> Estimate:
    from choose.judge.decision.break_even import _saving
    from choose.judge.measures.costs import _cost_by_time

    first, second = (_cost_by_time(times.tolist(), 1.0) for times in (a, b))
    return _saving(first, second)


def test_a_break_even_is_of_the_one_that_costs_more_to_train():
    contenders = field(world(), rule())
    pair = breakeven_of(contenders, "probe", "lora")
    assert pair == breakeven_of(contenders, "lora", "probe")
    assert (pair.a, pair.b) == ("lora", "probe")
    # A dollar a second: fits of 200 s and 2 s, answers of 200 ms and 2 ms, 1,200 a year.
    assert pair.extra_usd == pytest.approx(198)
    worth = -0.198 + 4 * pair.gain.value
    assert pair.requests.value == pytest.approx(198 / worth)
    assert pair.expected == 1200
    assert balance_of(contenders, "lora", "probe").net.value == pytest.approx(1200 * worth - 198)


def test_a_gain_of_just_the_margin_breaks_even_just_at_the_end():
    contenders = field(world(), rule())
    pair = breakeven_of(contenders, "lora", "probe")
    at = stake(
        extra=pair.extra_usd,
        saves=Estimate(value=-0.198, low=0, high=0),
        gain=difference(contenders.margin("lora", "probe")),
        value=4.0,
        answers=pair.expected,
    )
    assert breakeven_requests(at.extra, at.per_answer).value == pytest.approx(pair.expected)
    assert at.net.value == pytest.approx(0, abs=1e-6)


def test_who_is_cheap_to_train_and_dear_to_ask_pays_below_a_volume():
    first, second = 1000 + 120_000 * 0.001, 100 + 120_000 * 0.02
    prices = rule(value_per_right_answer=0.05, volume=10_000)
    assert break_even_gain(first, second, prices) == pytest.approx(
        (120_000 * 0.019 - 900) / (0.05 * 120_000)
    )
    assert break_even_gain(first, second, prices) == break_even_gain(second, first, prices)


@pytest.mark.parametrize(
    "change",
    [{"value_per_right_answer": None}, {"volume": None}],
)
def test_unpriced_there_is_no_break_even(change):
    assert judge(world(rows=300), rule(**change)).breakeven is None


def test_without_a_common_row_there_is_none():
    evidence = world(rows=300)
    runs = tuple(
        replace(
            r,
            asked={("clean", 0): r.asked["clean", 0][half]},
            answers={
                ("clean", 0): replace(
                    r.answers["clean", 0],
                    outputs=r.answers["clean", 0].outputs[half],
                    status=r.answers["clean", 0].status[half],
                )
            },
        )
        for r in evidence.runs
        for half in [slice(None, 150) if r.trial.candidate == "lora" else slice(150, None)]
    )
    apart = field(replace(evidence, runs=runs), rule())
    assert breakeven_of(apart, "lora", "probe") is None
    assert breakeven_of(apart, "probe", "majority") is not None


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


@pytest.mark.parametrize("change", [{"value_per_right_answer": None}, {"volume": None}])
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


def gate(found: Decision):
    return next(g for g in found.gates if g.name == "worth its cost")


def test_unpriced_it_is_unknown_and_says_where_to_price_it():
    found = gate(judge(world(rows=300), Rule()))
    assert found.status == "unknown"
    assert found.code == "no-prices"


def test_a_missing_price_is_named():
    found = gate(judge(world(rows=300), rule(volume=None)))
    assert found.status == "unknown"
    assert (found.code, found.names) == ("unpriced", ("costs.volume",))
    found = gate(judge(world(rows=300), rule(value_per_right_answer=None)))
    assert found.names == ("costs.value_per_right_answer",)


@pytest.mark.parametrize(
    ("value", "margin", "status"),
    [(40, 0.02, "pass"), (6, 0.02, "unknown"), (2, 0.02, "fail")],
)
def test_it_passes_and_fails_with_the_whole_interval(value, margin, status):
    """The same gain at three worths; the margin is stated, so that the choice stays the same."""
    evidence, prices = world(0.86, 0.8, rows=2000), rule(margin, value_per_right_answer=value)
    decision = judge(evidence, prices)
    assert decision.verdict.use_meanwhile == "lora"
    found = gate(decision)
    assert found.status == status
    contenders = field(evidence, prices)
    nets = [balance_of(contenders, "lora", name).net for name in ("probe", "majority")]
    worst = min(nets, key=lambda net: net.low)
    ends = (worst.low, worst.high)
    if status == "pass":
        assert all(net.low >= 0 for net in nets)
    assert (found.value.low, found.value.high) == ends
    if status == "fail":
        assert ends[1] < 0


def test_the_cheapest_has_nothing_to_pay_back():
    decision = judge(study([probe(0.9), lora(0.9)], 600, 1), rule())
    assert decision.verdict.use_meanwhile == "probe"
    assert gate(decision).status == "pass"
    assert gate(decision).code == "cheapest"


def test_the_claims_about_volume_are_true():
    """Judged again at a volume on the other side of the break-even, the other one is taken."""
    evidence = world(0.86, 0.8, rows=4000)
    first = judge(evidence, rule())
    pair = first.breakeven
    assert (pair.a, pair.b) == ("lora", "probe")
    needed = pair.requests.value / 12
    assert first.verdict.use_meanwhile == "probe"
    over = judge(evidence, rule(volume=1.5 * needed))
    assert over.verdict.use_meanwhile == "lora"


PRICES = TokenPrices(usd_per_million_in=2.0, usd_per_million_cached=0.5, usd_per_million_out=8.0)


def test_read_cached_and_written_tokens_are_never_blended():
    read, cached, written = np.array([1000, 500]), np.array([600, 0]), np.array([10, 2])
    # 400 x 2 + 600 x 0.5 + 10 x 8 = 1,180 and 500 x 2 + 2 x 8 = 1,016 millionths.
    assert dollars(PRICES, read, cached, written) == pytest.approx([0.00118, 0.001016])


def test_without_a_discount_a_cached_token_costs_what_others_do():
    plain = TokenPrices(usd_per_million_in=2.0, usd_per_million_out=8.0)
    tokens = np.array([1000]), np.array([600]), np.array([10])
    assert dollars(plain, *tokens) == pytest.approx([0.00208])
    assert dollars(plain, tokens[0], None, tokens[2]) == pytest.approx([0.00208])


@pytest.mark.parametrize(
    ("prices", "read", "written"),
    [
        (PRICES, None, np.array([1])),
        (PRICES, np.array([1]), None),
        (TokenPrices(usd_per_million_out=8.0), np.array([1]), np.array([1])),
        (TokenPrices(usd_per_million_in=2.0), np.array([1]), np.array([1])),
    ],
)
def test_what_was_not_counted_or_priced_is_null(prices, read, written):
    assert dollars(prices, read, None, written) is None


def test_where_nothing_is_written_its_price_is_not_needed():
    prices = TokenPrices(usd_per_million_in=2.0)
    assert dollars(prices, np.array([500]), None, np.array([0])) == pytest.approx([0.001])


def test_prices_come_from_the_study_file():
    prices = {"usd_per_million_in": 2.0, "usd_per_million_out": 8.0}
    fast = {"base_url": "https://h/v1", "model": "m", **prices}
    study = load_study({"endpoints": {"fast": fast}})
    told = [
        Candidate(name=model, strategy="prompt", params={"model": model})
        for model in ("endpoint:fast", "endpoint:slow", "org/fast")
    ]
    stored = json.loads(json.dumps(describe_candidates(study, told)))
    big, other, local = map(_candidate, stored)
    assert big.token_prices == TokenPrices(usd_per_million_in=2.0, usd_per_million_out=8.0)
    assert big.remote
    assert (other.token_prices, other.remote) == (None, True)
    assert not local.remote


def by_an_api(usd_per_1k=2.0):
    """The priced world, in which lora's answers are bought at a price for 1,000 of them."""
    evidence = world(rows=300)
    facts = {"usd_per_1k": usd_per_1k, "token_prices": TokenPrices()}
    infos = [replace(c, **facts) if c.name == "lora" else c for c in evidence.candidates]
    return replace(evidence, candidates=tuple(infos))


def test_labels_are_paid_back_by_what_a_month_saves():
    """400 labels of half a minute at $30 an hour are $100; probe computes 0.002 s an answer."""
    prices = rule(volume=10_000, usd_per_hour=0.36)
    contenders = field(by_an_api(), prices)
    found = payback_of(contenders, "lora")
    probe = contenders.costs["probe"].answer.value
    assert (found.api, found.own, found.labels) == ("lora", "probe", 400)
    assert found.api_usd == pytest.approx(20.0)
    assert found.own_usd == pytest.approx(10_000 * probe)
    assert found.labels_usd == pytest.approx(100.0)
    assert found.months == pytest.approx(100 / (20 - 10_000 * probe))
    assert judge(by_an_api(), prices).payback == payback_of(contenders, "probe")


def test_what_is_not_known_of_a_payback_is_null():
    unpriced = field(by_an_api(None), rule(usd_per_hour=None, volume=None))
    found = payback_of(unpriced, "probe")
    assert (found.api_usd, found.own_usd, found.months) == (None, None, None)
    dear = payback_of(field(by_an_api(1e-9), rule(volume=100)), "probe")
    assert dear.months is None, "it never pays back"
    assert payback_of(field(world(rows=300), rule()), "probe") is None  # no API

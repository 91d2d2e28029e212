"""From how many answers on a candidate pays for itself: golden values, known worlds."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from choose.judge.decision.break_even import Balance, breakeven_requests, breakevens
from choose.judge.measures.cost_comparison import break_even_gain
from choose.judge.measures.cost_sheet import AnswerCost, YearCost
from choose.judge.stats.intervals import Estimate
from choose.judge.stats.paired import Difference, paired_difference
from choose.judge.stats.two_way import BehrensFisher
from choose.judge.verdict import judge
from support.priced_studies import field, rule, world


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
        few_runs=False,
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
    from choose.judge.measures.cost_sheet import _cost_by_time

    first, second = (_cost_by_time(times.tolist(), 1.0) for times in (a, b))
    return _saving(first, second)


def test_a_study_gives_the_break_even_of_every_two():
    found = {(b.a, b.b): b for b in breakevens(field(world(), rule()))}
    assert set(found) == {("probe", "majority"), ("lora", "majority"), ("lora", "probe")}
    pair = found["lora", "probe"]
    # A dollar a second: fits of 200 s and 2 s, answers of 200 ms and 2 ms, 1,200 a year.
    assert pair.extra_usd == pytest.approx(198)
    assert pair.saves_per_1k.value == pytest.approx(-198)
    worth = -0.198 + 4 * pair.gain.value
    assert pair.requests.value == pytest.approx(198 / worth)
    assert pair.requests_per_month.value == pytest.approx(198 / worth / 12)
    assert pair.expected == 1200
    assert pair.net_usd.value == pytest.approx(1200 * worth - 198)


def test_a_gain_of_just_the_margin_breaks_even_just_at_the_end():
    contenders = field(world(), rule())
    pair = next(b for b in breakevens(contenders) if (b.a, b.b) == ("lora", "probe"))
    at = stake(
        extra=pair.extra_usd,
        saves=Estimate(value=pair.saves_per_1k.value / 1000, low=0, high=0),
        gain=difference(contenders.margin("lora", "probe")),
        value=4.0,
        answers=pair.expected,
    )
    assert breakeven_requests(at.extra, at.per_answer).value == pytest.approx(pair.expected)
    assert at.net.value == pytest.approx(0, abs=1e-6)


def test_who_is_cheap_to_train_and_dear_to_ask_pays_below_a_volume():
    first = YearCost(training=1000.0, answer=AnswerCost(0.001, 0.001, 0.001, False))
    second = YearCost(training=100.0, answer=AnswerCost(0.02, 0.02, 0.02, False))
    prices = rule(value_per_right_answer=0.05, volume_per_month=10_000)
    assert break_even_gain(first, second, prices) == pytest.approx(
        (120_000 * 0.019 - 900) / (0.05 * 120_000)
    )
    assert break_even_gain(first, second, prices) == break_even_gain(second, first, prices)


@pytest.mark.parametrize(
    "change",
    [{"value_per_right_answer": None}, {"volume_per_month": None}],
)
def test_unpriced_there_is_no_break_even(change):
    assert judge(world(rows=300), rule(**change)).breakeven == ()


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
    found = breakevens(field(replace(evidence, runs=runs), rule()))
    assert {(b.a, b.b) for b in found} == {("probe", "majority")}

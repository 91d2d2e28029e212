"""Where one candidate overtakes another, by labels and by answers: golden values, known worlds."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from choose.judge.decision.contenders import contenders_of
from choose.judge.decision.crossovers import (
    FORECAST,
    MEASURED,
    Balance,
    breakeven_requests,
    breakevens,
    crossings_of,
    forecast_crossings,
)
from choose.judge.goal import Rule
from choose.judge.measures.cost_comparison import break_even_gain, extra_usd
from choose.judge.measures.cost_sheet import AnswerCost, LifetimeCost
from choose.judge.scores.score_tables import study_scores
from choose.judge.stats.intervals import Estimate
from choose.judge.stats.paired import Difference, paired_difference
from choose.judge.stats.two_way import BehrensFisher
from choose.judge.verdict import judge
from choose.report.decision_text import forecast_lines
from choose.schema.decision import Crossing, Decision
from simulation.setting import SimulatedCandidate
from support import simulated_studies as worlds
from support.priced_studies import HOURS, PLAN, field, retiring, rule, world

RISING = {25: 0.45, 50: 0.55, 100: 0.65, 200: 0.74}
SLOW = {25: 0.62, 50: 0.64, 100: 0.66, 200: 0.675}


def lora(accuracy: float = 0.82, at: Any = RISING, **more: Any) -> SimulatedCandidate:
    return worlds.lora(accuracy, at=at, run_spread=0.05, **more)


def crossings(
    *players: SimulatedCandidate, rows: int = 1500, seed: int = 3
) -> tuple[Crossing, ...]:
    return crossings_of(
        contenders_of(study_scores(worlds.study(list(players), rows, seed)), Rule())
    )


def test_a_crossing_between_measured_sizes_is_shown_with_its_labels():
    """By construction lora passes tfidf between 100 labels (a point behind) and 200 (6.5 ahead)."""
    found = crossings(worlds.tfidf(0.69, at=SLOW, seeds=3, run_spread=0.05), lora())
    assert len(found) == 1
    assert (found[0].a, found[0].b) == ("lora", "tfidf")
    labels = found[0].labels
    assert labels is not None
    assert labels.estimand == MEASURED
    assert labels.low in (50, 100)
    assert labels.high == 200
    assert labels.low <= labels.value <= labels.high
    assert labels.value == pytest.approx(110, abs=30)
    assert found[0].probability is None


def test_what_learns_nothing_is_crossed_as_a_flat_line():
    """A prompted model answers alike at every size; lora passes its 0.6 between 50 and 100."""
    study = worlds.study([worlds.prompt(0.6), lora()], 1500, 3)
    infos = tuple(replace(c, learns=c.name != "prompt") for c in study.candidates)
    found = crossings_of(contenders_of(study_scores(replace(study, candidates=infos)), Rule()))
    assert [(c.a, c.b) for c in found] == [("lora", "prompt")]
    assert found[0].labels is not None
    assert 50 <= found[0].labels.value <= 100


@pytest.mark.slow
def test_two_equal_candidates_hardly_ever_cross():
    """40 studies of a tie at every size: a crossing needs two certain signs, each by chance."""
    shown = 0
    for seed in range(40):
        tied = worlds.tfidf(0.7, at=SLOW, seeds=3, run_spread=0.1)
        found = crossings(tied, lora(0.7, at=SLOW), rows=300, seed=seed)
        shown += sum(c.labels is not None and c.labels.estimand == MEASURED for c in found)
    assert shown <= 2


def test_a_candidate_behind_but_rising_is_foretold_to_overtake():
    ahead = worlds.tfidf(0.78, at=dict.fromkeys(SLOW, 0.78), seeds=3, run_spread=0.05)
    rising = lora(0.74, at={25: 0.46, 50: 0.53, 100: 0.6, 200: 0.67})
    found = crossings(ahead, rising)
    assert [(c.a, c.b) for c in found] == [("lora", "tfidf")]
    assert found[0].labels is not None
    assert found[0].labels.estimand == FORECAST
    assert 400 < found[0].labels.value <= 1600
    assert found[0].probability is not None
    assert 0.5 <= found[0].probability <= 1


def test_nothing_is_foretold_of_two_sizes():
    ahead = worlds.tfidf(0.78, at={200: 0.78}, seeds=3, run_spread=0.05)
    study = worlds.study([ahead, lora(0.74, at={200: 0.67})], 800, 3)
    assert forecast_crossings(contenders_of(study_scores(study), Rule())) == ()


def decide(rule: Rule, *players: SimulatedCandidate) -> Decision:
    return judge(worlds.study([worlds.majority(), *players], 1500, 3), rule)


def test_a_target_in_reach_asks_for_labels_with_interval_and_probability():
    rising = lora(0.74, at={25: 0.46, 50: 0.53, 100: 0.6, 200: 0.67})
    found = decide(Rule(target=0.8, minutes_per_label=2.0), rising)
    assert found.verdict.kind == "collect-labels"
    assert "lora would reach 80 % with about" in found.verdict.headline
    assert "probability" in found.verdict.headline
    step = next(s for s in found.verdict.next if "would reach" in s)
    assert re.search(r"more labels \([\d,]+ to ", step)
    assert "hours" in step
    forecast = next(f for f in found.forecasts if f.candidate == "lora")
    assert forecast.target is not None
    assert forecast.target.probability >= 0.5


def test_a_target_out_of_reach_is_said_to_be():
    flat = lora(0.74, at={25: 0.7, 50: 0.72, 100: 0.73, 200: 0.735})
    found = decide(Rule(target=0.95), flat)
    assert found.verdict.kind == "none-works"
    assert any("unlikely to reach 95 %" in s for s in found.verdict.flips)


def test_records_survive_the_file_and_each_candidate_has_a_line():
    found = decide(Rule(target=0.9), lora())
    again = Decision.model_validate_json(found.model_dump_json(by_alias=True))
    assert again.forecasts == found.forecasts
    lines = list(forecast_lines(found))
    assert len(lines) == 1
    assert lines[0].startswith("lora: ")
    assert "with 1,600 labels" in lines[0]


def test_an_old_record_without_forecasts_loads():
    stored = decide(Rule(), lora()).model_dump(by_alias=True)
    del stored["forecasts"]
    assert Decision.model_validate(stored).forecasts == ()


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
        "months": 12.0,
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
    from choose.judge.decision.crossovers import _saving
    from choose.judge.measures.cost_sheet import _cost_by_time

    bills = [
        LifetimeCost(build=0, refresh=0, answer=_cost_by_time(times.tolist(), 1.0))
        for times in (a, b)
    ]
    return _saving(*bills)


def test_a_study_gives_the_break_even_of_every_two():
    found = {(b.a, b.b): b for b in breakevens(field(world(), rule()))}
    assert set(found) == {("probe", "majority"), ("lora", "majority"), ("lora", "probe")}
    pair = found["lora", "probe"]
    # $200 for two hours and a fit of 2 s; $4,000 and 200 s; 200 ms and 2 ms an answer.
    assert pair.extra_usd == pytest.approx(4000.2 - 200.002)
    assert pair.saves_per_1k.value == pytest.approx(-0.2 + 0.002)
    worth = -0.000198 + 0.05 * pair.gain.value
    assert pair.worth_per_1k.value == pytest.approx(1000 * worth)
    assert pair.requests.value == pytest.approx(3800.198 / worth)
    assert pair.requests_per_month.value == pytest.approx(3800.198 / worth / 12)
    assert pair.value_needed == pytest.approx((3800.198 / 120_000 + 0.000198) / pair.gain.value)
    assert pair.margin == pytest.approx((3800.198 / 120_000 + 0.000198) / 0.05)
    assert pair.margin_of == "lora"
    assert pair.carries == ("gain in accuracy", "dollars an answer of lora")


def test_a_gain_of_just_the_margin_breaks_even_just_at_the_end():
    pair = next(b for b in breakevens(field(world(), rule())) if (b.a, b.b) == ("lora", "probe"))
    at = stake(
        extra=pair.extra_usd,
        saves=Estimate(value=pair.saves_per_1k.value / 1000, low=0, high=0),
        gain=difference(pair.margin),
        value=0.05,
        answers=pair.expected,
    )
    assert breakeven_requests(at.extra, at.per_answer).value == pytest.approx(pair.expected)
    assert at.net.value == pytest.approx(0, abs=1e-6)


def test_retirement_ends_the_window_of_the_one_that_is_built():
    evidence = retiring(world(), "lora", date(2027, 6, 1))
    pairs = {(b.a, b.b): b for b in breakevens(field(evidence, rule()))}
    pair = pairs["lora", "probe"]
    assert pair.months == pytest.approx(182 / 30.436875)
    assert pair.expected == pytest.approx(10_000 * 182 / 30.436875)
    assert pair.extra_usd == pytest.approx(3800.198)
    # The other's second build is part of what this one spares.
    other = retiring(world(), "probe", date(2027, 6, 1))
    spared = {(b.a, b.b): b for b in breakevens(field(other, rule()))}["lora", "probe"]
    assert spared.months == 12
    assert spared.extra_usd == pytest.approx(4000.2 - 2 * 200.002)


def test_refreshes_within_the_window_count():
    prices = rule(refresh_months=3, refresh_labels=100, refresh_hours=HOURS)
    pair = {(b.a, b.b): b for b in breakevens(field(world(), prices))}["lora", "probe"]
    assert pair.extra_usd == pytest.approx(3800.198 * 4)  # labels are the same for both


def test_who_is_cheap_to_build_and_dear_to_ask_pays_below_a_volume():
    first = LifetimeCost(build=1000.0, refresh=0.0, answer=AnswerCost(0.001, 0.001, 0.001, False))
    second = LifetimeCost(build=100.0, refresh=0.0, answer=AnswerCost(0.02, 0.02, 0.02, False))
    assert extra_usd(first, second, PLAN, 12) == pytest.approx(900 - 120_000 * 0.019)
    assert break_even_gain(first, second, PLAN) == pytest.approx(
        (120_000 * 0.019 - 900) / (0.05 * 120_000)
    )
    assert break_even_gain(first, second, PLAN) == break_even_gain(second, first, PLAN)


@pytest.mark.parametrize(
    "change",
    [{"value_per_right_answer": None}, {"volume_per_month": None}, {"engineer_hours": {}}],
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

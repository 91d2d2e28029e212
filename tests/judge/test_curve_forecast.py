"""Curves beyond the data: recovery, coverage on known worlds, refusals, speed."""

from collections.abc import Callable
from dataclasses import replace
from math import hypot, sqrt
from time import process_time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

import promises
from choose.judge.goal import Rule
from choose.judge.measures.learning_curve import (
    CURVE_SHAPES,
    CurvePoints,
    Resamples,
    first_reached,
    fit_curves,
    forecasts_of,
    horizon,
    members,
    needed,
    points_of,
)
from choose.judge.scores.promised_score import (
    FIT_SD,
    MOST_GROWTH,
    Normal,
    promised_gain,
    promised_score,
    rates_by_others,
)
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.report.words import forecast_lines
from choose.schema.candidate_scorecard import CurveForecast
from choose.schema.decision import Decision
from choose.stats import Estimate
from choose.types import SHARE_READ, Floats
from simulation.setting import SimulatedCandidate
from support import simulated_studies as worlds

SIZES = np.array([50.0, 100.0, 200.0, 400.0, 800.0])
EXP3, POW3, LOGARITHM = CURVE_SHAPES

Curve = Callable[[float], float]

CURVES: dict[str, Curve] = {
    "pow3": lambda n: 0.95 - 1.6 * n**-0.35,
    "steep pow3": lambda n: 0.9 - 8.0 * n**-0.8,
    "exp3": lambda n: 0.85 - 0.35 * np.exp(-n / 500),
    "straight in log n": lambda n: 0.35 + 0.045 * np.log2(n),
    "flat": lambda n: 0.7,
}


def points(rng: np.random.Generator, curve: Curve, rows: int = 500, draws: int = 3) -> CurvePoints:
    """Simulate scores whose population accuracy is the curve, plus an effect of each draw."""
    difficulty = rng.standard_normal(rows)
    scores = tuple(answers(rng, difficulty, curve(n), n, draws) for n in SIZES)
    return CurvePoints(SIZES, scores, (tuple(range(draws)),) * len(SIZES), drawn=True)


def answers(rng, difficulty, accuracy, n, draws):
    effect = 0.015 * (800 / n) ** 0.25 * rng.standard_normal(draws)
    level = ndtri(np.clip(accuracy + effect, 0.001, 0.999)) * np.sqrt(1.5)
    noise = np.sqrt(0.5) * rng.standard_normal((len(difficulty), draws))
    return (difficulty[:, None] + noise < level).astype(np.float64)


def ahead(found: CurvePoints) -> Floats:
    return members(found, "a", Resamples(len(found.scores[0])), horizon(found))


@pytest.mark.parametrize(
    ("family", "a", "b", "rate"),
    [(POW3, 0.9, 0.3, 0.35), (EXP3, 0.85, 0.4, 2.0), (LOGARITHM, 0.7, 0.04, 1.0)],
)
def test_a_family_recovers_its_own_curve(family, a, b, rate):
    def truth(x):
        return a - b * family.shape(np.array([rate]), x)[0]

    x = SIZES / SIZES[-1]
    found = fit_curves(family, x, truth(x)[None, :], np.ones(len(x)))
    beyond = np.array([1.0, 2.0, 4.0])
    assert found.at(beyond)[0] == pytest.approx(truth(beyond), abs=0.006)


def test_fits_equal_a_general_optimiser_within_the_bounds():
    """Oracle: scipy's bounded least squares from several starts."""
    from scipy.optimize import least_squares

    rng = np.random.default_rng(3)
    x, w = SIZES / SIZES[-1], np.array([1.0, 1.0, 2.0, 3.0, 4.0])
    for _ in range(10):
        y = np.sort(rng.uniform(0.3, 0.99, 5))
        mine = fit_curves(POW3, x, y[None, :], w)
        loss = float((w * (mine.at(x)[0] - y) ** 2).sum())
        theirs = min(
            least_squares(
                lambda p, y=y: np.sqrt(w) * (p[0] - p[1] * x ** -p[2] - y),
                (0.9, 0.3, start),
                bounds=((0, 0, 0.05), (1, 10, 2)),
            ).cost
            * 2
            for start in (0.1, 0.5, 1.5)
        )
        assert loss <= theirs * 1.03 + 2e-5


def test_a_falling_curve_is_fitted_as_flat_and_never_above_1():
    y = np.array([[0.9, 0.85, 0.8, 0.75, 0.7], [0.5, 0.75, 0.9, 0.97, 0.999]])
    for family in CURVE_SHAPES[:2]:
        found = fit_curves(family, SIZES / SIZES[-1], y, np.ones(5))
        assert found.b[0] == 0
        assert found.a[0] == pytest.approx(0.8)
        assert found.a.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pow3", "steep pow3", "exp3", "straight in log n"])
def test_the_interval_of_labels_needed_holds_the_truth(name):
    """120 studies a world; at a true coverage of 0.95 fewer than 0.88 is a chance below 0.001."""
    curve, covered, studies = CURVES[name], 0, 120
    rng = np.random.default_rng(11)
    goal = 2.0 * SIZES[-1]
    for _ in range(studies):
        found = points(rng, curve)
        reached = ahead(found) >= curve(goal)
        first = first_reached(found, reached)
        low, high = np.quantile(first, (0.025, 0.975), method="inverted_cdf")
        about = needed(found, reached).labels
        assert about is None or (about.low, about.high or np.inf) == (low, high)
        covered += low <= goal <= high
    assert covered / studies >= 0.88, covered / studies


def test_labels_for_a_target_are_found_and_the_impossible_is_unlikely():
    """The curve reaches 0.84 at 1,613 labels and ends at 0.9 at most."""
    curve, rng = (lambda n: 0.9 - 1.0 * n**-0.381), np.random.default_rng(2)
    found = points(rng, curve, rows=20_000, draws=10)
    reached = needed(found, ahead(found) >= 0.84)
    assert reached.probability > 0.8
    assert reached.labels.low < 1613 < (reached.labels.high or np.inf)
    never = needed(found, ahead(found) >= 0.95)
    assert never.probability < 0.05
    assert never.labels is None


def test_a_flat_curve_promises_no_gain():
    rng = np.random.default_rng(9)
    chances = []
    for _ in range(30):
        found = points(rng, CURVES["flat"])
        gained = ahead(found) - ahead(found)[:, :1] >= 0.04
        chances.append(needed(found, gained).probability)
    assert np.mean(chances) < 0.35


def grown(at: dict[int, float], accuracy: float, **more: object) -> SimulatedCandidate:
    return worlds.lora(accuracy, at=at, run_spread=0.1, **more)


FOUR = {25: 0.5, 50: 0.57, 100: 0.64, 200: 0.7}


@pytest.mark.parametrize(
    "player", [grown({100: 0.6}, 0.7), grown(FOUR, 0.75, seeds=2), worlds.majority()]
)
def test_nothing_is_foretold_of_too_few_sizes_or_draws(player):
    laid = study_scores(worlds.study([player], 200, 1))
    assert points_of(laid.candidates[0]) is None
    assert forecasts_of(laid, Rule(target=0.9))[player.name] == CurveForecast(
        candidate=player.name, labels=laid.candidates[0].pool
    )


def test_a_forecast_reaches_four_times_the_labels():
    laid = study_scores(worlds.study([grown(FOUR, 0.75)], 400, 1))
    found = forecasts_of(laid, Rule(target=0.8))["lora"]
    assert found.target.within == 1600
    assert found.target.probability > 0.2


def test_one_pool_counts_as_one_draw_however_often_it_is_fitted():
    """Five seeds on the whole pool say nothing of another pool: curves spread as much."""
    rng = np.random.default_rng(4)
    base = points(rng, CURVES["pow3"])
    widths = []
    for repetitions in (1, 3):
        last = base.scores[-1][:, :1].repeat(repetitions, axis=1)
        draws = (*base.draws[:-1], tuple(range(repetitions)))
        found = CurvePoints(SIZES, (*base.scores[:-1], last), draws, drawn=False)
        widths.append(members(found, "a", Resamples(500), np.array([1600.0])).std())
    assert widths[0] == pytest.approx(widths[1])


def test_clustered_rows_widen_what_is_said_about_rows_like_these():
    rng = np.random.default_rng(6)
    base = points(rng, CURVES["flat"], rows=100)
    copied = CurvePoints(SIZES, tuple(s.repeat(5, axis=0) for s in base.scores), base.draws)
    names = [f"c{i // 5}" for i in range(500)]
    spread = [
        members(copied, "a", Resamples(500, clusters), SIZES[-1:]).std()
        for clusters in (None, names)
    ]
    assert spread[1] > 1.2 * spread[0]


def test_eight_candidates_take_less_than_half_a_second():
    facts = {"family": "baseline", "accuracy": 0.75, "seconds": 1.0, "seeds": 3, "at": FOUR}
    players = [worlds.candidate(name=f"p{i}", **facts) for i in range(8)]
    laid = study_scores(worlds.study(players, 1000, 1))
    [c.main.right for c in laid.candidates if c.main]
    start = process_time()
    assert len(forecasts_of(laid, Rule(target=0.9))) == 8
    assert process_time() - start < 0.5


RISING = {25: 0.45, 50: 0.55, 100: 0.65, 200: 0.74}


def lora(accuracy: float = 0.82, at: Any = RISING) -> SimulatedCandidate:
    return worlds.lora(accuracy, at=at, run_spread=0.05)


def decide(rule: Rule, *players: SimulatedCandidate) -> Decision:
    return judge(worlds.study([worlds.majority(), *players], 1500, 3), rule)


def test_a_target_in_reach_asks_for_labels_with_interval_and_probability():
    rising = lora(0.74, at={25: 0.46, 50: 0.53, 100: 0.6, 200: 0.67})
    found = decide(Rule(target=0.8, minutes_per_label=2.0), rising)
    assert found.verdict.kind == "collect-labels"
    step = next(s for s in found.verdict.steps if s.code == "labels-for-target")
    assert step.labels.low <= step.labels.value <= (step.labels.high or 1e9)
    assert step.minutes
    forecast = next(f for f in found.forecasts if f.candidate == "lora")
    assert forecast.target.probability >= 0.5
    [said] = [line for line in forecast_lines(found) if line.startswith("lora: ")]
    assert f"80 % from about {forecast.target.labels.value:,.0f} (" in said


def test_a_target_out_of_reach_is_said_to_be():
    flat = lora(0.74, at={25: 0.7, 50: 0.72, 100: 0.73, 200: 0.735})
    found = decide(Rule(target=0.95), flat)
    assert (found.verdict.kind, found.verdict.use_meanwhile) == ("none-works", "lora")
    assert all(f.target is None or f.target.probability < 0.5 for f in found.forecasts)
    assert any("95 % not within" in line for line in forecast_lines(found))


def learner(
    main: Floats, pool: int, whole: int, sizes: Any = (), repeats: bool = True, **about: Any
) -> Any:
    tables = {s: SimpleNamespace(right=right[:, None], runs=()) for s, right in dict(sizes).items()}
    facts = {"name": "a", "family": "baseline", "learns": True, "floor": False, "reads": False}
    return SimpleNamespace(
        main=SimpleNamespace(right=main[:, None], runs=()),
        info=SimpleNamespace(**facts | about),
        pool=pool,
        whole=whole,
        sizes=tables,
        by_pool={**tables, pool: None},
        repeats=repeats,
    )


def gain_of(one: Any, *others: Any, learned: int = 0) -> Normal:
    return promised_gain(one, rates_by_others([one, *others])[one.info.name], learned=learned)


SIXTY = np.repeat([1.0, 0.0], [60, 40])
USUAL = Normal(0.16, 0.08**2 + 0.05**2)


def test_each_doubling_removes_the_usual_share_of_errors_where_nothing_else_is_known() -> None:
    """Golden, by hand: 0.16 of 40 points, twice; standard deviations 0.08, 0.05 and 0.02."""
    one = learner(SIXTY, 250, 1_000)
    gain = gain_of(one)
    assert gain.mean == pytest.approx(0.4 * (1 - 0.84**2))
    assert sqrt(gain.variance) == pytest.approx(0.06481, abs=0.00001)
    now = Estimate(value=0.6, low=0.5, high=0.7, estimand="")
    found = promised_score(now, gain)
    assert found.value == pytest.approx(0.71776)
    assert found.value - (found.low or 0) == pytest.approx(0.16166, abs=0.00001)
    for none in (learner(SIXTY, 1_000, 1_000), learner(SIXTY, 0, 1_000)):
        assert gain_of(none) == (0.0, 0.0)
    assert gain_of(one, learned=1_000) == (0.0, 0.0)
    few = gain_of(learner(SIXTY, 250, 1_000, family="prompting"))
    assert few == (0.0, pytest.approx(0.016**2))
    assert gain_of(learner(SIXTY, 250, 1_000, family="retrieval", reads=True)) == few
    assert gain_of(learner(SIXTY, 250, 4_000)).mean == pytest.approx(0.1593057), "it may stop"


def test_a_fit_cut_short_promises_as_one_that_learned_from_the_rows_that_it_read() -> None:
    cut = learner(SIXTY, 500, 1_000)
    cut.main.runs = (SimpleNamespace(share_read=1.0), SimpleNamespace(share_read=0.5))
    assert gain_of(cut) == gain_of(learner(SIXTY, 250, 1_000))


def flat(rows: int, repeats: bool = True, **about: Any) -> Any:
    """Return one whose score of 0.5 was the same with 250 rows as with 500 of 1,000."""
    right = (np.arange(rows) % 10 < 5).astype(float)
    return learner(right, 500, 1_000, {250: right}, repeats, **about)


def test_its_own_curve_counts_as_far_as_its_rows_tell() -> None:
    """Golden: of endless rows a step tells a rate of 0 as far as steps and two fits vary."""
    few, some, many = (gain_of(flat(rows)) for rows in (20, 100, 10**6))
    assert 0.065 > few.mean > some.mean > many.mean
    step = 0.02**2 + 2 * (FIT_SD / 0.5) ** 2
    rate = 0.16 * step / (step + USUAL.variance)
    assert many.mean == pytest.approx(0.5 * rate, abs=1e-5)
    wide = 1 / (1 / step + 1 / USUAL.variance) + 0.02**2
    assert many.variance == pytest.approx(0.25 * wide, rel=1e-4)
    assert gain_of(flat(10**6, repeats=False)).mean < many.mean


def test_curves_of_one_family_tell_as_much_as_one_of_them() -> None:
    held, of_tuned = learner(SIXTY, 250, 4_000, name="held"), {"family": "fine-tuning"}
    one = gain_of(held, flat(1_000, name="b", **of_tuned))
    same = gain_of(held, *(flat(1_000, name=name, **of_tuned) for name in "bcd"))
    assert same == pytest.approx(one)
    assert gain_of(held, flat(1_000, name="b"), flat(1_000, name="c", **of_tuned)).mean < one.mean


def test_a_candidate_without_a_curve_promises_as_others_learned_but_for_references() -> None:
    rows, held = np.arange(1_000) % 10, learner(SIXTY, 250, 4_000, name="held")

    def beside(before: int, now: int, **about: Any) -> Normal:
        few, some = ((rows < n).astype(float) for n in (before, now))
        return gain_of(held, learner(some, 4_000, 4_000, {2_000: few}, name="b", **about))

    alone = gain_of(held)
    assert beside(6, 6).mean < alone.mean < beside(6, 8).mean
    assert beside(6, 8).variance < alone.variance
    assert beside(6, 8, floor=True) == beside(6, 6, learns=False) == alone


def test_who_is_nearly_never_right_does_not_promise_more_than_was_measured() -> None:
    """Six steps of a LoRA on 48 of 250 questions: 2 % of words, and 33 % were promised."""
    nearly_none = np.repeat([1.0, 0.0], [2, 98])
    gain = gain_of(learner(nearly_none, 50, 400))
    assert gain.mean == pytest.approx(0.02 * (MOST_GROWTH**2 - 1))
    assert sqrt(gain.variance) == pytest.approx(hypot(0.095, 0.0225)), "27 points by errors alone"
    assert gain_of(learner(0 * nearly_none, 50, 400)) == (0.0, pytest.approx((3 * 0.02) ** 2))
    study = worlds.study([worlds.retrieval(0.17), worlds.lora(0.02)], 100, 1)
    cut = {"retrieval": {}, "lora": {SHARE_READ: 0.08}}
    runs = tuple(replace(run, shortened=cut[run.trial.candidate]) for run in study.runs)
    verdict = judge(replace(study, runs=runs), Rule()).verdict
    assert verdict.use_meanwhile == "retrieval"
    assert verdict.chance["fine-tuning"] < 0.2, "0.36 by errors alone"


def test_bands_hold_on_the_curves_of_seven_real_sets() -> None:
    """From 100 test rows and pools of 100 and 300 labels the score with 1,000 is foretold."""
    found = [*promises.misses(promises.stored())]
    z = np.array([miss.z for miss in found])
    assert {miss.family for miss in found} == {"baseline", "retrieval", "fine-tuning"}
    assert len({miss.set for miss in found}) == 7
    assert len(z) > 60
    assert np.mean(np.abs(z) < 1.96) >= 0.93
    assert np.abs(np.mean(z)) < 0.3
    assert 0.5 < np.std(z) < 1.2


def test_the_benchmark_passes_over_what_is_no_study(capsys, tmp_path, monkeypatch) -> None:
    """With one choice of figures what is chosen without a set is what is used."""
    monkeypatch.setattr(promises, "TRIED", ((0.16,), (0.08,), (0.08,), (0.1,), (0.02,)))
    assert promises.main(["--stores", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path} is passed over" in told
    used, chosen = ([s[22:] for s in told.splitlines() if s.startswith(w)] for w in ("as", "set"))
    assert used == chosen != []

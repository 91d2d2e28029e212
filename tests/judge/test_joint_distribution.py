"""What all answers together say of the true scores: known cases, coverage, gain over few rows."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from choose.judge.evidence import CandidateInfo, Evidence
from choose.judge.goal import Rule
from choose.judge.scores.joint_distribution import (
    NEEDLESS,
    WIDTHS,
    JointDistribution,
    Known,
    Part,
    _alike,
    _between_fits,
    _covariance_of_rows,
    _design_effects,
    _likeliest,
    _mixture,
    _prior,
    _priors,
    clear_leads,
    joint_distribution,
    least_loss,
    normal_points,
    points_of,
)
from choose.judge.scores.score_tables import study_scores
from choose.types import Family
from simulation.thinned import thin
from support.simulated_studies import field, lora, majority, probe, prompt, study, tfidf


def drawn(rng: np.random.Generator, rows: int, asked: int) -> np.ndarray:
    """Return scores of a cheap candidate on all rows and of two slow ones on the first few.

    The cheap one is right on 7 of 10, the slow ones on 8; hard rows are hard for all.
    """
    hard = rng.normal(size=rows)
    scores = np.stack([hard + 0.8 * rng.normal(size=rows) < c for c in (0.67, 1.08, 1.08)], axis=1)
    found = scores.astype(np.float64)
    found[asked:, 1:] = np.nan
    return found


def test_with_all_answers_the_likeliest_mean_is_the_plain_one() -> None:
    scores = drawn(np.random.default_rng(1), 200, 200)
    within = _covariance_of_rows(scores, np.ones(200))
    mean, error = _likeliest(scores, np.ones(200), within)
    assert mean == pytest.approx(scores.mean(axis=0), abs=1e-9)
    assert error == pytest.approx(within / 200, rel=1e-9)
    assert np.diag(within) == pytest.approx(scores.var(axis=0), rel=0.03)


def test_missing_answers_are_regressed_on_those_that_are_there() -> None:
    """Golden: with two candidates and known covariances it is the textbook regression estimate."""
    scores = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, np.nan], [1.0, np.nan]])
    mean, error = _likeliest(scores, np.ones(4), np.array([[0.2, 0.1], [0.1, 0.3]]))
    slope, left = 0.1 / 0.2, 0.3 - 0.1**2 / 0.2
    assert mean == pytest.approx([0.75, 1.0 + slope * (0.75 - 0.5)])
    assert error[1, 1] == pytest.approx(left / 2 + slope**2 * 0.2 / 4)


def test_the_law_holds_the_truth_nearly_as_often_as_it_says_and_errs_less() -> None:
    """Simulated: 40 of 800 rows asked of the slow ones, true difference to the cheap one 10 points.

    The estimate errs less than the mean difference on the rows that both answered. What the few
    rows say of the slope is uncertain too, so that 95 % are not quite reached.
    """
    rng, plain, joint, z = np.random.default_rng(7), [], [], []
    truth = drawn(rng, 400_000, 400_000).mean(axis=0)
    for _ in range(300):
        scores = drawn(rng, 800, 40)
        mean, error = _likeliest(scores, np.ones(800), _covariance_of_rows(scores, np.ones(800)))
        sd = np.sqrt(error[0, 0] + error[1, 1] - 2 * error[0, 1])
        wanted = truth[1] - truth[0]
        plain.append((scores[:40, 1] - scores[:40, 0]).mean() - wanted)
        joint.append(mean[1] - mean[0] - wanted)
        z.append(joint[-1] / sd)
    assert np.std(joint) < 0.9 * np.std(plain)
    assert abs(np.mean(joint)) < 3 * np.std(joint) / 17
    assert 0.90 < np.mean(np.abs(z) < 1.96) < 0.98


def test_rows_in_clusters_tell_as_much_as_one_row_of_each() -> None:
    scores = drawn(np.random.default_rng(2), 100, 100)
    doubled = np.repeat(scores, 2, axis=0)
    clusters = tuple(f"c{n // 2}" for n in range(200))
    assert _design_effects(doubled, np.ones(200), clusters) == pytest.approx([2.0] * 3)
    assert _design_effects(scores, np.ones(100), None) == pytest.approx([1.0] * 3)


def test_rows_of_one_document_count_as_one_where_there_are_others() -> None:
    """Of six documents of 50 rows the slow candidates answered one, and a row of the next."""
    clusters = tuple(f"c{n // 50}" for n in range(300))
    effects = _design_effects(drawn(np.random.default_rng(2), 300, 50), np.ones(300), clusters)
    assert effects[1:] == pytest.approx([50.0, 50.0])
    assert effects[0] < 10
    effects = _design_effects(drawn(np.random.default_rng(2), 300, 51), np.ones(300), clusters)
    assert effects[1:] == pytest.approx([(50**2 + 1) / 51] * 2)


def test_the_points_of_a_law_have_its_moments_and_are_the_same_every_time() -> None:
    for dimensions in (2, 8, 12):
        points = normal_points(dimensions)
        assert np.abs(points.mean(axis=0)).max() < 1e-12
        assert points.T @ points / len(points) == pytest.approx(np.eye(dimensions), abs=1e-9)
        # The shape too: a quarter lies above each upper quartile.
        assert (points > 0.6745).mean(axis=0) == pytest.approx([0.25] * dimensions, abs=0.02)
    # Golden: the golden ratio's first step, 0.618, leads to the quantile of 0.118.
    assert normal_points(1)[0, 0] == pytest.approx(-1.185, abs=0.01)
    few, many = (normal_points.__wrapped__(dimensions, 32) for dimensions in (8, 40))
    assert (few.shape, many.shape) == ((32, 8), (160, 40)), "more points than candidates"
    assert many.T @ many / len(many) == pytest.approx(np.eye(40), abs=1e-9)
    covariance = np.array([[0.04, 0.01], [0.01, 0.02]])
    points, weights = JointDistribution(("a", "b"), (part(1.0, [0.6, 0.7], covariance),)).points
    assert weights @ points == pytest.approx([0.6, 0.7])
    assert np.cov(points.T) == pytest.approx(covariance, rel=0.001)
    apart = part(0.25, [0.2, 0.7], 2 * covariance)
    mixed = JointDistribution(("a", "b"), (part(0.75, [0.6, 0.7], covariance), apart))
    points, weights = mixed.points
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ points == pytest.approx([0.5, 0.7])
    wanted = pytest.approx(np.array([[0.08, 0.0125], [0.0125, 0.025]]))
    assert np.cov(points.T, aweights=weights, ddof=0) == wanted == covariance_of(mixed)


def test_points_of_ends_do_not_depend_on_the_signs_of_eigenvectors(monkeypatch) -> None:
    some, eigh = [part(1.0, [0.6, 0.7], np.array([[0.04, 0.01], [0.01, 0.02]]))], np.linalg.eigh
    points = points_of(some, 64)
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: (eigh(matrix)[0], -eigh(matrix)[1]))
    assert points_of(some, 64) == pytest.approx(points)


def mean_of(law: JointDistribution) -> np.ndarray:
    return sum(part.share * part.mean for part in law.parts)


def covariance_of(law: JointDistribution) -> np.ndarray:
    gaps = [(part, part.mean - mean_of(law)) for part in law.parts]
    return sum(part.share * (part.covariance + np.outer(gap, gap)) for part, gap in gaps)


def sd_to_probe(law: JointDistribution, name: str) -> float:
    sign = np.array([(n == name) - float(n == "probe") for n in law.names])
    return float(sign @ covariance_of(law) @ sign) ** 0.5


def part(share: float, mean: Sequence[float], covariance: np.ndarray) -> Part:
    return Part(np.array(share), np.array(mean), covariance)


def mixture(infos, widths, mean, error):
    everyone = np.arange(len(mean))
    return _mixture([*_priors(infos, widths)], Known(everyone, mean, error), everyone)


def infos(*families: Family) -> list[CandidateInfo]:
    names = [f"{family} {n}" for n, family in enumerate(families)]
    each = zip(names, families, strict=True)
    return [CandidateInfo(name=n, strategy=n, family=f, model=None, cheap=True) for n, f in each]


def test_widths_are_weighed_by_how_well_they_foretold_what_was_measured() -> None:
    """Golden: shares by Bayes' rule with the densities of scipy."""
    mean, error = np.array([0.61, 0.7, 0.72]), np.diag([0.02, 0.03, 0.04]) ** 2
    three = infos("baseline", "baseline", "fine-tuning")
    priors = [_prior(three, width) for width in WIDTHS[:3]]
    priors += [priors[2] + 0.15**2 * np.diag(np.eye(3)[i]) for i in range(3)]
    density = [multivariate_normal(np.full(3, 0.5), p + error).pdf(mean) for p in priors]
    wanted = np.array([0.87, 0.09, 0.03, *[0.01 / 3] * 3]) * density
    wanted[wanted < 0.001 * wanted.max()] = 0.0
    parts = mixture(three, WIDTHS, mean, error)
    assert [part.share for part in parts] == pytest.approx((wanted / wanted.sum())[wanted > 0])
    prior = priors[0]
    assert parts[0].mean == pytest.approx(0.5 + prior @ np.linalg.inv(prior + error) @ (mean - 0.5))
    both = np.linalg.inv(prior) + np.linalg.inv(error)
    assert parts[0].covariance == pytest.approx(np.linalg.inv(both))


@pytest.mark.parametrize(("apart", "equal"), [(0.004, True), (0.1, False)])
def test_measured_scores_as_near_as_chance_makes_them_say_that_nothing_differs(apart, equal):
    """Four families, each with an error of 1.5 points."""
    families: tuple[Family, ...] = ("baseline", "prompting", "retrieval", "fine-tuning")
    mean, error = 0.8 + apart * np.array([-1.0, 0.0, 1.0, 2.0]), np.eye(4) * 0.015**2
    law = JointDistribution(families, mixture(infos(*families), WIDTHS, mean, error))
    tied = sum(part.share for part in law.parts if part.covariance[0, 0] < 0.0115**2)
    assert (tied > 0.9) if equal else (tied < 0.001)
    assert least_loss(law, families, 0.02) == ("baseline" if equal else "fine-tuning")


def test_a_member_that_its_family_is_unlike_keeps_what_it_measured() -> None:
    """As on restaurant8k: a tagger among constant fields and patterns, beside fine-tuning.

    Members that lie apart by five points, whatever is measured, drew the tagger down by three.
    """
    mean, error = np.array([0.34, 0.52, 0.35, 0.47, 0.88, 0.876]), np.eye(6) * 0.03**2
    families: list[Family] = ["baseline"] * 5 + ["fine-tuning"]
    six = infos(*families)
    law = JointDistribution(tuple("abcdef"), mixture(six, WIDTHS, mean, error))
    assert mean_of(law) == pytest.approx(mean, abs=0.02)
    assert least_loss(law, "abcdef", 0.02) == "e"
    assert mixture(six, WIDTHS[:1], mean, error)[0].mean[4] < 0.86


def test_one_that_leads_many_alike_keeps_its_lead() -> None:
    """As on text2sql: nine within four points and one ten ahead, of which half a point was left.

    Part of the errors is common to all, as that of 20 databases.
    """
    mean = np.array([0.728, 0.831, 0.726, 0.727, 0.738, 0.734, 0.739, 0.757, 0.765, 0.767])
    error = 0.022**2 * np.eye(10) + 0.015**2
    ten = infos(*["prompting"] * 2, *["retrieval"] * 5, *["fine-tuning"] * 3)
    law = JointDistribution(tuple("abcdefghij"), mixture(ten, WIDTHS, mean, error))
    assert mean_of(law)[1] - mean_of(law)[0] > 0.05
    assert least_loss(law, "ab", 0.02) == "b"


@pytest.mark.parametrize("lead", [-0.03, 0.0, 0.001, 0.02, 0.05])
def test_of_two_the_choice_is_that_of_the_closed_form(lead: float) -> None:
    """The costlier one is used where the losses of both, by the normal distribution, say so."""
    sd = 0.03
    one = part(1.0, [0.7, 0.7 + lead], np.eye(2) * sd**2 / 2)
    law = JointDistribution(("cheap", "costly"), (one,))
    z = (np.array([lead, -lead]) - 0.02) / sd
    up, down = sd * (norm.pdf(z) + z * norm.cdf(z))  # expected parts beyond the margin
    costly = down + NEEDLESS * 0.02 * norm.cdf(-z[0])
    assert least_loss(law, ("cheap", "costly"), 0.02) == ("costly" if costly < up else "cheap")
    assert least_loss(law, ("costly",), 0.02) == "costly"


def answered(right: np.ndarray, **facts: Any) -> Any:
    return SimpleNamespace(main=SimpleNamespace(right=right), **facts)


def test_a_repetition_of_a_fifth_of_the_rows_counts_as_a_fifth_of_one() -> None:
    """Golden, by hand: of ten rows the second fit answered two, one of them otherwise."""

    def of(second: Sequence[float]) -> float:
        right = np.full((10, 2), np.nan)
        right[:, 0], right[: len(second), 1] = [1.0, 0.0] * 5, second
        return _between_fits(answered(right, repeats=True))

    assumed = 4 * 0.03**2
    assert of([1, 1]) == pytest.approx((assumed + 2 * 0.2 * 0.25**2) / 4.2 / 1.2)
    assert of([1, 1, 1, 1, *[1, 0] * 3]) == pytest.approx((assumed + 2 * 0.1**2) / 5 / 2)


def test_the_variance_that_half_a_repetition_shows_is_as_large_as_the_true_one() -> None:
    """Simulated: fits that differ by 10 points; what is assumed beforehand is taken off."""
    rng, shown = np.random.default_rng(3), []
    for _ in range(1_500):
        right = np.tile(rng.normal(0.5, 0.1, size=2), (200, 1))
        right[100:, 1] = np.nan
        shown.append(_between_fits(answered(right, repeats=True)) * 1.5 * 4.5 - 4 * 0.03**2)
    assert np.mean(shown) / 0.5 == pytest.approx(0.1**2, rel=0.12)


def thin_study(seed: int) -> Evidence:
    players = [majority(), tfidf(0.7), probe(0.78), prompt(0.8), lora(0.8, run_spread=0.05)]
    return study(players, 600, seed)


def test_weights_and_the_order_of_candidates_do_not_change_the_law() -> None:
    seen = field(thin_study(3), Rule())
    order, rows = seen.order, seen.scores.rows
    law = joint_distribution(order, rows)
    thrice = replace(rows.metric, weigh=lambda _: np.full(600, 3.0))
    again = joint_distribution(order, replace(rows, metric=thrice))
    assert mean_of(again) == pytest.approx(mean_of(law))
    assert covariance_of(again) == pytest.approx(covariance_of(law))
    assert mean_of(joint_distribution(order[::-1], rows))[::-1] == pytest.approx(mean_of(law))
    assert np.all(np.linalg.eigvalsh(covariance_of(law)) > 0)


def test_an_answer_that_fewer_rows_tell_is_less_certain() -> None:
    whole = field(thin_study(5), Rule()).distribution
    few = field(thin(thin_study(5), 60, np.random.default_rng(1)), Rule()).distribution
    for name in ("prompt", "lora"):
        assert sd_to_probe(few, name) > sd_to_probe(whole, name)
    assert sd_to_probe(few, "tfidf") == pytest.approx(sd_to_probe(whole, "tfidf"), rel=0.05)


@pytest.mark.parametrize(("accuracy", "least", "most"), [(0.4, 0.0, 0.05), (0.6, 0.7, 1.0)])
def test_all_rows_of_a_reference_tell_whether_it_is_beaten(accuracy, least, most) -> None:
    """ "Not shown to beat guessing": 55 % of 100 rows, where guessing has 39 % of 1,421."""
    told = []
    for seed in range(150):
        seen = study([majority(0.4), prompt(accuracy)], 600, seed)
        scores = study_scores(thin(seen, 50, np.random.default_rng(seed)))
        told.append(("prompt", "majority") in clear_leads(scores.candidates, scores.rows))
    assert least <= np.mean(told) <= most


@pytest.mark.parametrize(("right", "clear"), [((0, 0, 20, 30, 50), 0), ((0, 10, 20, 30, 40), 1)])
def test_five_documents_of_100_questions_tell_as_much_as_five_rows(right, clear) -> None:
    """Golden, by hand: leads of 2.36 and 3.16 standard errors; of five rows, t is 2.78."""
    scores = np.concatenate([np.arange(100) < own for own in right]).astype(float)[:, None]
    each = [answered(n * scores, repeats=False, info=SimpleNamespace(name=n)) for n in (0, 1)]
    rows: Any = SimpleNamespace(weights=None, clusters=tuple(f"d{n // 100}" for n in range(500)))
    assert clear_leads(each, rows) == ({(1, 0)} if clear else set())


@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_of_candidates_with_the_same_answers_the_cheapest_is_used(margin: float) -> None:
    seen = study([majority(), tfidf(1.0), probe(1.0), prompt(1.0)], 60, 1)
    joint = field(seen, Rule()).distribution
    assert least_loss(joint, ("tfidf", "probe", "prompt"), margin) == "tfidf"


@pytest.mark.parametrize("candidates", [1, 8, 11])
def test_rows_with_the_same_answers_missing_are_those_that_numpy_finds(candidates: int) -> None:
    known = np.random.default_rng(candidates).random((300, candidates)) < 0.8
    first, of_row = _alike(known)
    patterns, places = np.unique(known, axis=0, return_inverse=True)
    assert np.array_equal(known[first], patterns)
    assert np.array_equal(of_row, places.ravel())

"""Golden values, independent implementations, and coverage by simulation."""

from dataclasses import astuple, replace
from functools import cache
from math import sqrt

import numpy as np
import pytest

from choose.stats.intervals import AGRESTI_COULL, skewed_interval, two_way_interval, wilson
from choose.stats.paired import (
    holm,
    imaginary,
    mcnemar_midp,
    paired_difference,
    rows_needed,
    smallest_detectable_gain,
)
from choose.stats.two_way import BehrensFisher, moderated, two_way
from choose.tasks.metrics import UNUSABLE, macro_f1, per_label


@pytest.mark.parametrize("graded", [True, False])
def test_the_discordance_is_that_of_all_pairs_of_repetitions(graded):
    rng = np.random.default_rng(3)
    x, y = rng.random((40, 6)), rng.random((40, 9))
    x, y = (x, y) if graded else ((x > 0.3) * 1.0, (y > 0.5) * 1.0)
    weights = rng.random(40) + 0.5
    found, pairs = paired_difference(x, y, None, weights, graded=graded), x[:, :, None] - y[:, None]
    assert found.largest == np.abs(pairs).max()
    squares = ((pairs / found.largest) ** 2).mean(axis=(1, 2))
    assert found.discordance == pytest.approx(np.average(squares, weights=weights), rel=1e-12)
    size = (pairs**2).sum() / np.abs(pairs).sum()
    assert imaginary(x - column[:, None] for column in y.T) == pytest.approx((-size, size))


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [
        *((1, 7, 0.0390625), (10, 25, 0.011331), (30, 50, 0.025654), (0, 6, 0.015625)),
        *((40, 40, 0.911), (0, 0, 1.0), (1, 1, 0.5)),
    ],
)
def test_mcnemar_midp_golden(b, c, p):
    assert mcnemar_midp(b, c) == pytest.approx(p, abs=5e-4 if b == 40 else 2e-6)
    assert mcnemar_midp(c, b) == pytest.approx(mcnemar_midp(b, c))


def test_mcnemar_agrees_with_statsmodels_exact():
    from scipy.stats import binom
    from statsmodels.stats.contingency_tables import mcnemar

    for b, c in [(3, 9), (14, 22), (0, 4)]:
        exact = mcnemar([[10, b], [c, 10]], exact=True).pvalue
        assert mcnemar_midp(b, c) == pytest.approx(exact - binom.pmf(min(b, c), b + c, 0.5))


def test_wilson_golden_and_oracle():
    assert wilson(90, 100) == pytest.approx((0.8256, 0.9448), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(20, 20)[1] == 1.0
    from statsmodels.stats.proportion import proportion_confint

    for k, n in [(1, 8), (149, 150), (500, 3000)]:
        assert wilson(k, n) == pytest.approx(proportion_confint(k, n, method="wilson"))


def test_holm_golden_and_oracle():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).uniform(0, 0.1, 7)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("n", "discordance", "points"),
    [(100, 0.10, 8.8), (100, 0.30, 15.2), (200, 0.05, 4.4), (500, 0.20, 5.6), (3080, 0.10, 1.6)],
)
def test_smallest_detectable_gain_golden(n, discordance, points):
    gain = smallest_detectable_gain(n, discordance)
    assert 100 * gain == pytest.approx(points, abs=0.05)
    assert rows_needed(gain, discordance) == pytest.approx(n, abs=1)


def test_smallest_detectable_gain_edges():
    assert smallest_detectable_gain(100, 0.05) is None
    assert smallest_detectable_gain(0, 0.2) is None
    assert smallest_detectable_gain(300, 0.0) is None
    assert smallest_detectable_gain(300, 0.2, repetition_variance=1e-4) > (
        smallest_detectable_gain(300, 0.2)
    )


def test_detectable_gain_is_found_four_times_in_five():
    rng, n, discordance = np.random.default_rng(1), 400, 0.16
    gain = smallest_detectable_gain(n, discordance)
    shares = [(discordance + gain) / 2, (discordance - gain) / 2, 1 - discordance]
    found = [
        mcnemar_midp(b, c) <= 0.05 and b > c for b, c, _ in rng.multinomial(n, shares, size=3000)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_crossed_matches_the_mean_squares():
    y = np.random.default_rng(2).normal(size=(40, 4))
    n, s = y.shape
    row, column = y.mean(1) - y.mean(), y.mean(0) - y.mean()
    rest = y - y.mean(1, keepdims=True) - column
    ms_items = s * (row**2).sum() / (n - 1)
    ms_columns = n * (column**2).sum() / (s - 1)
    ms_rest = (rest**2).sum() / ((n - 1) * (s - 1))
    parts = two_way(y)
    assert parts.items == pytest.approx(ms_items / (n * s))
    assert parts.columns == pytest.approx(ms_columns / (n * s))
    assert parts.residual == pytest.approx(ms_rest / (n * s))
    assert parts.sd_of_repetitions == pytest.approx(sqrt(max(0, (ms_columns - ms_rest) / n)))


def test_the_deviation_of_repetitions_is_recovered():
    rng = np.random.default_rng(3)
    y = rng.normal(0, 0.4, (2000, 1)) + rng.normal(0, 0.05, (1, 40))
    y = y + rng.normal(0, 0.2, (2000, 40))
    assert two_way(y).sd_of_repetitions == pytest.approx(0.05, rel=0.3)
    assert two_way(y[:, :1]).sd_of_repetitions is None


def test_clusters_agree_with_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(4)
    names = rng.integers(0, 30, 200)
    y = rng.normal(size=200) + rng.normal(size=30)[names]
    fit = sm.OLS(y, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": names, "use_correction": True}
    )
    # statsmodels also multiplies by (n - 1) / (n - k), which is 1 here.
    assert two_way(y, [str(c) for c in names]).items == pytest.approx(fit.bse[0] ** 2, rel=1e-6)


@pytest.mark.parametrize(
    ("sizes", "least"),
    [
        *(([rows], 95) for rows in (30, 200, 1000)),
        *((sizes, 85) for sizes in ([599, 1], [500, 100], [580] + [1] * 20, [150] + [1] * 450)),
    ],
)
def test_a_cluster_of_most_or_all_rows_does_not_represent_all_clusters(sizes, least) -> None:
    """Clusters are right in 20 to 100 % of their rows."""
    rng = np.random.default_rng(8)
    names = [str(n) for n, size in enumerate(sizes) for _ in range(size)]
    held = {"accuracy": 0, "difference": 0}
    for _ in range(100):
        right, other = (np.repeat(rng.uniform(0.2, 1.0, len(sizes)), sizes) for _ in "ab")
        a, b = (rng.random(len(names)) < p for p in (right, other))
        found = two_way_interval(a.astype(float), names)
        held["accuracy"] += found.low <= 0.6 <= found.high
        gap = paired_difference(a.astype(float), b.astype(float), names)
        held["difference"] += gap.low <= 0 <= gap.high
    assert min(held.values()) >= least, held


def test_the_deviation_of_a_large_cluster_is_that_of_the_jackknife() -> None:
    y = np.random.default_rng(9).normal(size=(60, 1))
    names = ["large"] * 30 + [f"c{n // 5}" for n in range(30)]
    without = [y[[n != name for n in names]].mean() for name in dict.fromkeys(names)]
    groups = len(without)
    found = two_way(y, names)
    assert found.items == pytest.approx(
        (groups - 1) / groups * sum((m - y.mean()) ** 2 for m in without)
    )
    assert found.clusters == pytest.approx(60**2 / (30**2 + 6 * 5**2))


def test_own_clusters_change_nothing():
    y = np.random.default_rng(5).integers(0, 2, (50, 3)).astype(float)
    own = [str(i) for i in range(50)]
    assert astuple(two_way_interval(y, own)) == pytest.approx(astuple(two_way_interval(y)))
    joined, apart = paired_difference(y, y[::-1], own), paired_difference(y, y[::-1])
    # Sums are taken in another order, and their last digit is not the same.
    assert (joined.low, joined.high, joined.p) == pytest.approx((apart.low, apart.high, apart.p))
    assert replace(joined, error=apart.error, low=0, high=0, p=0) == replace(
        apart, low=0, high=0, p=0
    )


def test_equal_weights_change_nothing_and_doubled_rows_pull():
    y = np.random.default_rng(6).integers(0, 2, (50, 3)).astype(float)
    same = two_way_interval(y, weights=np.full(50, 7.0))
    assert same.value == pytest.approx(two_way_interval(y).value)
    assert same.low == pytest.approx(two_way_interval(y).low)
    weights = np.where(np.arange(50) < 25, 3.0, 1.0)
    expected = np.average(y.mean(1), weights=weights)
    assert two_way_interval(y, weights=weights).value == pytest.approx(expected)


def test_blend_reduces_to_student_and_normal():
    from scipy.stats import norm, t

    assert BehrensFisher(1.0, np.inf).half_width() == pytest.approx(norm.ppf(0.975), abs=1e-4)
    assert BehrensFisher(0.0, 50, 4.0, 2).half_width() == pytest.approx(
        2 * t.ppf(0.975, 2), abs=1e-3
    )
    assert BehrensFisher(1.0, 9).p(2.262157) == pytest.approx(0.05, abs=1e-5)
    assert BehrensFisher(0.0, 3).half_width() == 0.0


def test_blend_matches_simulation():
    rng = np.random.default_rng(7)
    draws = sqrt(0.6) * rng.standard_t(60, 400_000) + sqrt(0.4) * rng.standard_t(2, 400_000)
    blend = BehrensFisher(0.6, 60, 0.4, 2)
    assert blend.half_width() == pytest.approx(np.quantile(np.abs(draws), 0.95), rel=0.01)
    assert blend.p(2.0) == pytest.approx((np.abs(draws) >= 2.0).mean(), abs=0.003)


def test_bonett_price_without_repetitions():
    a = np.array([1] * 25 + [0] * 10 + [1] * 65)
    found = paired_difference(a, np.array([0] * 25 + [1] * 10 + [1] * 65))
    up, down, n = 26 / 102, 11 / 102, 102
    half = 1.959964 * sqrt((up + down - (up - down) ** 2) / n)
    assert found.value == pytest.approx(0.15)
    assert (found.low, found.high) == pytest.approx((up - down - half, up - down + half), abs=1e-5)
    assert found.p == pytest.approx(0.011331, abs=1e-6)
    assert found.method == "McNemar mid-p"


def test_mcnemar_only_where_no_seed_and_no_cluster():
    rng = np.random.default_rng(8)
    a, b = (rng.integers(0, 2, (60, 1)).astype(float) for _ in range(2))
    many = rng.integers(0, 2, (60, 3)).astype(float)
    assert paired_difference(a, b).method == "McNemar mid-p"
    assert paired_difference(a, b, [str(i // 2) for i in range(60)]).method == "clustered"
    assert paired_difference(a, b, weights=np.arange(1, 61)).method == "weighted"
    assert paired_difference(a / 2, b / 2).method == "paired t"
    assert paired_difference(many, b).method == "items x repetitions"
    assert paired_difference(many, many[::-1, :2]).method == "variances added"


def test_a_difference_turns_round():
    rng = np.random.default_rng(9)
    a, b = rng.integers(0, 2, (60, 4)).astype(float), rng.integers(0, 2, (60, 2)).astype(float)
    forth, back = paired_difference(a, b), paired_difference(b, a)
    assert back.value == pytest.approx(-forth.value)
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low))
    assert forth.negated() == paired_difference(b, a)


def test_identical_answers_are_not_certainty():
    for n in (8, 150, 2000):
        same = paired_difference(np.ones((n, 3)), np.ones((n, 3)))
        assert same.value == 0.0
        assert same.p == 1.0
        assert same.high == pytest.approx(-same.low)
        assert same.high > 2 / n
    assert paired_difference(np.ones(8), np.zeros(8)).low > 0.3


def test_an_expected_variance_moderates_golden():
    # Smyth 2004: (d0 s0^2 + d s^2) / (d0 + d), with d0 = 4.
    found = moderated(BehrensFisher(1e-4, 99, 5e-4, 1), 1e-3)
    assert found == BehrensFisher(1e-4, 99, pytest.approx((4 * 1e-3 + 5e-4) / 5), 5)
    unseen = moderated(BehrensFisher(1e-4, 99), 1e-3)
    assert (unseen.second, unseen.df_second) == (1e-3, 4)


def test_an_expectation_counts_only_where_there_are_two_repetitions():
    rng = np.random.default_rng(11)
    a, b = (rng.integers(0, 2, (200, 3)).astype(float) for _ in range(2))
    assert paired_difference(a, b, expected=9e-4) == paired_difference(a, b)
    assert paired_difference(a[:, :1], b[:, :1], expected=9e-4) == paired_difference(
        a[:, :1], b[:, :1]
    )
    two = paired_difference(a[:, :2], b[:, :2], expected=9e-4)
    assert two.error.df_second > paired_difference(a[:, :2], b[:, :2]).error.df_second


def test_an_assumed_variance_widens():
    rng = np.random.default_rng(11)
    a, b = (rng.integers(0, 2, (200, 1)).astype(float) for _ in range(2))
    plain, wide = paired_difference(a, b), paired_difference(a, b, assumed=0.02**2)
    assert wide.value == plain.value
    assert wide.high - wide.low > plain.high - plain.low
    assert wide.method == "McNemar mid-p" or wide.p >= plain.p


def test_an_unfinished_repetition_is_not_used():
    rng = np.random.default_rng(13)
    a, b = rng.integers(0, 2, (100, 3)).astype(float), rng.integers(0, 2, (100, 3)).astype(float)
    b[80:, 2] = np.nan
    found = paired_difference(a, b)
    assert (found.rows, found.repetitions) == (100, (3, 2))
    b[80:, 1] = np.nan
    found = paired_difference(a, b)
    assert (found.rows, found.repetitions) == (80, (3, 3))
    b[20:, 1:] = np.nan
    found = paired_difference(a, b)
    assert (found.rows, found.repetitions) == (100, (3, 1))
    b[60:] = np.nan  # an unfinished fold: rows that both answered stay
    b[:60] = a[:60, ::-1]
    found = paired_difference(a, b)
    assert (found.rows, found.repetitions) == (60, (3, 3))
    assert found.value == pytest.approx(a[:60].mean() - b[:60].mean())


def test_no_common_row_is_an_error(refusal):
    a, b = np.array([1.0, np.nan]), np.array([np.nan, 1.0])
    assert "no row" in refusal(ValueError, paired_difference, a, b)


# The interval of a share of 5 % in so many studies ends at 8 %; what ignores repetitions is called
# different in 15 % and more.
STUDIES = 250


def _studies(rng, studies, n, repetitions, sd, sides=2):
    """Yield tied sides on shared difficulties: item x side and item x repetition interact."""
    for _ in range(studies):
        difficulty = 1.5 * rng.standard_t(4, (n, 1))
        yield [_answers(rng, difficulty, repetitions, sd) for _ in range(sides)]


def _answers(rng, difficulty, repetitions, sd):
    n = len(difficulty)
    row, run = rng.normal(0, 1, (n, 1)), rng.normal(0, sd, (1, repetitions))
    return (1.5 - difficulty + row + run + rng.normal(0, 0.5, (n, repetitions)) > 0).astype(float)


@cache
def _truth(sd):
    rng = np.random.default_rng(99)
    latent = 1.5 - 1.5 * rng.standard_t(4, 2_000_000)
    return (latent + rng.normal(0, sqrt(1.25 + sd**2), 2_000_000) > 0).mean()


@pytest.mark.parametrize(
    ("repetitions", "low", "high"), [(3, 0.91, 0.97), (5, 0.93, 0.97), (8, 0.93, 0.97)]
)
@pytest.mark.parametrize("sd", [0.2, 0.4])
def test_coverage_of_the_two_way_interval(repetitions, low, high, sd):
    rng, studies, truth = np.random.default_rng(20), STUDIES, _truth(sd)
    covered = [
        found.low <= truth <= found.high
        for sides in _studies(rng, studies, 300, repetitions, sd, sides=1)
        for found in [two_way_interval(sides[0])]
    ]
    slack = 2 * sqrt(0.95 * 0.05 / studies)
    assert low - slack <= np.mean(covered) <= high + slack


@pytest.mark.parametrize("sd", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("repetitions", [2, 3])
def test_one_candidate_is_covered_from_two_repetitions_on_by_an_interval_that_says_something(
    repetitions, sd
):
    """On these worlds 0.1 to 0.3 in logits is 1.2 to 3.7 points of accuracy; 3 are expected."""
    rng, studies, truth = np.random.default_rng(20), STUDIES, _truth(sd)
    found = [
        two_way_interval(sides[0], expected=0.03**2)
        for sides in _studies(rng, studies, 300, repetitions, sd, sides=1)
    ]
    slack = 2 * sqrt(0.95 * 0.05 / studies)
    covered = np.mean([f.low <= truth <= f.high for f in found])
    assert 0.91 - slack <= covered <= (1.0 if repetitions == 2 else 0.97 + slack)
    assert max(f.high - f.low for f in found) < (0.3 if repetitions == 2 else 1.0)


def test_two_unlike_repetitions_never_give_an_interval_of_everything():
    """One degree of freedom alone says 0 to 100: seen where two fits got 60 and 80 of 100."""
    rows = np.arange(300)
    y = np.stack([rows % 10 < 6, rows % 10 < 8], axis=1).astype(float)
    alone, expected = two_way_interval(y), two_way_interval(y, expected=0.03**2)
    assert (alone.low, alone.high) == (0.0, 1.0)
    # By hand: v2 = (4 * 0.03^2 / 2 + 0.1^2) / 5 = 0.00236 with 5 degrees of freedom.
    assert two_way(y).repetition == pytest.approx(0.01, abs=2e-4)
    half = moderated(two_way(y, pseudo=AGRESTI_COULL).error, 0.03**2 / 2).half_width()
    assert half == pytest.approx(2.571 * sqrt(0.00236), rel=0.06)
    assert expected.high - expected.low == pytest.approx(2 * half, abs=1e-9)


@pytest.mark.parametrize("sd", [0.2, 0.4])
def test_the_interval_of_one_fit_covers_that_fit(sd):
    """One repetition is about the artefact: its accuracy on all rows, not that of another fit."""
    rng, studies, covered = np.random.default_rng(28), 400, []
    for _ in range(studies):
        latent = 1.5 - 1.5 * rng.standard_t(4, 20_000) + rng.normal(0, sd)
        right = (latent + rng.normal(0, sqrt(1.25), 20_000) > 0).astype(float)
        low, high = wilson(float(right[:300].sum()), 300)
        covered.append(low <= right.mean() <= high)
    assert 0.93 - 2 * sqrt(0.95 * 0.05 / studies) <= np.mean(covered) <= 0.98


@pytest.mark.parametrize(("left", "right"), [(3, 3), (5, 5), (5, 3), (3, 1), (1, 1)])
@pytest.mark.parametrize("sd", [0.2, 0.4])
def test_a_true_tie_is_called_different_at_most_one_time_in_twenty(left, right, sd):
    rng, studies = np.random.default_rng(21), STUDIES
    called = []
    for a, b in _studies(rng, studies, 300, 5, sd):
        if right == 1:  # a side without a seed: its marginal spread stays, its repetitions go
            a, b = _unseeded(rng, a, 300, sd, left)
        found = paired_difference(a[:, :left], b[:, :right])
        called.append(found.low > 0 or found.high < 0)
    assert np.mean(called) <= 0.05 + 2 * sqrt(0.05 * 0.95 / studies)


@pytest.mark.parametrize("sd", [0.1, 0.2, 0.3])
def test_two_repetitions_with_an_expectation_call_few_ties_different_and_find_gaps(sd):
    # On these worlds 0.1 to 0.3 in logits is 1.2 to 3.7 points of accuracy; 3 are expected.
    rng, studies = np.random.default_rng(27), STUDIES
    called, found_gap, found_alone = [], [], []
    for a, b in _studies(rng, studies, 300, 2, sd):
        found = paired_difference(a, b, expected=0.03**2)
        called.append(found.low > 0 or found.high < 0)
        worse = b * (rng.random(b.shape) > 0.2)
        found_gap.append(paired_difference(a, worse, expected=0.03**2).low > 0)
        found_alone.append(paired_difference(a, worse).low > 0)
    assert np.mean(called) <= 0.05 + 2 * sqrt(0.05 * 0.95 / studies)
    assert np.mean(found_gap) >= 0.75
    assert np.mean(found_gap) > np.mean(found_alone) + 0.1


def _unseeded(rng, seeded, n, sd, left):
    difficulty = 1.5 * rng.standard_t(4, (n, 1))
    fixed = 1.5 - difficulty + rng.normal(0, sqrt(1.25 + sd**2), (n, 1)) > 0
    if left == 1:
        other = 1.5 - difficulty + rng.normal(0, sqrt(1.25 + sd**2), (n, 1)) > 0
        return other.astype(float), fixed.astype(float)
    return _answers(rng, difficulty, left, sd), fixed.astype(float)


def test_clusters_keep_the_size_of_the_test():
    rng, studies, wrong, right = np.random.default_rng(23), STUDIES, [], []
    names = [str(i // 10) for i in range(300)]
    for _ in range(studies):
        shared = rng.normal(0, 1.5, (2, 30)).repeat(10, axis=1)
        a, b = (shared + rng.normal(0, 1, (2, 300)) > -1).astype(float)
        right.append(paired_difference(a, b, names).p <= 0.05)
        wrong.append(paired_difference(a, b).p <= 0.05)
    assert np.mean(right) <= 0.05 + 2 * sqrt(0.05 * 0.95 / studies)
    assert np.mean(wrong) > 0.2


def test_macro_f1_agrees_with_sklearn():
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    rng = np.random.default_rng(30)
    targets, outputs = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    expected = f1_score(targets, outputs, average="macro")
    assert macro_f1(targets, outputs, 5) == pytest.approx(expected)
    found = per_label(targets, outputs, 5)
    precision, recall, _, support = precision_recall_fscore_support(targets, outputs)
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.support.tolist() == support.tolist()


def test_macro_f1_averages_labels_that_occur():
    targets = np.array([0, 0, 1, 1])
    assert macro_f1(targets, np.array([0, 0, 2, UNUSABLE]), 3) == pytest.approx(0.5)
    assert macro_f1(targets, targets, 3) == pytest.approx(1.0)


def graded(rng, hard, runs, level):
    """Draw scores as records get: many 1, some 0, the rest between; (rows, 1) `hard` is shared."""
    rows = len(hard)
    effect = 0.15 * rng.standard_normal(runs) if runs > 1 else 0.0
    own = hard + 0.6 * rng.standard_normal((rows, 1)) + 0.3 * rng.standard_normal((rows, runs))
    mean = np.clip(0.5 + level + effect - own, 0, 1)
    between = (mean > 0) & (mean < 1)
    p = np.where(between, np.clip(mean, 1e-3, 1 - 1e-3), 0.5)
    return np.where(between, rng.beta(6 * p, 6 * (1 - p)), mean)


@pytest.mark.parametrize(("rows", "runs"), [(60, 1), (200, 1), (150, 5)])
def test_intervals_of_graded_differences_cover(rows, runs):
    """Two candidates of one law on the same rows: their true difference is 0."""
    rng, held, studies = np.random.default_rng(3), 0, 250
    for _ in range(studies):
        hard = rng.standard_normal((rows, 1))
        found = paired_difference(*[graded(rng, hard, runs, 0.6) for _ in range(2)], graded=True)
        held += found.low <= 0 <= found.high
    assert 0.92 <= held / studies <= 0.985


def test_graded_rows_by_hand():
    x, y = np.array([1.0, 0.5, 0.75, 1.0]), np.array([1.0, 0.25, 0.25, 0.5])
    d = x - y
    size = (d**2).sum() / d.sum()
    found = paired_difference(x, y, graded=True)
    values = np.array([*d, -size, size])
    assert found.center == pytest.approx(values.mean())
    variance = ((d - values.mean()) ** 2).sum() + 2 * size**2 + 2 * values.mean() ** 2
    assert found.error.variance == pytest.approx(variance / 36)
    assert found.method == "paired t"
    assert found.value == pytest.approx(d.mean())


def test_graded_rows_that_are_right_or_wrong_are_compared_as_labels_are():
    rng = np.random.default_rng(2)
    x, y = (rng.integers(0, 2, (80, 1)).astype(float) for _ in range(2))
    assert paired_difference(x, y, graded=True) == paired_difference(x, y)
    assert paired_difference(x, y, graded=True).method == "McNemar mid-p"


def test_the_interval_of_a_loss_that_one_of_ten_documents_has():
    """By hand: V = 0.013314, t = 2.2622, third cumulants 0.001 seen and 0.000842 by Beta.

    A quarter of the first and three of the second is 0.000882, of which 0.929 counts. So the upper
    limit is 0.4623 above the center of 0.0909, the lower one 0.2246 below; both were 0.261.
    """
    y, names = np.zeros(20), [f"d{n // 2}" for n in range(20)]
    y[:2] = 1.0
    found = skewed_interval(y, names)
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == pytest.approx((-0.1337, 0.5533), abs=2e-4)
    gained = skewed_interval(-y, names)
    assert (gained.low, gained.high) == pytest.approx((-found.high, -found.low))


def test_differences_without_skewness_have_the_symmetric_interval():
    y = np.repeat([[0.5], [-0.5], [0.0]], 100, axis=0)
    found, usual = skewed_interval(y), two_way_interval(y, pseudo=imaginary([y]))
    assert (found.low, found.high) == pytest.approx((usual.low, usual.high), rel=1e-3)


@pytest.mark.parametrize("documents", [1, 2, 3, 15, 300])
def test_losses_of_exactly_zero_have_a_symmetric_interval_around_0(documents):
    """Rows of one document are alike, so fewer documents give wider intervals."""
    found = skewed_interval(np.zeros((300, 3)), [f"d{n % documents}" for n in range(300)])
    assert found.low == pytest.approx(-found.high)
    least, most = {1: (0.9, 20), 15: (0.015, 0.02), 300: (0.008, 0.01)}.get(documents, (0.02, 1))
    assert least < found.high < most


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "repetitions", "loss", "mixed"),
    [
        ([25] * 12, 3, 0.1, False),
        ([15] * 20, 2, 0.3, False),
        ([4] * 80, 3, 0.04, False),
        ([1] * 300, 1, 0.03, False),
        ([1] * 20, 1, 0.3, False),
        ([1] * 10 + [5] * 10 + [12] * 10, 2, 0.12, False),
        ([3] * 100, 1, 0.06, True),
    ],
)
def test_coverage_of_losses_that_differ_between_documents(sizes, repetitions, loss, mixed):
    """Of 10 % in 12 documents and 4 % in 80 the symmetric interval holds 90 and 93 %."""
    rng, studies, missed = np.random.default_rng(77), 1_000, 0
    names = [f"d{n}" for n, size in enumerate(sizes) for _ in range(size)]
    truth = 0.8 * loss * (0.5 if mixed else 1.0)
    for _ in range(studies):
        lost, gained = (
            rng.random((len(names), repetitions))
            < 0.1 * p / (1 - p) + (0.9 - 0.1 * p / (1 - p)) * h
            for p in (loss, loss / 2)
            for h in [_happens(rng, p, sizes)]
        )
        y = rng.uniform(0.6, 1.0, (len(names), 1)) * (lost - 1.0 * gained * mixed)
        found = skewed_interval(y, None if max(sizes) == 1 else names)
        missed += not found.low <= truth <= found.high
    slack = 2 * sqrt(0.95 * 0.05 / studies)
    assert 0.93 - slack <= 1 - missed / studies <= (0.97 if len(sizes) > 20 else 0.99) + slack


def _happens(rng, mean, sizes):
    """Draw which rows something happens to: in single rows alike, in documents more or less."""
    shares = rng.beta(3 * mean, 3 * (1 - mean), len(sizes))
    shares = np.full(len(sizes), mean) if max(sizes) == 1 else shares
    return (rng.random(sum(sizes)) < np.repeat(shares, sizes))[:, None]

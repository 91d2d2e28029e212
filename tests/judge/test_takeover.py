"""What a cheap candidate takes over from a language model: by hand, and how often it errs."""

from dataclasses import replace

import numpy as np
import pytest

from choose.judge.decision.candidates import select_candidates
from choose.judge.diagnosis.cascade import levels_of, safe_threshold, takeover_of
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.report import words
from choose.stats import Estimate
from choose.stats.intervals import clopper_pearson
from support import answered_studies as answered

LABELS = "abc"


@pytest.mark.parametrize(
    ("successes", "n", "interval"),
    [
        (0, 10, (0, 0.3085)),
        (5, 10, (0.1871, 0.8129)),
        (10, 10, (0.6915, 1)),
        (3, 60, (0.0104, 0.1392)),
    ],
)
def test_exact_intervals_are_those_of_the_tables(successes, n, interval):
    assert clopper_pearson(successes, n) == pytest.approx(interval, abs=1e-4)


def test_what_agrees_everywhere_takes_all_rows_once_these_suffice():
    for rows, taken in ((200, 1.0), (100, None)):  # 1 - 0.025 ** (1 / n) is 1.8 % and 3.6 %
        same = np.ones(rows)
        safe = safe_threshold(same, same, np.linspace(0, 1, rows), [0.9, 0.5, 0.0], 0.02)
        assert (safe.share and safe.share.value) == taken


def test_the_first_level_that_fails_ends_the_search():
    """Rows of middle confidence are lost; those below would win them back, and are not tried."""
    sure = np.repeat([0.9, 0.5, 0.1], 300)
    cheap = np.repeat([1.0, 0.0, 1.0], 300)
    safe = safe_threshold(cheap, np.repeat([1.0, 1.0, 0.0], 300), sure, [0.9, 0.5, 0.1], 0.02)
    assert safe.threshold == 0.9
    assert safe.share.value == pytest.approx(1 / 3)
    assert safe.lost.value == 0
    assert 0 < safe.lost.high <= 0.02


def test_levels_are_shares_of_the_rows_and_end_with_all():
    found = levels_of(np.linspace(0, 1, 101))
    assert found[-1] == 0
    assert found == sorted(found, reverse=True)
    assert len(found) == 20


@pytest.mark.parametrize("most", [0.02, 0.05])
def test_a_router_loses_more_than_it_may_in_five_of_a_hundred_worlds_at_most(most):
    """Confidence c is uniform; the cheap one is right with 0.5 + c / 2, the strong one with 0.9."""
    rng, worlds, rows = np.random.default_rng(8), 1500, 600
    wrong, shares = 0, []
    for _ in range(worlds):
        sure = rng.random(rows)
        cheap, strong = rng.random(rows) < 0.5 + sure / 2, rng.random(rows) < 0.9
        calibrates = np.arange(rows) % 5 == 0
        levels = levels_of(sure[calibrates])
        tests = (side[~calibrates] for side in (cheap * 1.0, strong * 1.0, sure))
        safe = safe_threshold(*tests, levels, most)
        t = 1.0 if safe.threshold is None else safe.threshold
        wrong += 0.4 * (1 - t) - 0.25 * (1 - t**2) > most  # the integral of 0.9 - 0.5 - c / 2
        shares.append(1 - t)
    assert wrong / worlds <= 0.05 + 2 * (0.05 * 0.95 / worlds) ** 0.5
    assert np.mean(shares) > 0.1, "a bound that lets nothing through would pass too"


def evidence(rows=1000, *, price=None, model="gpt-4o", clusters=None):
    rng = np.random.default_rng(2)
    targets = rng.choice(list(LABELS), rows)
    other = np.array([rng.choice([x for x in LABELS if x != t]) for t in targets])
    sure = rng.uniform(0.4, 1.0, rows)
    said = list(np.where(rng.random(rows) < np.where(sure > 0.7, 1.0, 0.5), targets, other))
    cheap = answered.player("probe", said, scores=answered.scores(LABELS, said, sure), model=None)
    strong = list(np.where(rng.random(rows) < 0.95, targets, other))
    players = [cheap, answered.player(model, strong, "prompting", cheap=False)]
    found = answered.study(LABELS, list(targets), players, clusters=clusters)
    infos = [
        replace(c, hosted=c.name == "gpt-4o", usd_per_1k=price if c.name == model else None)
        for c in found.candidates
    ]
    return replace(found, candidates=tuple(infos))


def test_what_is_sure_is_taken_over_and_dollars_follow_the_volume():
    decision = judge(evidence(price=2.5), Rule(volume=100_000))
    found = decision.takeover
    assert (found.cheap, found.strong, found.rows) == ("probe", "gpt-4o", 800)
    assert found.share.low <= 0.5 <= found.share.high + 0.05
    assert found.threshold == pytest.approx(0.7, abs=0.05)
    assert found.saved_usd_per_1k == pytest.approx(2.5 * found.share.value)
    assert "of $250 a month saved" in words.takeover(decision)
    [step] = [s for s in decision.verdict.steps if s.code == "takeover"]
    assert words.typed(step.command) == "choose export STUDY router --router"
    unpriced = judge(evidence(), Rule())
    assert unpriced.takeover.saved_usd_per_1k is None
    assert "$" not in words.takeover(unpriced)


def test_few_rows_show_no_share_to_be_safe_and_one_of_each_cluster_tests():
    decision = judge(evidence(rows=120), Rule())
    assert decision.takeover.threshold is None
    assert words.takeover(decision).startswith("No share of the rows is shown to be safe")
    assert (
        judge(evidence(clusters=[f"c{i // 2}" for i in range(1000)]), Rule()).takeover.rows == 400
    )


def test_what_is_beyond_a_limit_takes_over_nothing_and_of_a_model_here_nothing_is_taken():
    assert judge(evidence(price=2.5), Rule(max_usd_per_1k=3)).takeover is not None
    assert judge(evidence(price=2.5), Rule(max_usd_per_1k=1)).takeover is None
    assert judge(evidence(price=2.5), Rule(max_ms=1e-9)).takeover is None, "all are beyond it"
    assert judge(evidence(model="local"), Rule()).takeover is None, "no calls are saved"


@pytest.mark.parametrize(
    ("lost", "said"), [(-0.005, "0.5 points gained"), (0.01, "1.0 points lost")]
)
def test_a_takeover_says_whether_points_were_lost_or_gained(lost, said):
    decision = judge(evidence(), Rule())
    found = decision.takeover.model_copy(update={"lost": Estimate(value=lost)})
    told = words.takeover(decision.model_copy(update={"takeover": found}))
    assert f"95 % sure ({said} on the 800 rows that tested it)" in told


def test_the_model_to_use_is_the_one_that_is_saved_though_another_scores_more():
    found = evidence()
    [run] = [run for run in found.runs if run.trial.candidate == "gpt-4o"]
    twin = replace(run, trial=replace(run.trial, candidate="gpt-4o-mini"))
    info = next(c for c in found.candidates if c.name == "gpt-4o")
    both = replace(
        found, runs=(*found.runs, twin),
        candidates=(*found.candidates, replace(info, name="gpt-4o-mini")),
    )  # fmt: skip
    for name in ("gpt-4o", "gpt-4o-mini"):
        candidates = select_candidates(study_scores(both), Rule())
        vars(candidates)["best"] = {"prompting": name}
        assert takeover_of(candidates).strong == name

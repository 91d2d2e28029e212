"""How often the decision rule is right on simulated studies, with Monte-Carlo errors."""

from collections import Counter
from math import sqrt

import numpy as np
import pytest

from choose.judge.decision.chance import chances_of
from choose.judge.decision.rule import Case
from choose.judge.decision.verdict_kind import kind_of
from choose.judge.goal import Rule
from choose.judge.scores.joint_distribution import least_loss
from support.simulated_studies import field as selected
from support.simulated_studies import lora, majority, probe, prompt, retrieval, study, tfidf

STUDIES = 80


def slack(share, studies=STUDIES):
    """Two standard errors of a simulated share."""
    return 2 * sqrt(share * (1 - share) / studies)


def play(players, rows, studies=STUDIES, rule=None, **more):
    """Count what is chosen, and the kinds, over simulated studies."""
    sure, kinds, meanwhile = Counter(), Counter(), Counter()
    for seed in range(studies):
        field = selected(study(players, rows, 1000 + seed, **more), rule or Rule())
        case = Case(field, chances_of(field))
        sure[case.named if case.sure else None] += 1
        kinds[kind_of(case)] += 1
        meanwhile[case.named] += 1
    return sure, kinds, meanwhile


TIE = [majority(), tfidf(0.8), probe(0.8), prompt(0.8), retrieval(0.8), lora(0.8)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("players", "rows", "more"),
    [
        (TIE, 150, {}),
        (TIE, 600, {}),
        (TIE, 400, {"folds": 5}),
        (TIE, 400, {"cluster": 8}),
        ([majority(), probe(0.9), lora(0.9, seeds=3, run_spread=0.6)], 600, {}),
        ([majority(), probe(0.8), lora(0.8, seeds=1, run_spread=0.3)], 600, {}),
        ([majority(), probe(0.8, seeds=5), lora(0.8, seeds=2)], 600, {}),
    ],
    ids=["six at 150", "six at 600", "folds", "clusters", "wild seeds", "one seed", "few seeds"],
)
def test_a_tie_has_no_dear_winner(players, rows, more):
    chosen, _, _ = play(players, rows, **more)
    cheapest = players[1].name  # majority is no candidate
    false = sum(count for name, count in chosen.items() if name not in (None, cheapest))
    assert false / STUDIES <= 0.05 + slack(0.05)


def test_a_clear_gap_is_adopted():
    chosen, kinds, _ = play([majority(), probe(0.8), lora(0.9, run_spread=0.05)], 800)
    assert chosen["lora"] / STUDIES >= 0.9
    assert kinds["adopt"] == chosen["lora"]


def test_a_proven_equal_cheap_one_is_enough():
    chosen, kinds, _ = play(
        [majority(), probe(0.93, own=0.3), lora(0.92, own=0.3, run_spread=0.03)], 3000, studies=40
    )
    assert chosen["probe"] / 40 >= 0.9
    assert kinds["baseline-is-enough"] == chosen["probe"]
    assert chosen["lora"] == 0


def test_what_lies_between_is_left_open():
    chosen, kinds, meanwhile = play([majority(), probe(0.8), lora(0.83, run_spread=0.1)], 500)
    assert chosen[None] / STUDIES >= 0.6
    assert sum(kinds[k] for k in ("too-close", "incomplete", "collect-labels")) == chosen[None]
    assert chosen["probe"] / STUDIES <= 0.05 + slack(0.05)
    assert meanwhile["majority"] == 0


@pytest.mark.slow
def test_a_chosen_candidate_is_the_right_one():
    """Over gaps of -2 to 10 points, what is chosen beats all cheaper and yields to none dearer."""
    rng, wrong, chosen = np.random.default_rng(5), 0, 0
    for seed in range(STUDIES):
        gap = rng.uniform(-0.02, 0.1)
        truth = {"majority": 0.4, "tfidf": 0.72, "probe": 0.8, "lora": 0.8 + gap}
        tuned = lora(truth["lora"], run_spread=rng.uniform(0.02, 0.2))
        players = [majority(), tfidf(truth["tfidf"]), probe(truth["probe"]), tuned]
        field = selected(study(players, 600, seed), Rule())
        case = Case(field, chances_of(field))
        if case.sure:
            name, chosen = case.named, chosen + 1
            wrong += any(truth[c] >= truth[name] for c in field.names[: field.names.index(name)])
            wrong += any(truth[d] - truth[name] > 0.02 for d in field.costlier(name))
    assert chosen >= STUDIES / 4
    assert wrong / chosen <= 0.05 + slack(0.05, chosen)


def test_meanwhile_gives_up_little():
    rng, mine, naive = np.random.default_rng(6), [], []
    for seed in range(STUDIES):
        base = rng.uniform(0.7, 0.85)
        truth = {
            "majority": 0.4,
            "probe": base,
            "prompt": base + rng.uniform(-0.08, 0.04),
            "lora": base + rng.uniform(-0.04, 0.08),
        }
        tuned = lora(truth["lora"], run_spread=0.1)
        players = [majority(), probe(truth["probe"]), prompt(truth["prompt"]), tuned]
        field = selected(study(players, 300, seed), Rule())
        best = max(truth.values())
        mine.append(best - truth[chances_of(field).named])
        naive.append(best - truth[field.leader])
    lost = np.array(mine) - np.array(naive)
    assert lost.mean() <= 0.003 + 2 * lost.std() / sqrt(STUDIES)
    assert np.maximum(np.array(mine) - 0.02, 0).mean() <= 0.003


@pytest.mark.parametrize(("dear", "least", "most"), [(0.75, 0, 8), (0.8, 5, 20), (0.9, 24, 30)])
def test_the_dear_one_is_used_as_far_as_it_seems_worth_it(dear, least, most):
    """Of 30 studies of 200 rows: seldom where it is worse, nearly always where it is better."""
    used = []
    for seed in range(30):
        field = selected(study([majority(), probe(0.8), lora(dear)], 200, seed), Rule())
        used.append(least_loss(field.distribution, field.names, field.rule.margin))
    assert least <= used.count("lora") <= most
    assert "majority" not in used

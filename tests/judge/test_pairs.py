"""Where one fit represents all that could have been made, run-to-run variance counts."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from choose.judge.decision.more_labels import rows_to_decide
from choose.judge.goal import Rule
from choose.judge.scores.paired_comparison import ASSUMED_SD, Pairs, compare, full_pool, other_pool
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.run.predict_test_rows import asking_order
from choose.stats.paired import paired_difference
from choose.stats.two_way import independent_rows
from choose.types import Example
from support.answered_studies import player
from support.answered_studies import study as answered
from support.simulated_studies import lora, probe, retrieval, study, tfidf

STUDIES = 100
# Three points of accuracy between fits, on the latent scale of these worlds.
LUCK = 0.15


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("what", ["noise", "size"])
def test_a_tie_of_noised_or_smaller_fits_is_seldom_called_certain(seeds: int, what: str) -> None:
    """Of two candidates that noise and a smaller pool make equal, fitted so often."""
    same = {"at": {200: 0.75}, "noisy": {0.2: 0.75}, "run_spread": LUCK, "seeds": seeds}
    players = [lora(0.9, **same), replace(probe(0.8, **same), name="other")]
    certain, blind = 0, 0
    for seed in range(STUDIES):
        laid = study_scores(study(players, 800, seed))
        one, other = laid["lora"], laid["other"]
        first, second = (
            (one.noise[0.2], other.noise[0.2])
            if what == "noise"
            else (one.sizes[200], other.sizes[200])
        )
        found = compare(other_pool(one, first), other_pool(other, second))
        certain += found.low > 0 or found.high < 0
        told = paired_difference(first.right, second.right)
        blind += told.low > 0 or told.high < 0
    assert certain / STUDIES <= 0.05 + 1.645 * (0.05 * 0.95 / STUDIES) ** 0.5
    if seeds == 1:
        assert blind / STUDIES > 0.1, "without it the variance of a single fit passes for a finding"


def test_a_smaller_pool_of_what_no_seed_changes_has_the_assumed_variance_once() -> None:
    laid = study_scores(study([probe(0.8, at={200: 0.79})], 800, 1))
    sides = full_pool(laid["probe"]), other_pool(laid["probe"], laid["probe"].sizes[200])
    # No seed changes it, and its pool is whole.
    assert not sides[0].varies
    assert compare(*sides).error.second == pytest.approx(ASSUMED_SD**2)


@pytest.mark.slow
def test_few_clusters_are_not_taken_for_many() -> None:
    """A tie over eight groups is called different in about 5 % of samples."""
    rng, certain, count = np.random.default_rng(5), 0, 1500
    names = [f"g{i}" for i in range(8) for _ in range(12)]
    for _ in range(count):
        lean = np.repeat(rng.normal(0, 0.8, 8), 12)
        a, b = (lean + rng.normal(0, 1, 96) > 0), (rng.normal(0, 0.8 * 2**0.5, 96) > -lean)
        x, y = (a, b) if rng.random() < 0.5 else (b, a)
        gap = x.astype(float) - y.astype(float)
        found = paired_difference((gap > 0).astype(float), (gap < 0).astype(float), names)
        certain += found.low > 0 or found.high < 0
    assert certain / count <= 0.05 + 1.645 * (0.05 * 0.95 / count) ** 0.5


def test_f7_of_a_fold_that_one_document_fills_the_first_rows_tell_something() -> None:
    rows = {f"r{n}": Example(id=f"r{n}", text="", target="a") for n in range(98)}
    clusters = {id: "big" if n < 86 else id for n, id in enumerate(rows)}
    data: Any = SimpleNamespace(examples=rows, clusters=clusters, difficulty={})
    own = tuple(clusters[id] for id in asking_order(rows, data)[:25])
    assert own.count("big") == 13
    seen = study([tfidf(0.6), retrieval(0.5)], 25, 1)
    seen = replace(seen, items=replace(seen.items, clusters=own))
    gap = Pairs(study_scores(seen)).difference("retrieval", "tfidf")
    assert gap.high - gap.low < 1.3


def test_rows_that_hang_together_are_worth_less() -> None:
    assert [independent_rows(list(names)) for names in ("abcd", "aabb", "aaab")] == [4, 2, 1.6]
    rng = np.random.default_rng(1)
    a, b = rng.random(400) < 0.8, rng.random(400) < 0.78
    apart = paired_difference(a, b, [str(i) for i in range(400)])
    joined = paired_difference(a, b, [str(i // 4) for i in range(400)])
    assert (apart.independent, joined.independent) == (1.0, 0.25)
    copied = [np.repeat(side[:100], 4).astype(float) for side in (a, b)]
    alone = paired_difference(*copied, [str(i) for i in range(400)])
    together = paired_difference(*copied, [str(i // 4) for i in range(400)])
    few, many = rows_to_decide(alone, 0.02), rows_to_decide(together, 0.02)
    assert many.even > 1.5 * few.even


def test_rows_are_not_said_to_find_what_run_variance_hides() -> None:
    calm = judge(
        study([probe(0.8, seeds=5, run_spread=0.02), lora(0.8, run_spread=0.02)], 3000, 1), Rule()
    )
    wild = judge(study([probe(0.8), lora(0.8, seeds=1)], 3000, 1), Rule())
    steady, few = (
        next(g for g in found.gates if g.name == "labelled set adequate") for found in (calm, wild)
    )
    assert (steady.code, steady.count, few.count) == ("detects", 3000, 3000)
    assert few.share is None or few.share > 2 * steady.share


def test_a_row_set_tells_which_rows_not_only_how_many() -> None:
    rows = study_scores(answered("ab", ["a", "b"] * 20, [player("tfidf", ["a", "b"] * 20)])).rows
    first = np.arange(40) < 20
    assert rows.row_set(first) != rows.row_set(~first)
    assert rows.row_set(first).startswith("20:")
    order = replace(rows, index=dict(reversed(rows.index.items())))
    assert order.row_set(first[::-1]) == rows.row_set(first)

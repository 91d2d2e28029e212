"""Facts that change: what is left of a lead, who is barred, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from choose.formatting import MINUS
from choose.judge.decision.old_facts import NAME, changed_at, less, mean_old, said
from choose.judge.stats.paired import Difference, paired_difference
from choose.judge.stats.two_way import BehrensFisher
from choose.schema.base import Interval
from choose.schema.decision import Decision, Gate, OldFacts
from simulation import old_facts as worlds


def gate(found: Decision) -> Gate:
    [one] = [one for one in found.gates if one.name == NAME]
    return one


@pytest.mark.parametrize(("share", "old"), [(0, 0), (0.2, 0.1), (1, 0.5), (2, 0.75), (4, 0.875)])
def test_the_mean_share_of_old_facts_is_counted_by_hand(share: float, old: float) -> None:
    assert mean_old(share) == pytest.approx(old)
    steps = np.minimum(share * (np.arange(10_000) + 0.5) / 10_000, 1)
    assert mean_old(share) == pytest.approx(steps.mean(), abs=1e-6)
    assert changed_at(mean_old(share)) == pytest.approx(share)


def difference(value: float, first: float, second: float = 0.0, df: float = inf) -> Difference:
    known = paired_difference([1.0, 0.0, 1.0], [0.0, 0.0, 1.0])
    return replace(known, value=value, center=value, error=BehrensFisher(first, inf, second, df))


def test_what_is_left_has_both_variances() -> None:
    found = less(difference(0.3, 0.0009), difference(0.4, 0.0016), 0.5)
    assert found.value == pytest.approx(0.1)
    # 1.96 times the root of 0.0009 + 0.25 x 0.0016.
    assert (found.low, found.high) == (
        pytest.approx(0.02933, abs=1e-5),
        pytest.approx(0.17067, abs=1e-5),
    )
    # Fits have few degrees of freedom: Welch and Satterthwaite give 4 of two with 2 of one size.
    twice = less(difference(0.3, 0.0, 0.0004, 2.0), difference(0.3, 0.0, 0.0004, 2.0), 1.0)
    assert twice.high == pytest.approx(2.7764 * np.sqrt(0.0008), rel=1e-3)


def test_its_interval_covers_the_truth_though_rows_are_in_both() -> None:
    """What is lost is measured on a third of the rows of the lead, by documents."""
    rng, hits, old = np.random.default_rng(5), 0, 0.4
    documents, each, studies = 60, 4, 600
    clusters = [str(n // each) for n in range(documents * each)]
    drilled = np.arange(documents * each) < 20 * each
    for _ in range(studies):
        knows, reads = (np.repeat(rng.beta(2, 2, documents), each) for _ in "ab")
        a, b = (np.asarray(rng.random(len(p)) < p, dtype=float) for p in (knows, reads))
        after = np.asarray(rng.random(len(b)) < reads, dtype=float)
        lead = paired_difference(a, b, clusters, graded=True)
        # Whoever knows by heart loses what it knew; who reads, loses some and gains as many.
        some = [clusters[n] for n in np.flatnonzero(drilled)]
        lost = paired_difference(a[drilled], (b - after)[drilled], some, graded=True)
        found = less(lead, lost, old)
        hits += found.low <= 0 - old * 0.5 <= found.high
    assert 0.93 <= hits / studies <= 0.99


def study(rate: float, *, known: bool = True, seed: int = 1, **scores: float) -> Decision:
    """Judge a study in which `lora` knows facts by heart and `rag` reads them."""
    truth = worlds.Truth(
        {"rag": 0.4, "lora": 0.7, **dict.fromkeys(worlds.OTHERS, worlds.WEAK), **scores},
        {"rag": 0.02, "lora": 1.0, **dict.fromkeys(worlds.OTHERS, 1.0)},
        rate,
        known,
    )
    return worlds.judged(worlds.study(np.random.default_rng(seed), truth), truth)


def test_what_falls_behind_is_barred_and_the_verdict_goes_to_the_best_that_is_not() -> None:
    often = study(0.15)
    assert (often.verdict.kind, often.verdict.recommended) == ("adopt", "rag")
    assert often.verdict.confidence == "high"
    assert gate(often).status == "fail"
    assert gate(often).evidence in often.verdict.because
    assert gate(often).evidence in often.verdict.reasons
    own = next(one for one in often.old_facts if one.candidate == "lora")
    assert (own.reader, own.rows, own.documents) == ("rag", 100, 25)
    assert own.stale is not None
    assert own.stale.value == pytest.approx(0.65, abs=0.15)
    assert {one.candidate for one in often.old_facts if one.barred} == {"lora"}
    assert [one.status for one in often.verdict.families][:2] == ["chosen", "barred"]
    assert "lora" not in often.verdict.use_meanwhile


def test_what_stays_ahead_is_adopted_and_the_loss_is_said() -> None:
    never = study(0.0)
    assert (never.verdict.kind, never.verdict.recommended) == ("adopt", "lora")
    assert gate(never).status == "pass"
    seldom = study(0.008)
    assert (seldom.verdict.recommended, gate(seldom).status) == ("lora", "pass")
    assert seldom.verdict.confidence == never.verdict.confidence == "high"
    assert any(one.startswith("lora keeps up with rag: it is ") for one in seldom.verdict.reasons)


def test_a_lead_that_may_be_gone_is_not_adopted() -> None:
    """At 5 % a month, old facts take about as much as lora is ahead."""
    found = [study(0.05, seed=seed) for seed in range(3)]
    for one in found:
        own = next(fact for fact in one.old_facts if fact.candidate == "lora")
        assert own.left is not None
        assert own.left.low is not None
        assert own.left.high is not None
        if own.left.low <= 0 and own.left.high >= 0.02:
            assert one.verdict.recommended is None
            assert one.verdict.kind == "too-close"
            assert gate(one).status == "unknown"
            assert one.verdict.confidence in ("medium", "low")
            assert one.verdict.interim_reason.startswith("Whether lora keeps up with rag is open")
            expected = "lora" if own.left.value >= 0.02 else "rag"
            assert one.verdict.use_meanwhile == expected
    assert any(gate(one).status == "unknown" for one in found)


def test_a_member_in_doubt_does_not_hide_one_of_its_family_that_keeps_up() -> None:
    """With `nearest` in doubt, a retrieval with 6 was used where `sentence` had 14."""
    scores = {"rag": 0.4, "lora": 0.7, "lora-rag": 0.6, **dict.fromkeys(worlds.OTHERS, worlds.WEAK)}
    kept = {"rag": 0.02, "lora": 1.0, "lora-rag": 0.03, **dict.fromkeys(worlds.OTHERS, 1.0)}
    truth = worlds.Truth(scores, kept, 0.065, known=True)
    told = []
    for seed in range(4):
        found = worlds.judged(worlds.study(np.random.default_rng(seed), truth), truth).verdict
        if "Whether lora keeps up" in found.interim_reason:
            told.append(found.use_meanwhile)
    assert told
    assert set(told) <= {"lora", "lora-rag"}
    assert "lora-rag" in told


def test_where_no_rate_of_changes_is_known_confidence_is_medium() -> None:
    unknown = study(0.15, known=False)
    assert unknown.verdict.recommended == "lora"
    assert unknown.verdict.confidence == "medium"
    assert gate(unknown).status == "unknown"
    assert "over 12 months its lead is gone on average if" in gate(unknown).evidence
    [doubt] = [one for one in unknown.verdict.reasons if one.startswith("Confidence is")]
    assert "whether lora keeps up with rag as documents change is open" in doubt


def test_a_study_without_the_drill_says_that_it_was_not_measured() -> None:
    truth = worlds.drawn(np.random.default_rng(1), worlds.WORLDS["closed book"])
    truth = replace(truth, scores={**truth.scores, "lora": 0.8, "rag": 0.4}, known=True)
    bare = replace(worlds.study(np.random.default_rng(1), truth), drills=())
    found = worlds.judged(bare, truth)
    assert found.verdict.recommended == "lora"
    assert gate(found).status == "unknown"
    assert gate(found).evidence.endswith("once documents change was not measured.")
    assert found.verdict.confidence == "medium"


def test_who_reads_documents_as_they_are_passes() -> None:
    found = study(0.15, lora=0.3)
    assert found.verdict.recommended == "rag"
    assert (gate(found).status, gate(found).evidence) == (
        "pass",
        "rag reads documents as they are.",
    )
    assert not any(one.barred for one in found.old_facts), "it is behind without that"


def test_sentences_have_the_figures() -> None:
    def span(value: float, half: float = 0.05) -> Interval:
        return Interval(value=value, low=value - half, high=value + half)

    one = OldFacts(
        candidate="lora",
        reader="rag",
        rows=72,
        documents=24,
        stale=span(0.61, 0.09),
        lost=span(0.6),
        lead=span(0.2),
        share=0.1,
        at_least=True,
        months=12.0,
        old=0.5833,
        left=span(-0.15),
        status="fail",
        barred=True,
    )
    assert said(one) == (
        "lora is not used: it is 20.0 points ahead of rag today, but 15.0 points behind over 12 "
        "months. 10 % or more of the documents change in a month, and it then gives the old answer "
        "to 61 of 100 questions more than rag (52 to 70, 72 asked); without training, its lead is "
        f"{MINUS}15.0 points ({MINUS}20.0 to {MINUS}10.0) on average."
    )
    open_ = one.model_copy(update={"share": None, "old": None, "left": None, "status": "unknown"})
    assert said(open_) == (
        "Whether lora keeps up with rag is open: it is 20.0 points ahead today; how often "
        "documents change is not known, and it then gives the old answer to 61 of 100 questions "
        "more than rag (52 to 70, 72 asked); over 12 months its lead is gone on average if 6 % of "
        "the documents or more change in a month (costs.documents_changed_per_month)."
    )
    alike = open_.model_copy(update={"status": "pass", "stale": span(-0.01, 0.02)})
    assert said(alike) == (
        "lora keeps up with rag: it is 20.0 points ahead today; however often documents change, "
        f"and it then gives the old answer to 1 of 100 questions fewer than rag ({MINUS}3 to 1, "
        "72 asked)."
    )


@pytest.mark.slow
@pytest.mark.parametrize("world", worlds.WORLDS)
def test_known_worlds(world: str) -> None:
    assert [*worlds.tally(world, 100).missed()] == []

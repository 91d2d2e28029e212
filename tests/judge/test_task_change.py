"""Drift, a new class, abstaining: worlds whose truth is known, and tables worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from choose.judge.decision.trust_conditions import task_stable
from choose.judge.evidence import Evidence, Items
from choose.judge.goal import Rule
from choose.judge.measures.scorecard import drop_of, losses_by_source, new_class_of
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.report.words import remarks
from choose.types import Answers, Run, Scenario, Trial
from simulation.evidence import answers_of, run_of
from simulation.setting import EACH, difficulties
from support import simulated_studies as worlds
from support.studies import plain_trial

CUTS = (0.5, 0.6, 0.7, 0.8)


def drifting(drop, seed, *, rows=400, draws=3, seeded=True, sources=()):
    """A study in which learning from the past costs `drop` on the population of rows.

    With `sources`, learning from the others costs as much on each source as it says.
    """
    player = worlds.tfidf(0.75, seeds=draws if seeded else 0, run_spread=0.2)
    base = worlds.study([worlds.majority(), player], rows, seed, folds=5)
    rng = np.random.default_rng(10_000 + seed)
    targets = np.array([worlds.LABELS.index(t) for t in base.items.targets])
    difficulty = difficulties(rng, rows)
    own = player.own * rng.standard_normal(rows)
    runs = list(base.runs)
    for n, cut in enumerate(CUTS):
        asked = np.flatnonzero(np.arange(rows) % len(CUTS) == n)
        past = 0.75 - (sources[n] if sources else drop)
        for side, accuracy in (("any", 0.75), ("others" if sources else "past", past)):
            effect = rng.standard_normal(draws)
            ability = player.shifted(accuracy - player.accuracy) + player.run_spread * effect
            noise = EACH * rng.standard_normal((len(asked), draws))
            right = ability[None, :] > (difficulty + own)[asked][:, None] + noise
            for draw in range(draws if seeded or side == "any" else 1):
                codes = targets.copy()
                codes[asked] = np.where(right[:, draw], targets[asked], (targets[asked] + 1) % 4)
                scenario = Scenario(kind="time", cut=cut, learns_from=side)
                if sources:
                    scenario = Scenario(kind="source", label=f"s{n}", learns_from=side)
                ids = tuple(base.items.ids[i] for i in asked)
                answers = answers_of(codes[asked])
                runs.append(run_of(player, trial(player.name, scenario, draw), ids, answers))
    return replace(base, runs=tuple(runs))


def trial(name: str, scenario: Scenario, draw: int = 0) -> Trial:
    return plain_trial(name, draw, scenario=scenario, train_size=100)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("drop", "draws", "seeded"), [(0.08, 5, True), (0.08, 3, False), (0.0, 1, True)]
)
def test_the_interval_of_the_drop_covers_the_truth(drop: float, draws: int, seeded: bool) -> None:
    studies, inside, values = 120, 0, []
    for seed in range(studies):
        found = drop_of(study_scores(drifting(drop, seed, draws=draws, seeded=seeded))["tfidf"])
        inside += found.low <= drop <= found.high
        values.append(found.value)
    # The Monte-Carlo error of a coverage of 95 % is 2 points, that of the mean 0.3 points.
    assert 0.9 <= inside / studies <= 0.995
    assert abs(np.mean(values) - drop) < 0.009


@pytest.mark.slow
def test_the_gate_is_wrong_seldom_and_says_its_figure() -> None:
    margin, kinds = 0.04, {"pass": 0, "fail": 0, "unknown": 0}
    for seed in range(120):
        gate = task_stable(study_scores(drifting(margin, seed)), "tfidf", margin)
        kinds[gate.status] += 1
    # At the limit itself either answer is wrong: 2.5 % a side, so 3 of 120, give or take 1.7.
    assert kinds["pass"] <= 8
    assert kinds["fail"] <= 8
    for drop, status in ((0.0, "pass"), (0.3, "fail")):
        laid = study_scores(drifting(drop, 2, rows=2_000))
        gate = task_stable(laid, "tfidf", 0.05)
        assert gate.status == status
        found = drop_of(laid["tfidf"])
        assert gate.count == 2000
        assert gate.value.value == pytest.approx(-found.value)


def test_a_drop_stands_in_the_record() -> None:
    laid = drifting(0.1, 3)
    cards = {card.candidate: card for card in judge(laid, Rule()).scorecards}
    drop = cards["tfidf"].stability.temporal_drop
    assert drop.value == pytest.approx(drop_of(study_scores(laid)["tfidf"]).value)
    assert cards["majority"].stability.temporal_drop is None


LOSSES = (0.0, 0.04, 0.3, 0.1)


@pytest.mark.slow
def test_intervals_of_all_sources_hold_together_and_that_of_the_mean_alone():
    studies, together, mean = 120, 0, 0
    for seed in range(studies):
        card = study_scores(drifting(0.0, seed, sources=LOSSES))["tfidf"]
        found, whole = losses_by_source(card), drop_of(card, "source")
        truth = {f"s{n}": loss for n, loss in enumerate(LOSSES)}
        together += all(one.loss.low <= truth[one.source] <= one.loss.high for one in found)
        mean += whole.low <= np.mean(LOSSES) <= whole.high
    # Monte-Carlo error: 2 points.
    assert together / studies >= 0.9
    assert 0.9 <= mean / studies <= 0.995


def test_the_worst_source_comes_first_is_named_and_warned_of():
    decision = judge(drifting(0.0, 4, rows=2_000, sources=LOSSES), Rule())
    card = next(c for c in decision.scorecards if c.candidate == "tfidf")
    worst, *others = card.stability.sources
    assert (worst.source, worst.rows, len(others)) == ("s2", 500, 3)
    assert worst.loss.value > 0.2
    losses = [one.loss.value for one in (worst, *others)]
    assert losses == sorted(losses, reverse=True)
    assert card.stability.source_loss.value == pytest.approx(np.mean(losses))
    # Of four, each at 1 - 0.05 / 4.
    alone = drop_of(study_scores(drifting(0.0, 4, rows=2_000, sources=LOSSES))["tfidf"], "source")
    assert worst.loss.high - worst.loss.low > 1.5 * (alone.high - alone.low)
    [remark] = [r for r in decision.verdict.remarks if r.code == "other-source"]
    assert (remark.what, remark.value.value) == ("s2", -card.stability.source_loss.value)
    assert card.stability.temporal_drop is None
    [gate] = [gate for gate in decision.gates if gate.name == "task stable"]
    assert (gate.status, gate.code, gate.value) == ("fail", "sources", remark.value)
    assert any(f"tfidf loses {100 * np.mean(losses):.1f} points" in s for s in remarks(decision))


def test_time_splits_leave_every_other_figure_as_it_was() -> None:
    with_splits = drifting(0.1, 5)
    kept = tuple(r for r in with_splits.runs if r.trial.scenario.kind == "standard")
    bare = judge(replace(with_splits, runs=kept), Rule())
    full = judge(with_splits, Rule())
    assert [c.accuracy for c in bare.scorecards] == [c.accuracy for c in full.scorecards]
    assert bare.pairs == full.pairs
    assert bare.verdict.kind == full.verdict.kind
    assert [c.curve for c in bare.scorecards] == [c.curve for c in full.scorecards]


def test_what_was_not_measured_and_what_gives_one_answer_have_no_gate() -> None:
    """A constant changed "by 0.0 points", while one label fell from 70 to 53 % (F17)."""
    bare = worlds.study([worlds.majority(), worlds.tfidf(0.7)], 200, 1)
    assert task_stable(study_scores(bare), "tfidf", 0.02) is None
    assert task_stable(study_scores(drifting(0.1, 1)), "majority", 0.02) is None


def test_a_past_that_no_seed_changes_is_paired_with_every_draw_of_any_time() -> None:
    laid = study_scores(drifting(0.1, 2, seeded=False))
    assert sorted(drop_of(laid["tfidf"]).repetitions) == [1, 3]


LABELS = ("new", "x", "y")


def arriving(answers: dict[int, str]) -> Evidence:
    """Four rows of the new class, then three of x and three of y, answered by hand."""
    targets = "nnnnxxxyyy"
    name = {"n": "new", "x": "x", "y": "y"}
    ids = tuple(f"r{i}" for i in range(10))

    def run(given: str, scenario: Scenario) -> Run:
        outputs = tuple(name[g] for g in given)
        return Run(
            trial=trial("tfidf", scenario),
            asked={("clean", 0): ids},
            answers={("clean", 0): Answers(outputs=outputs, status=("ok",) * 10)},
            fit_seconds=2.0,
        )

    runs = [run(targets, Scenario())]
    runs += [
        run(given, Scenario(kind="new-class", label="new", examples=k))
        for k, given in answers.items()
    ]
    base = worlds.study([worlds.tfidf(0.7)], 10, 1)
    items = Items(ids=ids, targets=tuple(name[t] for t in targets), clusters=ids)
    return replace(base, items=items, labels=LABELS, runs=tuple(runs))


def test_recall_of_the_new_class_and_the_loss_of_the_others_by_hand() -> None:
    evidence = arriving({0: "xxyyxxxyyy", 1: "nxyyxxxyyy", 5: "nnnyxnxyyn"})
    found = new_class_of(study_scores(evidence)["tfidf"])
    assert found.label == "new"
    assert [p.examples for p in found.points] == [0, 1, 5]
    assert [p.recall.value for p in found.points] == [0.0, 0.25, 0.75]
    assert found.points[0].loss is None
    losses = [p.loss.value for p in found.points[1:] if p.loss is not None]
    assert losses == pytest.approx([0.0, 2 / 6])
    unknown = new_class_of(study_scores(arriving({5: "nnnnxxxyyy"}))["tfidf"])
    assert unknown.points[0].loss is None, "no fit had no example, and that is not zero"
    assert new_class_of(study_scores(arriving({}))["tfidf"]) is None

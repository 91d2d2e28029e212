"""What an answer counts: weights and credits against scikit-learn, coverage, and the verdict."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from choose.api.compare_studies import Meeting, shifts
from choose.judge.goal import Rule
from choose.judge.measures.scorecard import accuracy
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.report.words import headline
from choose.stats.intervals import two_way_interval
from choose.stats.paired import paired_difference
from choose.tasks.metrics import evened
from support import answered_studies as answered

LABELS = "abc"
SHARES = (0.8, 0.15, 0.05)
ACCURACY, BALANCED = "accuracy", "balanced"
ROUNDS = 1000


def targets(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.choice(3, rows, p=SHARES)


def said(rng: np.random.Generator, given: np.ndarray, recalls: tuple[float, ...]) -> np.ndarray:
    """Answers with these recalls; a miss is the next label."""
    return np.where(rng.random(len(given)) < np.asarray(recalls)[given], given, (given + 1) % 3)


def letters(codes: np.ndarray) -> list[str]:
    return [LABELS[code] for code in codes]


def study_of(recalls: dict[str, tuple[float, ...]], rows: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    given = targets(rng, rows)
    players = [
        answered.player(name, letters(said(rng, given, each)), seconds=1.0 + place)
        for place, (name, each) in enumerate(recalls.items())
    ]
    return answered.study(LABELS, letters(given), players)


def test_every_figure_is_of_the_measure() -> None:
    evidence = study_of({"x": (0.95, 0.2, 0.2), "y": (0.7, 0.7, 0.7)}, 3000)
    given = np.array([LABELS.index(t) for t in evidence.items.targets])
    for run in evidence.runs:
        name, answers = run.trial.candidate, run.answers["clean", 0].outputs
        codes = np.array([LABELS.index(str(a)) for a in answers])
        laid = study_scores(evidence, BALANCED)
        (found,) = [accuracy(c) for c in laid.candidates if c.info.name == name]
        assert found.value == pytest.approx(balanced_accuracy_score(given, codes), abs=1e-12)


def test_the_measure_decides_who_is_better() -> None:
    evidence = study_of({"common": (0.95, 0.2, 0.2), "even": (0.7, 0.7, 0.7)}, 3000)
    by_rows, by_labels = (judge(evidence, Rule(metric=m)) for m in (ACCURACY, BALANCED))
    assert by_rows.verdict.use_meanwhile == "common"
    assert by_labels.verdict.use_meanwhile == "even"
    assert "every label counts the same" in headline(by_labels)
    assert "% mean recall" in headline(by_labels)
    assert "label" not in headline(by_rows)
    assert by_labels.goal["metric"] == "balanced"
    json.dumps(by_labels.model_dump(mode="json"))
    for name in ("common", "even"):
        one, other = (
            next(card for card in found.scorecards if card.candidate == name)
            for found in (by_rows, by_labels)
        )
        assert one.macro_f1 == other.macro_f1, "a figure of rows stays one"
        assert one.accuracy != other.accuracy


@pytest.mark.parametrize("rare", [2, 3, 5, 8, 15])
def test_a_label_of_few_rows_does_not_pass_for_certainty(rare: int) -> None:
    """Two labels, one with `rare` of 300 rows: coverage, and ties called different."""
    given = np.repeat([0, 1], [300 - rare, rare])
    rng, weights, inside, called = np.random.default_rng(rare), evened(given), 0, 0
    for _ in range(ROUNDS):
        x, y = (rng.random(300) < np.array([0.95, 0.9])[given] for _ in range(2))
        found = two_way_interval(x.astype(float), None, weights)
        inside += found.low <= 0.925 <= found.high
        gap = paired_difference(x, y, None, weights)
        called += gap.low > 0 or gap.high < 0
    assert inside / ROUNDS >= 0.93
    assert called / ROUNDS <= 0.05


@pytest.mark.parametrize("recalls", [(0.9, 0.6, 0.4), (0.8, 0.8, 0.8), (0.95, 0.9, 0.9)])
def test_intervals_of_balanced_accuracy_cover(recalls: tuple[float, ...]) -> None:
    """The truth is inside 91 to 97.5 % of 95 % intervals, with a rare label of 15 rows."""
    truth, rng, inside = np.mean(recalls), np.random.default_rng(2), 0
    for _ in range(2 * ROUNDS):
        given = targets(rng, 300)
        right = (said(rng, given, recalls) == given).astype(float)
        found = two_way_interval(right, None, evened(given))
        inside += found.low <= truth <= found.high
    assert 0.91 <= inside / (2 * ROUNDS) <= 0.975


@pytest.mark.parametrize(
    "sides",
    [
        ((0.9, 0.5, 0.5), (0.6, 0.6, 0.7)),
        ((0.8, 0.7, 0.6), (0.8, 0.7, 0.6)),
        ((0.95, 0.9, 0.9), (0.95, 0.9, 0.9)),
    ],
)
def test_ties_in_balanced_accuracy_are_seldom_called_different(sides):
    """At most 5 % and sampling error; a plain normal law calls 6.6 % of the second different."""
    rng, called = np.random.default_rng(3), 0
    for _ in range(ROUNDS):
        given = targets(rng, 300)
        x, y = ((said(rng, given, each) == given).astype(float) for each in sides)
        found = paired_difference(x, y, None, evened(given))
        called += found.low > 0 or found.high < 0
    assert called / ROUNDS <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / ROUNDS)


def test_rows_that_count_little_are_worth_less() -> None:
    given = targets(np.random.default_rng(4), 400)
    x = (np.arange(400) % 3 > 0).astype(float)
    y = (np.arange(400) % 5 > 0).astype(float)
    weights = evened(given)
    assert weights.sum() == pytest.approx(400)
    found = paired_difference(x, y, None, weights)
    assert found.independent == pytest.approx(weights.sum() ** 2 / (weights**2).sum() / 400)
    assert found.discordance == pytest.approx(np.average(x != y, weights=weights))
    assert paired_difference(x, y).independent == 1.0


def test_even_labels_of_which_one_was_asked_less_are_evened() -> None:
    """As many rows of either label; of one, most were not reached before the budget was."""
    given = np.tile([0, 1], 100)
    asked = (given == 0) | (np.arange(200) < 40)
    right = np.random.default_rng(9).random(200) < np.where(given == 0, 0.95, 0.5)
    evidence = answered.study("ab", letters(given), [answered.player("x", letters(given))])
    (run,) = evidence.runs
    ids = tuple(id for id, there in zip(evidence.items.ids, asked, strict=True) if there)
    outputs = tuple(letters(np.where(right, given, 1 - given)[asked]))
    answers = replace(run.answers["clean", 0], outputs=outputs, status=("ok",) * len(ids))
    cut = replace(run, asked={("clean", 0): ids}, answers={("clean", 0): answers})
    found = accuracy(study_scores(replace(evidence, runs=(cut,)), BALANCED).candidates[0])
    wanted = np.mean([right[asked & (given == label)].mean() for label in (0, 1)])
    assert found.value == pytest.approx(wanted)


def test_a_part_of_the_rows_is_evened_anew() -> None:
    rows = study_scores(study_of({"x": (1.0, 0.0, 0.0)}, 600), BALANCED).rows
    kept = np.arange(600) % 2 == 0
    kept[rows.targets == 2] = False
    weights = rows.weights_of(kept)
    assert weights is not None
    said = np.bincount(rows.targets[kept], weights=weights)
    assert said[0] == pytest.approx(said[1])
    on = rows.weights_on(kept)
    assert not on[~kept].any()
    np.testing.assert_allclose(on[kept], weights)


def test_two_studies_are_compared_by_the_measure_of_the_second() -> None:
    before, after = (
        study_of({"x": recalls}, 2000) for recalls in ((0.95, 0.2, 0.2), (0.7, 0.7, 0.7))
    )
    one, two = (study_scores(evidence, BALANCED) for evidence in (before, after))
    place = np.arange(2000)
    (shift,) = shifts(Meeting(one, two, place, place), [("x", "x")])
    found = [accuracy(laid.candidates[0]) for laid in (one, two)]
    assert shift.accuracy_before == pytest.approx(found[0].value)
    assert shift.accuracy_after == pytest.approx(found[1].value)
    assert shift.difference.value == pytest.approx(found[1].value - found[0].value)
    assert shift.difference.low > 0
    (same,) = shifts(Meeting(one, one, place, place), [("x", "x")])
    assert same.same_fits
    assert same.accuracy_after == pytest.approx(found[0].value)


def test_balanced_accuracy_of_a_constant_answer_is_known_without_error() -> None:
    given = "a" * 97 + "b" * 3
    players = [answered.player("majority", "a" * 100), answered.player("tfidf", given)]
    found = accuracy(study_scores(answered.study("ab", given, players), BALANCED)["majority"])
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)
    by_rows = accuracy(study_scores(answered.study("ab", given, players))["majority"])
    assert by_rows.low < by_rows.value == 0.97

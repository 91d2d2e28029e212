"""What counts for a view or for noise is how much it changes a difference, on those very rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.paired_comparison import changed, compare_changes
from choose.judge.scores.score_tables import ScoreTable, study_scores
from choose.judge.scores.scored_rows import ScoredRows
from choose.judge.verdict import judge
from choose.schema.decision import Gate
from choose.types import STANDARD, Answers, Scenario
from support.answered_studies import player
from support.answered_studies import study as answered

ROWS = 600


def answers(right: np.ndarray) -> list[str]:
    """Return answers to rows of label a: right where told, else b."""
    return ["a" if good else "b" for good in right]


def seen_with_typos(world: Evidence, right: dict[str, np.ndarray], rows: int) -> Evidence:
    """Let every candidate answer the first rows with typos too."""
    runs = []
    for run in world.runs:
        outputs = tuple(answers(right[run.trial.candidate][:rows]))
        typos = Answers(outputs=outputs, status=("ok",) * rows)
        runs.append(
            replace(
                run,
                asked={**run.asked, ("typos", 0): run.asked["clean", 0][:rows]},
                answers={**run.answers, ("typos", 0): typos},
            )
        )
    return replace(world, runs=tuple(runs))


def robust(clean: dict[str, np.ndarray], typos: dict[str, np.ndarray], rows: int) -> Gate:
    """Return the gate of a study in which the cheap candidate `tfidf` is taken."""
    costs = {"tfidf": 0.5, "probe": 5.0}
    players = [player(name, answers(clean[name]), seconds=costs[name]) for name in clean]
    world = seen_with_typos(answered("ab", ["a"] * ROWS, players), typos, rows)
    decision = judge(world, Rule())
    assert decision.verdict.use_meanwhile == "tfidf"
    return next(gate for gate in decision.gates if gate.name == "robust")


def first_rows_wrong(*spans: tuple[int, int]) -> np.ndarray:
    right = np.ones(ROWS, dtype=np.bool_)
    for start, stop in spans:
        right[start:stop] = False
    return right


def test_a_lead_that_was_there_without_typos_does_not_make_a_choice_fragile() -> None:
    """D11: with typos probe was 7 points ahead, 4 of which were there without them."""
    clean = {
        "tfidf": first_rows_wrong((0, 44)),
        "probe": first_rows_wrong((8, 44), (560, 600)),
    }
    # Typos make each of them wrong on some rows and right on others: 3 rows in the balance.
    typos = {
        "tfidf": first_rows_wrong((7, 44), (100, 110)),
        "probe": first_rows_wrong((18, 44), (120, 127)),
    }
    rows = 200
    gate = robust(clean, typos, rows)
    ahead = (typos["probe"][:rows].mean() - typos["tfidf"][:rows].mean()) * 100
    before = (clean["probe"][:rows].mean() - clean["tfidf"][:rows].mean()) * 100
    assert (ahead, before) == (pytest.approx(7), pytest.approx(4))
    assert gate.status == "unknown"
    assert (gate.code, gate.what, gate.names) == ("on-view", "typos", ("probe", "tfidf"))
    assert gate.value is not None
    assert gate.value.value == pytest.approx(0.07)


def test_typos_that_turn_the_choice_round_fail_the_gate_and_say_by_how_much() -> None:
    clean = {"tfidf": first_rows_wrong((0, 44)), "probe": first_rows_wrong((0, 40), (560, 564))}
    typos = {"tfidf": first_rows_wrong((0, 90)), "probe": first_rows_wrong((0, 40))}
    gate = robust(clean, typos, 200)
    assert gate.status == "fail"
    assert gate.value is not None
    assert gate.value.value == pytest.approx(0.25)


@pytest.mark.parametrize("effect", [0.0, 0.06])
def test_the_interval_of_a_difference_of_differences_covers_the_truth(effect: float) -> None:
    """Simulated: rows of shared difficulty, typos that cost one candidate `effect` more."""
    rng, studies, rows, covered = np.random.default_rng(7), 600, 200, 0
    scored = ScoredRows(
        index={f"r{i}": i for i in range(rows)},
        targets=np.zeros(rows, dtype=np.int64),
        labels=("a", "b"),
        clusters=None,
        weights=None,
        conflicting=np.zeros(rows, dtype=np.bool_),
    )

    def table(right: np.ndarray) -> ScoreTable:
        return ScoreTable((~right).astype(np.int64)[:, None], (0,), (), scored)

    for _ in range(studies):
        hard = rng.random(rows) < 0.3
        sides = []
        for cost in (0.0, effect):
            clean = rng.random(rows) < np.where(hard, 0.5, 0.95)
            lost = rng.random(rows) < 0.05 + cost / 0.815
            gained = rng.random(rows) < 0.1
            sides.append(changed(table(clean), table(np.where(clean, ~lost, gained))))
        found = compare_changes(*sides, scored)
        assert found is not None
        # Right on 81.5 of 100 rows, of which the second side loses `effect` more.
        covered += found.low <= effect <= found.high
    assert 0.92 <= covered / studies <= 0.98


def test_noise_is_compared_with_the_clean_fits_of_the_same_repetition() -> None:
    """A repetition without clean answers says nothing of what noise changes."""
    rows = ScoredRows(
        index={f"r{i}": i for i in range(4)},
        targets=np.zeros(4, dtype=np.int64),
        labels=("a", "b"),
        clusters=None,
        weights=None,
        conflicting=np.zeros(4, dtype=np.bool_),
    )
    clean = ScoreTable(np.array([[0, 0], [0, 1], [1, 1], [0, 0]]), (0, 1), (), rows)
    noisy = ScoreTable(np.array([[1, 0], [0, 1], [1, 1], [0, 0]]), (1, 2), (), rows)
    found = changed(clean, noisy).scores
    assert found[:, 0].tolist() == [-1, 1, 0, 0]
    assert np.isnan(found[:, 1]).all()
    once = changed(ScoreTable(clean.outputs[:, :1], (0,), (), rows), noisy).scores
    assert once.tolist() == [[-1, 0], [0, -1], [0, 0], [0, 0]]


def test_what_learns_nothing_answers_with_wrong_labels_as_without_them() -> None:
    """It has no trials with noise, of fewer rows or of rows of any time: it needs none."""
    clean = {"tfidf": first_rows_wrong((0, 44)), "probe": first_rows_wrong((0, 40))}
    costs = {"tfidf": 0.5, "probe": 5.0}
    players = [player(name, answers(clean[name]), seconds=costs[name]) for name in clean]
    world = answered("ab", ["a"] * ROWS, players)
    infos = tuple(replace(info, learns=info.name != "tfidf") for info in world.candidates)
    _, run = world.runs
    added = []
    for scenario, size in (
        (Scenario(kind="noise", noise="symmetric", rate=0.2), ROWS),
        (STANDARD, 100),
    ):
        trial = replace(run.trial, scenario=scenario, train_size=size)
        worse = Answers(outputs=tuple(answers(first_rows_wrong((0, 300)))), status=("ok",) * ROWS)
        added.append(replace(run, trial=trial, answers={("clean", 0): worse}))
    past = replace(world.runs[0].trial, scenario=Scenario(kind="time", cut=0.5))
    added.append(replace(world.runs[0], trial=past))
    decision = judge(replace(world, candidates=infos, runs=(*world.runs, *added)), Rule())
    assert decision.verdict.use_meanwhile == "tfidf"
    gates = {gate.name: gate for gate in decision.gates}
    assert "noise" not in gates["robust"].names, "it was measured"
    card = next(card for card in decision.scorecards if card.candidate == "tfidf")
    assert card.noise.slope is not None
    assert card.noise.slope.value == 0
    assert [point.labels for point in card.curve] == [100, ROWS]
    assert card.curve[0].value == card.curve[1].value
    assert card.stability.temporal_drop is not None
    assert card.stability.temporal_drop.value == 0
    assert gates["task stable"].status == "pass"


def test_a_row_set_tells_which_rows_not_only_how_many() -> None:
    world = answered("ab", ["a", "b"] * 20, [player("tfidf", ["a", "b"] * 20)])
    rows = study_scores(world).rows
    first = np.arange(40) < 20
    assert rows.row_set(first) != rows.row_set(~first)
    assert rows.row_set(first).startswith("20:")
    order = replace(rows, index=dict(reversed(rows.index.items())))
    assert order.row_set(first[::-1]) == rows.row_set(first)

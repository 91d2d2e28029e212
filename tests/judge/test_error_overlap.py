"""Errors in common, and rows that two candidates answer differently, by hand."""

from dataclasses import replace

import pytest

from choose.judge.decision.candidates import select_candidates
from choose.judge.diagnosis.cascade import random_parts
from choose.judge.diagnosis.differing_rows import confusion_of, overlap_of
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from support import answered_studies as answered
from support.answered_studies import player


def test_errors_in_common_by_hand():
    """Rows 3 and 5 are wrong in all; on row 3 all say b, on row 5 two say b and one c."""
    targets = "aaaaaabb"
    players = [
        player("majority", "aaaaaaaa"),
        player("tfidf", "aabbabba"),
        player("probe", "abababbb"),
        player("prompt", "baabacab", "prompting", cheap=False),
    ]
    scores = study_scores(answered.study("abc", targets, players))
    found = overlap_of(select_candidates(scores, Rule()))
    assert set(found.candidates) == {"tfidf", "probe", "prompt"}
    assert found.wrong_in_all == 2
    assert found.oracle.value == pytest.approx(6 / 8)
    assert [(r.id, r.label, r.instead, r.agree) for r in found.doubtful] == [
        ("r3", "a", "b", 3),
        ("r5", "a", "b", 2),
    ]
    alone = study_scores(answered.study("abc", targets, players[:2]))
    assert overlap_of(select_candidates(alone, Rule())) is None, "it needs two that read"


def test_clusters_stay_in_one_part():
    parts = random_parts(100, [f"c{i // 4}" for i in range(100)], 5)
    assert all(len(set(parts[i : i + 4])) == 1 for i in range(0, 100, 4))
    assert set(parts) == set(range(5))


def test_errors_are_those_on_rows_that_all_answered():
    targets = ["a"] * 20 + ["b"] * 20
    easy = ["a"] * 18 + ["b"] * 2
    study = answered.study(
        "ab",
        targets,
        [
            player("tfidf", ["a"] * 19 + ["b"] * 11 + ["a"] * 10),
            player("probe", easy + ["b"] * 20),
            player("prompt", targets, "prompting", cheap=False),
        ],
    )
    few = replace(
        study.runs[1],
        asked={("clean", 0): study.items.ids[:20]},
        answers={
            ("clean", 0): replace(
                study.runs[1].answers["clean", 0], outputs=tuple(easy), status=("ok",) * 20
            )
        },
    )
    study = replace(study, runs=(study.runs[0], few, study.runs[2]))
    found = overlap_of(select_candidates(study_scores(study), Rule()))
    assert (found.rows, found.wrong_in_all) == (20, 0)


def test_which_labels_are_answered_as_which_by_hand():
    players = [player("majority", "aaaaaaaa"), player("tfidf", "aab.abba")]
    candidates = select_candidates(study_scores(answered.study("abc", "aaaaaabb", players)), Rule())
    assert [(c.label, c.answer, c.rows) for c in confusion_of(candidates, "tfidf")] == [
        ("a", "a", 3), ("a", "b", 2), ("a", None, 1),
        ("b", "a", 1), ("b", "b", 1),
    ]  # fmt: skip


def test_rows_that_the_chosen_one_and_its_rivals_answer_differently_by_hand():
    """Those for and those against it in turn."""
    players = [
        player("tfidf", "aaabbbab"),
        player("prompt", ("a", "b", "a", "b", None, "b", "b", "b"), "prompting", cheap=False),
        player("majority", "aaaaaaaa"),
    ]
    found = judge(answered.study("ab", "aaaabbbb", players), Rule()).side_by_side
    assert [
        (row.id, row.target, *[(a.candidate, a.output) for a in row.answers]) for row in found
    ] == [
        ("r1", "a", ("tfidf", "a"), ("prompt", "b")),
        ("r6", "b", ("tfidf", "a"), ("prompt", "b")),
        ("r4", "b", ("tfidf", "b"), ("prompt", None)),
    ]

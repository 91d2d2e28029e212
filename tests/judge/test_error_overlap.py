"""Errors in common by hand, and cascades in worlds where they help and where they cannot."""

import re
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from choose.formatting import MINUS, in_points
from choose.judge.decision.contenders import contenders_of
from choose.judge.diagnosis.cascade import Pairing, cascade, pays, route, threshold
from choose.judge.diagnosis.error_overlap import confusion_of, disagreement_of, overlap_of
from choose.judge.goal import Rule
from choose.judge.scores.out_of_fold import random_parts
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge, standings_of
from choose.report import words
from choose.report.html.page import render_html
from choose.schema.base import Interval
from choose.schema.diagnosis import ErrorOverlap
from support import answered_studies as answered
from support import decisions
from support.answered_studies import player

STUDIES = 60
LABELS = "abcd"


def test_errors_in_common_by_hand():
    """Rows 3 and 5 are wrong in all; on row 3 all say b, on row 5 two say b and one c."""
    targets = "aaaaaabb"
    players = [
        player("majority", "aaaaaaaa"),
        player("tfidf", "aabbabba"),
        player("probe", "abababbb"),
        player("prompt", "baabacab", "prompting", cheap=False),
    ]
    found = overlap_of(contenders_of(study_scores(answered.study("abc", targets, players)), Rule()))
    assert set(found.candidates) == {"tfidf", "probe", "prompt"}
    assert found.wrong_in_all == 2
    assert found.oracle.value == pytest.approx(6 / 8)
    assert [(r.id, r.label, r.instead, r.agree) for r in found.doubtful] == [
        ("r3", "a", "b", 3),
        ("r5", "a", "b", 2),
    ]
    # probe errs on 1 3 5, prompt on 0 3 5 6.
    assert (found.cheap, found.strong) == ("probe", "prompt")
    assert (found.both_wrong, found.only_cheap_wrong, found.only_strong_wrong) == (2, 1, 2)
    assert found.both_expected == pytest.approx(3 * 4 / 8)
    assert found.cascade is None  # no scores, and too few rows


def test_overlap_needs_two_candidates_that_read():
    players = [player("majority", "aaaa"), player("tfidf", "abab")]
    assert (
        overlap_of(contenders_of(study_scores(answered.study("ab", "abba", players)), Rule()))
        is None
    )


def test_a_threshold_by_hand():
    """Letting the cheap one answer gains -1 below the two surest rows, which cost nothing."""
    cheap, strong = np.array([1.0, 1, 0, 0]), np.array([1.0, 1, 1, 1])
    sure = np.array([0.9, 0.8, 0.6, 0.5])
    assert threshold(cheap, strong, sure, 0.0) == 0.8
    assert threshold(cheap, strong, sure, 0.25) == 0.6
    assert threshold(1 - strong, strong, sure, 0.0) > 1
    assert threshold(strong, cheap, sure, 0.0) == 0.5
    # A tie is not cut through, though its first row alone would gain.
    assert threshold(np.array([1.0, 0, 0]), np.array([0.0, 1, 1]), np.full(3, 0.7), 0.0) > 1


def cascade_of(cheap, strong, sure, targets, rule=None, **more):
    said = [LABELS[c] for c in cheap]
    players = [
        answered.ScriptedCandidate(
            name="probe",
            family="baseline",
            said=[said],
            scores=answered.scores(LABELS, said, sure),
            seconds=1.0,
        ),
        answered.ScriptedCandidate(
            name="retrieval",
            family="retrieval",
            said=[[LABELS[c] for c in strong]],
            cheap=False,
            seconds=100.0,
        ),
    ]
    study = answered.study(LABELS, [LABELS[t] for t in targets], players, **more)
    return overlap_of(contenders_of(study_scores(study), rule or Rule())).cascade


def answers(rng, targets, right):
    other = (targets + rng.integers(1, len(LABELS), len(targets))) % len(LABELS)
    return np.where(right, targets, other)


def world(rng, rows=400, *, same=False, told=True):
    """Both are right on three rows of four: the same ones, or independently of each other.

    The cheap one's confidence tells its right answers from its wrong ones, or tells nothing.
    """
    targets = rng.integers(0, len(LABELS), rows)
    first = rng.random(rows) < 0.75
    second = first if same else rng.random(rows) < 0.75
    sure = rng.uniform(0.3, 0.9, rows)
    sure = np.where(first, np.maximum(sure, 0.5), np.minimum(sure, 0.5)) if told else sure
    return answers(rng, targets, first), answers(rng, targets, second), sure, targets


def play(**more):
    return [cascade_of(*world(np.random.default_rng(seed), **more)) for seed in range(STUDIES)]


def error_of(values):
    return float(np.std(values, ddof=1)) / sqrt(len(values))


def test_disjoint_errors_make_a_cascade_better_than_both():
    """Two thirds of the cheap one's right answers are surer than 0.5, half of all rows, and all
    right; the strong one has three of four of the other half: 0.875 in truth, of which the
    tolerance may give up half a point."""
    found = play()
    assert np.mean([c.over_strong.low > 0 and c.over_cheap.low > 0 for c in found]) > 0.95
    reached = [c.accuracy.value for c in found]
    assert np.mean(reached) - 0.875 + 2 * error_of(reached) >= -0.005
    assert np.mean(reached) - 0.875 <= 2 * error_of(reached)
    inside = np.mean([c.accuracy.low <= 0.875 <= c.accuracy.high for c in found])
    assert inside >= 0.95 - 2 * sqrt(0.95 * 0.05 / STUDIES)
    assert np.mean([pays(c, 0.02) for c in found]) > 0.95


@pytest.mark.parametrize("told", [True, False])
def test_the_same_errors_gain_nothing(told):
    found = play(same=True, told=told)
    assert all(c.over_strong.value == 0 for c in found)
    assert not any(pays(c, 0.02) for c in found)


def test_a_confidence_that_tells_nothing_gains_nothing_out_of_bag():
    """Chosen and measured on the same rows the best threshold always seems to gain; out of bag the
    mean gain over either side is 0 within three Monte-Carlo errors."""
    found, seeming = play(told=False), []
    for seed in range(STUDIES):
        cheap, strong, sure, targets = world(np.random.default_rng(seed), told=False)
        sides = [(side == targets).astype(float) for side in (cheap, strong)]
        kept = sure >= threshold(*sides, sure, 0.0)
        seeming.append(float(np.where(kept, *sides).mean() - sides[1].mean()))
    gains = [c.over_strong.value for c in found]
    assert np.mean(seeming) > 3 * error_of(seeming)
    assert abs(np.mean(gains)) < 3 * error_of(gains)
    false = np.mean([c.over_strong.low > 0 for c in found])
    assert false <= 0.05 + 2 * sqrt(0.05 * 0.95 / STUDIES)


def test_no_row_helps_to_choose_its_own_threshold():
    """Turning the answers of one part round does not change what is sent on there."""
    rng = np.random.default_rng(3)
    cheap, strong = (rng.integers(0, 2, (300, 2)).astype(float) for _ in range(2))
    sure, kept = rng.random((300, 2)), np.ones(300, dtype=bool)
    parts = random_parts(300, None, 5)
    sent, _ = route(Pairing(cheap, strong, sure, kept), parts, 0.0)
    turned = np.where((parts == 2)[:, None], 1 - cheap, cheap)
    again, _ = route(Pairing(turned, strong, sure, kept), parts, 0.0)
    assert (sent[parts == 2] == again[parts == 2]).all()
    assert (sent != again).any()


def test_clusters_stay_in_one_part():
    parts = random_parts(100, [f"c{i // 4}" for i in range(100)], 5)
    assert all(len(set(parts[i : i + 4])) == 1 for i in range(0, 100, 4))
    assert set(parts) == set(range(5))


def test_costs_by_hand():
    """1 ms and 100 ms an answer, 3.6 dollars an hour: 1 and 100 seconds, 0.001 and 0.1 dollars."""
    rule = Rule(usd_per_machine_hour=3.6)
    found = cascade_of(*world(np.random.default_rng(1)), rule=rule)
    sent = found.sent_on.value
    assert found.strong_seconds_per_1k == pytest.approx(100.0)
    assert found.seconds_per_1k == pytest.approx(1 + 100 * sent)
    assert found.usd_per_1k == pytest.approx(0.001 + 0.1 * sent)
    unpriced = cascade_of(*world(np.random.default_rng(1)))
    assert unpriced.usd_per_1k is None
    assert unpriced.strong_usd_per_1k is None


def test_an_equal_accuracy_pays_only_where_it_saves():
    found = cascade_of(*world(np.random.default_rng(1)))
    even = {"over_strong": Interval(value=0.0, low=-0.01, high=0.01)}
    cheaper = found.model_copy(update={**even, "seconds_per_1k": 30.0})
    dear = found.model_copy(update={**even, "seconds_per_1k": 90.0})
    unknown = found.model_copy(update={**even, "seconds_per_1k": None})
    assert [pays(c, 0.02) for c in (cheaper, dear, unknown)] == [True, False, False]
    worse = cheaper.model_copy(
        update={"over_strong": Interval(value=-0.02, low=-0.031, high=-0.009)}
    )
    assert not pays(worse, 0.02)
    assert f"{MINUS}2.0 points ({MINUS}3.1 to {MINUS}0.9) compared with retrieval alone" in (
        words.cascade(worse)
    )


def test_the_report_shows_overlap_and_cascade():
    cheap, strong, sure, targets = world(np.random.default_rng(1))
    said = [LABELS[c] for c in cheap]
    players = [
        player("probe", said, scores=answered.scores(LABELS, said, sure)),
        player("retrieval", [LABELS[c] for c in strong], "retrieval", cheap=False, seconds=100.0),
    ]
    decision = judge(answered.study(LABELS, [LABELS[t] for t in targets], players), Rule())
    text = " ".join(re.sub(r"<[^>]+>", " ", render_html(decision)).split())
    assert f"Both candidates are wrong on {decision.overlap.wrong_in_all} of 400 rows" in text
    (named,) = (s for s in decision.verdict.steps if s.kind == "cascade")
    assert named.value == decision.overlap.cascade.over_chosen


def test_a_cascade_is_held_against_the_candidate_that_the_verdict_names():
    cheap, strong, sure, targets = world(np.random.default_rng(1))
    said = [LABELS[c] for c in cheap]
    best = np.where(
        np.random.default_rng(2).random(len(targets)) < 0.99, targets, (targets + 1) % 4
    )
    players = [
        player("probe", said, scores=answered.scores(LABELS, said, sure)),
        player("retrieval", [LABELS[c] for c in strong], "retrieval", cheap=False, seconds=90.0),
        player("lora", [LABELS[c] for c in best], "fine-tuning", seconds=2.0),
    ]
    study = answered.study(LABELS, [LABELS[t] for t in targets], players)
    contenders = contenders_of(study_scores(study), Rule())
    pair = cascade(contenders, "probe", "retrieval", "lora")
    assert pays(cascade(contenders, "probe", "retrieval"), 0.02)
    assert pair.over_chosen.value == pytest.approx(
        pair.accuracy.value - contenders.accuracies["lora"].value
    )
    assert pair.over_chosen.value < 0
    assert not pays(pair, 0.02), "the candidate named is better without it"
    assert f"{in_points(pair.over_chosen)} compared with lora alone" in words.cascade(pair)
    assert "on the same 400 rows" in words.cascade(pair)


def test_the_best_of_a_kind_is_the_best_on_common_rows():
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
    found = overlap_of(contenders_of(study_scores(study), Rule()))
    assert found.rows == 20
    assert found.cheap == "tfidf", "95 of 100 against 90 on the 20 rows that both answered"


def test_the_report_obeys_no_label_or_name():
    evil = decisions.HOSTILE
    overlap = ErrorOverlap(
        candidates=(evil, evil),
        rows=9,
        wrong_in_all=1,
        oracle=Interval(value=0.5, low=0.1, high=0.9),
        cheap=evil,
        strong=evil,
        both_wrong=1,
        both_expected=0.5,
        only_cheap_wrong=1,
        only_strong_wrong=1,
    )
    text = render_html(decisions.decision().model_copy(update={"overlap": overlap}))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[bold red]" in text


def _disagreement(targets, players):
    contenders = contenders_of(study_scores(answered.study("abc", targets, players)), Rule())
    return disagreement_of(contenders, standings_of(contenders, "tfidf"))


def test_rows_that_the_chosen_one_and_its_rival_answer_differently_by_hand():
    """Only common rows count; an unusable answer is null; a constant candidate is no rival."""
    players = [
        player("majority", "aaaaaaaa"),
        player("tfidf", "aabbabba"),
        player("probe", "aaaababb"),
        player("knn", "ccccccca"),
    ]
    found = _disagreement("aaaaaabb", players)
    assert (found.chosen, found.rival, found.rows) == ("tfidf", "probe", 8)
    assert [(r.id, r.label, r.chosen, r.rival) for r in found.listed] == [
        ("r4", "a", "a", "b"),
        ("r2", "a", "b", "a"),
        ("r3", "a", "b", "a"),
        ("r5", "a", "b", "a"),
        ("r7", "b", "a", "b"),
    ]
    assert (found.differing, found.only_chosen_right, found.only_rival_right) == (5, 1, 4)


def test_which_labels_are_answered_as_which_by_hand():
    players = [player("majority", "aaaaaaaa"), player("tfidf", "aab.abba")]
    contenders = contenders_of(study_scores(answered.study("abc", "aaaaaabb", players)), Rule())
    found = [(c.label, c.answer, c.rows) for c in confusion_of(contenders, "tfidf")]
    assert found == [
        ("a", "a", 3), ("a", "b", 2), ("a", None, 1),
        ("b", "a", 1), ("b", "b", 1),
    ]  # fmt: skip


def test_wrong_answers_of_the_best_prompted_candidate_are_listed_those_without_a_label_first():
    players = [
        player("tfidf", "aaaabbbb"),
        player("prompt", ("a", "b", "a", "b", None, "b", "a", "b"), "prompting", cheap=False),
        player("worse", "bbbbaaaa", "prompting", cheap=False),
    ]
    study = replace(answered.study("ab", "aaaabbbb", players), personal=frozenset({"r1"}))
    found = judge(study, Rule()).side_by_side
    assert [
        (row.id, row.target, *[(a.candidate, a.output) for a in row.answers]) for row in found
    ] == [
        ("r4", "b", ("prompt", None)),
        ("r3", "a", ("prompt", "b")),
        ("r6", "b", ("prompt", "a")),
    ]


def test_the_rival_is_of_another_family_where_one_may_win():
    rng = np.random.default_rng(9)
    targets = "".join(rng.choice(list("abc"), 200))
    wrong = {"a": "b", "b": "c", "c": "a"}

    def right_but(places):
        return "".join(wrong[t] if i in places else t for i, t in enumerate(targets))

    def rival_of(lora, probe):
        players = [
            player("tfidf", right_but(range(40))),
            player("probe", right_but(probe)),
            player("lora", right_but(lora), "fine-tuning", cheap=False),
        ]
        return _disagreement(targets, players).rival

    nearest, near, far = range(4, 46), range(90, 136), range(60, 200)
    assert rival_of(near, nearest) == "lora", "another family may win, though probe is nearer"
    assert rival_of(far, nearest) == "probe", "a family that lost is no rival"
    assert rival_of(far, far) in ("probe", "lora"), "if no other can win, the nearest is the rival"


def test_differences_balance_with_the_paired_difference_on_the_same_rows():
    """rows * (rival - chosen) is the rows that only the rival gets right minus the others."""
    rng = np.random.default_rng(4)
    targets = "".join(rng.choice(list("abc"), 300))
    said = [
        "".join(t if rng.random() < share else rng.choice(list("abc")) for t in targets)
        for share in (0.7, 0.75)
    ]
    players = [player("tfidf", said[0]), player("probe", said[1])]
    contenders = contenders_of(study_scores(answered.study("abc", targets, players)), Rule())
    found = disagreement_of(contenders, standings_of(contenders, "tfidf"))
    gained = found.only_rival_right - found.only_chosen_right
    assert gained / found.rows == pytest.approx(contenders.gain("probe", "tfidf").value)
    assert len(found.listed) == 50 < found.differing
    assert len({row.id for row in found.listed}) == 50
    shown = sum(row.rival == row.label for row in found.listed)
    assert shown / 50 == pytest.approx(found.only_rival_right / found.differing, abs=0.02)


def test_there_is_no_rival_where_the_others_give_one_answer_to_every_row():
    assert _disagreement("abba", [player("majority", "aaaa"), player("tfidf", "abab")]) is None

"""Matching answers to labels: strict, with a status for every kind of unusable answer."""

from math import exp, log

import numpy as np
import pytest

from choose.models.endpoints.ledger import PaidAnswer, TokenLogprobs
from choose.models.endpoints.responses import LabelParser, label_scores
from choose.tasks.labels import Classification

TASK = Classification(
    labels=("card_arrival", "lost_card", "card", "refund", "no_answer"),
    names=("card arrival", "lost card", "card", "refund", "no answer"),
)


def read(content: str, **more: str) -> tuple[str | None, str]:
    return LabelParser(TASK).parse(PaidAnswer(content=content, **more))


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ("refund", "refund"),
        ("Refund.", "refund"),
        (' "REFUND" ', "refund"),
        ("**lost card**", "lost_card"),
        ("lost_card", "lost_card"),
        ("Card-Arrival", "card_arrival"),
        ("Label: refund", "refund"),
        ("The correct label is: lost card", "lost_card"),
        ("card", "card"),
        ('{"label": "card arrival"}', "card_arrival"),
        ('```json\n{"label": "lost card"}\n```', "lost_card"),
        ('{"category": "refund"}', "refund"),
        ("<think>a card? no, a refund</think>\nrefund", "refund"),
        ("This is about a lost card.", "lost_card"),
        ("refund\n\nThe writer wants the money for the card back.", "refund"),
        ("The text is about cards.\nLabel: card arrival", "card_arrival"),
        ("no answer", "no_answer"),
    ],
)
def test_what_is_read_as_a_label(content: str, label: str) -> None:
    assert read(content) == (label, "ok")


@pytest.mark.parametrize(
    "content",
    [
        "refunds",
        "refund or lost card",
        "It is not a refund.",
        "This isn't about a refund",
        "neither refund nor anything",
        "either a refund or something else",
        "something else entirely",
        '{"label": "money"}',
        "fruit",
        "a refund " + "and so on " * 20,
    ],
)
def test_what_is_no_label(content: str) -> None:
    assert read(content) == (None, "off-list")


@pytest.mark.parametrize(
    ("content", "more", "status"),
    [
        ("", {}, "empty"),
        ("  \n", {}, "empty"),
        ("<think>well, a card", {"finish": "length"}, "cut"),
        ("<think>hm</think>", {}, "empty"),
        ("lost c", {"finish": "length"}, "cut"),
        ("card", {"finish": "length"}, "cut"),
        ('{"label": "car', {"finish": "length"}, "cut"),
        ("", {"finish": "content_filter"}, "refused"),
        ("refund", {"refusal": "I will not."}, "refused"),
        ("I'm sorry, but I can't help with that.", {}, "refused"),
        ("I cannot classify this text.", {}, "refused"),
    ],
)
def test_why_an_answer_is_unusable(content: str, more: dict[str, str], status: str) -> None:
    assert read(content, **more) == (None, status)


def test_a_whole_object_is_an_answer_even_at_the_limit() -> None:
    assert read('{"label": "refund"}', finish="length") == ("refund", "ok")


def test_labels_that_differ_in_case_only_are_not_guessed_at() -> None:
    task = Classification(labels=("A", "a", "b"), names=("first", "second", "third"))
    assert LabelParser(task).parse(PaidAnswer(content="a")) == (None, "off-list")
    assert LabelParser(task).parse(PaidAnswer(content="Second")) == ("a", "ok")


NAMES = ("refund", "reply", "card")


def tokens(*given: tuple[str, float, dict[str, float]]) -> TokenLogprobs:
    return tuple(
        (token, log(p), tuple((other, log(q)) for other, q in others.items()))
        for token, p, others in given
    )


def test_alternatives_give_their_share_to_the_labels_they_begin() -> None:
    odds = tokens(
        ("re", 0.8, {"re": 0.8, "card": 0.2}), ("fund", 0.75, {"fund": 0.75, "ply": 0.25})
    )
    scores = label_scores(odds, "refund", "refund", NAMES, 0)
    assert np.exp(scores) == pytest.approx([0.6, 0.2, 0.2], abs=1e-4)


def test_a_prefix_that_labels_share_is_shared() -> None:
    odds = tokens(("card", 0.6, {"card": 0.6, "re": 0.4}))
    scores = label_scores(odds, "card", "card", NAMES, 2)
    assert np.exp(scores) == pytest.approx([0.2, 0.2, 0.6], abs=1e-4)


def test_inside_json_only_the_label_counts() -> None:
    odds = tokens(
        ('{"label": "', 0.5, {'{"label": "': 0.5, "Sure": 0.5}),
        ("card", 0.9, {"card": 0.9, "ref": 0.1}),
        ('"}', 0.99, {'"}': 0.99, " arrival": 0.01}),
    )
    scores = label_scores(odds, '{"label": "card"}', "card", NAMES, 2)
    assert np.exp(scores) == pytest.approx([0.1, 0, 0.9], abs=1e-4)


def test_what_nothing_accounts_for_is_spread_evenly() -> None:
    scores = label_scores(tokens(("card", 0.4, {"card": 0.4})), "card", "card", NAMES, 2)
    assert np.exp(scores) == pytest.approx([0.2, 0.2, 0.6], abs=1e-4)


def test_scores_are_finite_and_normalised_even_at_certainty() -> None:
    scores = label_scores(tokens(("card", 1.0, {})), "card", "card", NAMES, 2)
    assert np.isfinite(scores).all()
    assert float(np.exp(scores).sum()) == pytest.approx(1.0)


def test_tokens_of_another_text_give_no_scores() -> None:
    assert label_scores(tokens(("dog", 0.9, {})), "card", "card", NAMES, 2) is None


def test_more_certain_tokens_score_higher() -> None:
    found = [
        label_scores(tokens(("card", p, {"card": p})), "card", "card", NAMES, 2) for p in (0.5, 0.9)
    ]
    assert exp(found[0][2]) < exp(found[1][2])

"""Matching answers to labels: strict, with a status for every kind of unusable answer."""

import pytest

from choose.models.endpoints.ledger import PaidAnswer
from choose.models.endpoints.responses import LabelParser
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

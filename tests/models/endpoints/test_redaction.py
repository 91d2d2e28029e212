"""A key that a server repeats is hidden, also in other case, URL-encoded or with blanks (H10)."""

import time
from typing import Any

import pytest

from choose.models.endpoints.client import Reply
from choose.models.endpoints.responses import parse_reply
from choose.models.endpoints.settings import HIDDEN, hide_keys, hide_keys_cut, redact
from support.chat_server import SPELLINGS

KEY = "Zq7Xv.TOPSEC-RET/88+aa"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", [KEY, "sk-proj-0123456789abcdefgh", "plain9key8without7marks"])
def test_a_key_is_hidden_in_any_spelling(spelling: str, key: str) -> None:
    spelled = SPELLINGS[spelling](key)
    hidden = hide_keys(f"you sent {spelled} to us", [key])
    assert spelled not in hidden
    assert hidden.startswith("you sent ")
    assert hidden.endswith(" to us")
    assert HIDDEN in hidden


@pytest.mark.parametrize(
    ("key", "text", "hidden"),
    [
        (KEY, "The answer is card_arrival.", "The answer is card_arrival."),
        (KEY, "100 % é \\u00e9 &#233;", "100 % é \\u00e9 &#233;"),
        (KEY, f"{KEY} and {KEY.lower()} or {KEY.upper()}", f"{HIDDEN} and {HIDDEN} or {HIDDEN}"),
        # Local servers take words such as EMPTY for a key, which answers may hold.
        ("EMPTY", "EMPTY or empty, e m p t y", f"{HIDDEN} or empty, e m p t y"),
    ],
)
def test_every_occurrence_is_hidden_and_other_texts_stay(key: str, text: str, hidden: str) -> None:
    assert hide_keys(text, [key]) == hidden


def test_an_error_with_lone_surrogates_can_be_written() -> None:
    redact("bad \ud800 key", [KEY]).encode("utf-8")


def test_long_texts_take_no_time() -> None:
    start = time.monotonic()
    hide_keys("%41" * 3_000, [KEY])
    redact("Z " * 1_000_000, [KEY])
    hide_keys(" ".join(KEY) + "x" * 8_000, [KEY])
    hide_keys_cut("plain9key8without7marks" * 100_000, ["plain9key8without7marks"], 4_000)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("before", [3_990, 7_990, 63_990])
def test_a_cut_leaves_no_part_of_a_key(before: int) -> None:
    """B2: texts are cut after their keys are replaced."""
    spelled = " ".join(f"%{ord(char):02x}" for char in KEY)
    for text in ("." * before + spelled, spelled * before):
        assert "%" not in hide_keys_cut(text, [KEY], 4_000) + redact(text, [KEY])


def answer(**fields: Any) -> Reply:
    choice = {"message": {"content": fields.pop("content", "a")}, **fields}
    return Reply({"choices": [choice]}, 0.1)


@pytest.mark.parametrize(
    "reply",
    [
        answer(content="x" * 3_990 + KEY),
        answer(content=[{"text": KEY[:9]}, {"text": KEY[9:]}]),
    ],
    ids=["cut", "parts"],
)
def test_an_answer_that_is_cut_or_in_parts_keeps_no_key(reply: Reply) -> None:
    assert KEY[:9] not in repr(parse_reply(reply, [KEY]))
    assert "TOP" not in repr(parse_reply(reply, [KEY]))


def test_names_from_a_server_are_bounded() -> None:
    paid = parse_reply(answer(finish_reason="f" * 10_000))
    assert len(paid.finish) == 200

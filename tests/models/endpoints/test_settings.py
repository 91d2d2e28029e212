"""Settings of an endpoint: validation, digest, and the API key in no output, however spelled."""

import time
from typing import Any

import pytest

from choose.errors import ModelError, StudyError
from choose.models.endpoints.client import Reply
from choose.models.endpoints.request_session import connect_endpoints, model_digest
from choose.models.endpoints.responses import parse_reply
from choose.models.endpoints.settings import (
    HIDDEN,
    Endpoint,
    api_key,
    hide_keys,
    hide_keys_cut,
    redact,
)
from choose.study.resolve_study import check
from support.chat_server import SPELLINGS

KEY = "sk-do-not-print-me-123456"


def endpoint(**more: Any) -> Endpoint:
    return Endpoint(**{"base_url": "http://127.0.0.1:8000/v1", "model": "m", **more})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"base_url": "127.0.0.1:8000"}, "write it as https://HOST/v1"),
        ({"base_url": "ftp://host/v1"}, "write it as https://HOST/v1"),
        ({"base_url": f"https://user:{KEY}@host/v1"}, "it holds a password"),
        ({"base_url": f"https://host/v1?api_key={KEY}"}, "looks like a key"),
        ({"api_key_env": KEY}, "not the key itself"),
        ({"api_key": KEY}, "Did you mean 'api_key_env'?"),
        ({"extra_body": {"api_key": KEY}}, "looks like a key"),
        ({"extra_body": {"metadata": {"auth": [KEY]}}}, "'auth' looks like a key"),
        ({"extra_body": {"headers": {"X-Subscription-Key": "a"}}}, "looks like a key"),
        ({"extra_body": {"note": "Bearer abcdefghijk"}}, "'note' looks like a key"),
        ({"api_key_env": "abcdef0123456789abcdef0123456789"}, "looks like a key itself"),
        ({"extra_body": {"messages": []}}, "is set by choose"),
        ({"extra_body": {"max_tokens": 256.0}}, "'max_tokens' must be a whole number"),
        ({"extra_body": {"max_completion_tokens": "256"}}, "must be a whole number, 1 or more"),
        ({"extra_body": {"max_tokens": True}}, "must be a whole number"),
        ({"extra_body": {"max_tokens": 0}}, "must be a whole number"),
        ({"concurrency": 0}, "concurrency"),
        ({"usd_per_million_in": -1}, "usd_per_million_in"),
        ({"model": ""}, "model"),
    ],
)
def test_a_bad_section_is_refused_without_its_secrets(refusal, given, says) -> None:
    section = {"base_url": "https://host/v1", "model": "m", **given}
    said = refusal(StudyError, check, {"endpoints": {"big": section}}, "the study")
    assert says in said
    assert KEY not in said


def test_what_only_sounds_like_a_key_is_sent() -> None:
    extra = {"max_completion_tokens": 9, "tokenizer": "x", "prompt_cache_key": "tickets"}
    assert endpoint(extra_body=extra).extra_body == extra
    assert endpoint(api_key_env="OPENAI_API_KEY_2025").api_key_env == "OPENAI_API_KEY_2025"


def test_the_address_people_copy_is_understood() -> None:
    assert endpoint(base_url="https://h/v1/").base_url == "https://h/v1"
    assert endpoint(base_url="https://h/v1/chat/completions").base_url == "https://h/v1"


@pytest.mark.parametrize(
    ("changed", "other"),
    [
        ({"base_url": "http://127.0.0.1:8001/v1"}, True),
        ({"model": "other"}, True),
        ({"extra_body": {"seed": 1}}, True),
        ({"max_output_tokens": 5}, True),
        ({"structured": "off"}, True),
        ({"api_key_env": "OTHER"}, False),
        ({"concurrency": 2}, False),
        ({"usd_per_million_in": 3.0}, False),
        ({"timeout": 5.0}, False),
    ],
)
def test_what_can_change_an_answer_changes_the_digest(changed, other):
    assert (endpoint(**changed).digest != endpoint().digest) == other


def test_the_digest_stands_for_the_weights(refusal) -> None:
    with connect_endpoints({"big": endpoint()}):
        assert model_digest("endpoint:big") == endpoint().digest
        assert "Did you mean 'big'" in refusal(ModelError, model_digest, "endpoint:bg")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:8/v1", True),
        ("http://10.0.0.5/v1", False),
        ("https://localhost.example.com/v1", False),
        ("https://127.0.0.1.nip.io/v1", False),
    ],
)
def test_what_is_this_machine(url: str, here: bool) -> None:
    assert endpoint(base_url=url).is_local is here


def test_half_a_price_is_no_price() -> None:
    assert endpoint(usd_per_million_in=1.0).prices is None
    assert endpoint(usd_per_million_in=0, usd_per_million_out=0).prices is not None


def test_a_key_comes_from_the_environment_and_from_no_file(tmp_path, monkeypatch):
    """The folder may be someone else's, and its key would decide who sees the rows and pays."""
    (tmp_path / ".env").write_text(f"SOME_KEY={KEY}\n")
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ModelError, match="SOME_KEY, which is not set"):
        api_key("big", endpoint(api_key_env="SOME_KEY"))
    monkeypatch.setenv("SOME_KEY", "from-outside")
    assert api_key("big", endpoint(api_key_env="SOME_KEY")) == "from-outside"
    assert api_key("big", endpoint()) is None


def test_a_key_that_no_header_can_carry_is_not_quoted(refusal, monkeypatch) -> None:
    monkeypatch.setenv("SOME_KEY", f"{KEY}\nX-Evil: 1")
    assert KEY not in refusal(ModelError, api_key, "big", endpoint(api_key_env="SOME_KEY"))


def test_scrubbing_takes_keys_out_whoever_quotes_them() -> None:
    said = redact(f"bad key {KEY} and Bearer abc.def, also sk-other-0123456789", [KEY])
    assert said == f"bad key {HIDDEN} and Bearer {HIDDEN}, also {HIDDEN}"


ODD = "Zq7Xv.TOPSEC-RET/88+aa"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", [ODD, "sk-proj-0123456789abcdefgh", "plain9key8without7marks"])
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
        (ODD, "The answer is card_arrival.", "The answer is card_arrival."),
        (ODD, "100 % é \\u00e9 &#233;", "100 % é \\u00e9 &#233;"),
        (ODD, f"{ODD} and {ODD.lower()} or {ODD.upper()}", f"{HIDDEN} and {HIDDEN} or {HIDDEN}"),
        # Local servers take words such as EMPTY for a key, which answers may hold.
        ("EMPTY", "EMPTY or empty, e m p t y", f"{HIDDEN} or empty, e m p t y"),
    ],
)
def test_every_occurrence_is_hidden_and_other_texts_stay(key: str, text: str, hidden: str) -> None:
    assert hide_keys(text, [key]) == hidden


def test_an_error_with_lone_surrogates_can_be_written() -> None:
    redact("bad \ud800 key", [ODD]).encode("utf-8")


def test_long_texts_take_no_time() -> None:
    start = time.monotonic()
    hide_keys("%41" * 3_000, [ODD])
    redact("Z " * 1_000_000, [ODD])
    hide_keys(" ".join(ODD) + "x" * 8_000, [ODD])
    hide_keys_cut("plain9key8without7marks" * 100_000, ["plain9key8without7marks"], 4_000)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("before", [3_990, 7_990, 63_990])
def test_a_cut_leaves_no_part_of_a_key(before: int) -> None:
    """B2: texts are cut after their keys are replaced."""
    spelled = " ".join(f"%{ord(char):02x}" for char in ODD)
    for text in ("." * before + spelled, spelled * before):
        assert "%" not in hide_keys_cut(text, [ODD], 4_000) + redact(text, [ODD])


def answer(**fields: Any) -> Reply:
    return Reply({"choices": [{"message": {"content": fields.pop("content", "a")}, **fields}]}, 0.1)


@pytest.mark.parametrize(
    "reply",
    [answer(content="x" * 3_990 + ODD), answer(content=[{"text": ODD[:9]}, {"text": ODD[9:]}])],
    ids=["cut", "parts"],
)
def test_an_answer_that_is_cut_or_in_parts_keeps_no_key(reply: Reply) -> None:
    assert ODD[:9] not in repr(parse_reply(reply, [ODD]))
    assert "TOP" not in repr(parse_reply(reply, [ODD]))


def test_names_from_a_server_are_bounded() -> None:
    assert len(parse_reply(answer(finish_reason="f" * 10_000)).finish) == 200

"""Settings of an endpoint: validation, digest, and the API key in no output."""

from typing import Any

import pytest

from choose.errors import ModelError, StudyError
from choose.models.endpoints.request_session import connect_endpoints, model_digest
from choose.models.endpoints.settings import HIDDEN, Endpoint, api_key, redact
from choose.study.resolve_study import check

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
def test_a_bad_section_is_refused_without_its_secrets(given: dict[str, Any], says: str) -> None:
    section = {"base_url": "https://host/v1", "model": "m", **given}
    with pytest.raises(StudyError) as caught:
        check({"endpoints": {"big": section}}, "the study")
    assert says in str(caught.value)
    assert KEY not in str(caught.value)


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


def test_the_digest_stands_for_the_weights() -> None:
    with connect_endpoints({"big": endpoint()}):
        assert model_digest("endpoint:big") == endpoint().digest
        with pytest.raises(ModelError, match="Did you mean 'big'"):
            model_digest("endpoint:bg")


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
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ModelError, match="SOME_KEY, which is not set"):
        api_key("big", endpoint(api_key_env="SOME_KEY"))
    monkeypatch.setenv("SOME_KEY", "from-outside")
    assert api_key("big", endpoint(api_key_env="SOME_KEY")) == "from-outside"
    assert api_key("big", endpoint()) is None


def test_a_key_that_no_header_can_carry_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", f"{KEY}\nX-Evil: 1")
    with pytest.raises(ModelError) as caught:
        api_key("big", endpoint(api_key_env="SOME_KEY"))
    assert KEY not in str(caught.value)


def test_scrubbing_takes_keys_out_whoever_quotes_them() -> None:
    said = redact(f"bad key {KEY} and Bearer abc.def, also sk-other-0123456789", [KEY])
    assert said == f"bad key {HIDDEN} and Bearer {HIDDEN}, also {HIDDEN}"

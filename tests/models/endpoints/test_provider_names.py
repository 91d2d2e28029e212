"""Models by their usual names: the table of providers against the local server."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from choose.errors import StudyError
from choose.models.endpoints.provider_names import (
    PROVIDERS,
    endpoint_settings,
    provider_of,
    what_to_type,
    with_providers,
)
from choose.models.endpoints.settings import Endpoint
from choose.study.resolve_study import check, load_study
from support.chat_server import RIGHT, Server, serving

KEY = "sk-this-must-never-be-written-0815"
QUICK = ("--set", "seeds=1", "--set", "noise=0")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Point the whole table at a local server."""
    with serving(RIGHT) as running:
        for name, provider in PROVIDERS.items():
            monkeypatch.setitem(PROVIDERS, name, replace(provider, base_url=running.url))
        yield running


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in PROVIDERS.values():
        for variable in provider.keys:
            monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("name", [f"{name}:{p.example}" for name, p in PROVIDERS.items()])
def test_each_provider_is_an_endpoint_with_its_usual_address_and_key(name: str) -> None:
    study = check({"models": {"model": name}}, "the settings")
    assert study.models.model == f"endpoint:{name}"
    endpoint, provider = study.endpoints[name], PROVIDERS[name.partition(":")[0]]
    assert (endpoint.base_url, endpoint.model) == (provider.base_url, provider.example)
    assert endpoint.is_local == (not provider.needs_key)
    assert endpoint.api_key_env == (provider.keys[0] if provider.needs_key else None)


def test_the_same_model_has_the_same_key_in_the_store_however_it_is_named(server: Server) -> None:
    long = check({"endpoints": {"x": {"base_url": server.url, "model": "m"}}}, "it").endpoints["x"]
    short = check({"models": {"model": "ollama:m"}}, "it").endpoints["ollama:m"]
    assert short.digest == long.digest


def test_a_study_file_adds_prices_and_an_address_to_a_shorthand() -> None:
    settings: dict[str, Any] = {
        "endpoints": {"vllm:a/b": {"usd_per_million_in": 0.1, "base_url": "http://gpu:8000/v1"}},
        "candidates": [
            {"strategy": "prompt", "model": "vllm:a/b"},
            {"strategy": "served", "params": {"model": "ollama:tuned"}},
            {"strategy": "lora", "tune": "hf:org/base"},
        ],
    }
    study = load_study(settings)
    assert study.endpoints["vllm:a/b"].usd_per_million_in == 0.1
    assert study.endpoints["vllm:a/b"].base_url == "http://gpu:8000/v1"
    assert study.candidates[0].model == "endpoint:vllm:a/b"
    assert study.candidates[1].params["model"] == "endpoint:ollama:tuned"
    assert study.candidates[2].tune == "org/base"
    assert load_study(study.model_dump(mode="json", exclude_none=True)) == study


def test_a_key_of_a_local_server_is_used_only_if_it_is_set(monkeypatch):
    def section() -> Endpoint:
        return check({"models": {"model": "vllm:m"}}, "it").endpoints["vllm:m"]

    assert section().api_key_env is None
    monkeypatch.setenv("VLLM_API_KEY", "token-abc123")
    assert section().api_key_env == "VLLM_API_KEY"
    monkeypatch.setenv("GOOGLE_API_KEY", "abc")
    gemini = check({"models": {"model": "gemini:g"}}, "it").endpoints["gemini:g"]
    assert gemini.api_key_env == "GOOGLE_API_KEY"


@pytest.mark.usefixtures("data")
def test_without_its_key_a_shorthand_names_the_variable_before_consent_is_asked(refused, server):
    line = refused("compare", "words.csv", "-s", "prompt", "--model", "openai:gpt-4o-mini")
    assert "OPENAI_API_KEY" in line
    assert "is not set" in line
    assert not server.asked
    assert not Path(".choose").exists()


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ("gpt-4o-mini", "openai:gpt-4o-mini"),
        ("o4-mini", "openai:o4-mini"),
        ("claude-sonnet-4-5", "anthropic:claude-sonnet-4-5"),
        ("gemini-2.5-flash", "gemini:gemini-2.5-flash"),
        ("mistral-small-latest", "mistral:mistral-small-latest"),
        ("qwen2.5:7b", "ollama:qwen2.5:7b"),
        ("opnai:gpt-4o", "Did you mean 'openai'?"),
    ],
)
def test_a_model_without_its_provider_says_what_to_type(refusal, typed: str, advice: str) -> None:
    said = refusal(StudyError, with_providers, {"models": {"model": typed}})
    assert f"models.model is '{typed}', and no such model is here. " in said
    assert advice in said


def test_paths_and_hub_ids_are_no_shorthands() -> None:
    for spec in ("C:\\models\\x", "./folder", "org/name", "endpoint:big", "pypi:a==1/b"):
        assert provider_of(spec) is None
        assert what_to_type(spec) is None
        assert with_providers({"models": {"model": spec}}) == {"models": {"model": spec}}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"models": {"model": "openai:"}}, "Write openai:gpt-4o-mini"),
        ({"models": {"tune": "openai:gpt-4o"}}, "can be prompted, not loaded"),
        ({"models": {"model": "hf:gpt2"}}, "Write hf:ORG/NAME"),
        ({"candidates": [{"strategy": "lora", "params": {"base": "groq:x"}}]}, "candidates.0"),
        ({"endpoints": {"openai:x": 3}}, "endpoints.openai:x"),
        ({"models": 3}, "models"),
        ({"candidates": 3}, "candidates"),
    ],
)
def test_a_wrong_shorthand_is_refused_in_one_line(refusal, settings, complaint):
    assert complaint in refusal(StudyError, check, settings, "the settings")


def test_prices_and_an_address_go_with_a_shorthand_on_the_command_line() -> None:
    model, sections = endpoint_settings("openai:m", None, "MY_KEY", "1,2")
    assert model == "openai:m"
    own = {"api_key_env": "MY_KEY", "usd_per_million_in": 1.0, "usd_per_million_out": 2.0}
    assert sections == {"openai:m": own}
    assert endpoint_settings("ollama:m", "http://gpu:11434/v1", None, None)[1] == {
        "ollama:m": {"base_url": "http://gpu:11434/v1"}
    }
    with pytest.raises(StudyError, match=r"openai:gpt-4o-mini, or --base-url"):
        endpoint_settings("gpt-4o", None, None, "1,2")


def test_a_refused_connection_asks_whether_the_server_runs(choose, data, monkeypatch):
    closed = replace(PROVIDERS["ollama"], base_url="http://127.0.0.1:9/v1")
    monkeypatch.setitem(PROVIDERS, "ollama", closed)
    code, _, err = choose("compare", data, "-s", "prompt", *QUICK, "--model", "ollama:m")
    assert code == 2
    assert err.splitlines()[-1].endswith("Is the server running?")

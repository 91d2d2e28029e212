"""The server that fails on purpose, seen by the official client."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import openai
import pytest

from support.serving.faults import PASSING, Mix
from support.serving.faulty import FaultyServer, Habits
from support.serving.lies import FILED

ASKED = [
    {"role": "system", "content": "Say which label fits: fruit, tool, weather. " * 4},
    {"role": "user", "content": "Text: hammer\nLabel:"},
]
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["fruit", "tool", "weather"]}},
    "required": ["label"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


def rule(question: str) -> Mapping[str, float]:
    return {"fruit": 0.2, "tool": 0.7, "weather": 0.1}


def ask(server: FaultyServer, key: str = "k", **more: Any) -> Any:
    client = openai.OpenAI(base_url=server.url, api_key=key, max_retries=0, timeout=5)
    try:
        with client:
            return client.chat.completions.create(
                **{"model": "big-model", "messages": ASKED, "temperature": 0, **more}
            )
    finally:
        closed(server)


def closed(server: FaultyServer) -> None:
    """Wait until the server has noted how each request ended: the client may know it first."""
    deadline = time.monotonic() + 5
    while server.ledger.now and time.monotonic() < deadline:
        time.sleep(0.005)


def test_it_answers_and_its_account_is_what_the_client_read() -> None:
    with FaultyServer(rule, Habits(reasoning=5)) as server:
        first, again = ask(server), ask(server)
        assert first.choices[0].message.content == "tool"
        assert first.usage.completion_tokens == again.usage.completion_tokens == 6
        assert first.usage.completion_tokens_details.reasoning_tokens == 5
        assert first.usage.prompt_tokens_details.cached_tokens == 0
        assert 0 < again.usage.prompt_tokens_details.cached_tokens <= again.usage.prompt_tokens
        counted = server.ledger.tokens()
        assert counted["in"] == first.usage.prompt_tokens + again.usage.prompt_tokens
        assert counted["out"] == 12
        assert [receipt.attempt for receipt in server.ledger.twice] == [2]


def test_it_fills_a_schema_and_gives_log_probabilities_where_the_label_begins() -> None:
    with FaultyServer(rule) as server:
        answer = ask(server, response_format=FORMAT, logprobs=True, top_logprobs=3).choices[0]
    assert json.loads(answer.message.content) == {"label": "tool"}
    token = next(t for t in answer.logprobs.content if t.token == "tool")
    assert [t.token for t in token.top_logprobs] == ["tool", "frui", "weat"]
    assert "".join(t.token for t in answer.logprobs.content) == answer.message.content


@pytest.mark.parametrize("fault", [fault for fault in PASSING if fault not in ("stall", "drip")])
def test_a_fault_is_no_answer_and_is_not_paid(fault: str) -> None:
    with FaultyServer(rule) as server:
        server.cue(fault)
        with pytest.raises((openai.APIError, json.JSONDecodeError, AttributeError, TypeError)):
            ask(server).choices[0].message  # noqa: B018
        assert server.ledger.faults == {fault: 1}
        assert not server.ledger.paid
        assert ask(server).choices[0].message.content == "tool"
        assert not server.ledger.twice


def test_a_stall_outlasts_the_client() -> None:
    with FaultyServer(rule) as server:
        server.cue("stall")
        with pytest.raises(openai.APITimeoutError):
            ask(server, timeout=0.2)
        ask(server)
        assert (len(server.ledger.paid), server.ledger.requests) == (1, 2)


@pytest.mark.parametrize("lie", FILED)
def test_a_lie_is_paid(lie: str) -> None:
    with FaultyServer(rule, Habits(lies=Mix(1.0, (lie,)))) as server:
        choice = ask(server).choices[0]
        assert choice.message.content != "tool"
        assert len(server.ledger.paid) == 1
    expected = {"filtered": "content_filter", "length": "length"}.get(lie, "stop")
    assert choice.finish_reason == expected


@pytest.mark.parametrize(
    ("habits", "more", "error", "words"),
    [
        (Habits(key="right"), {}, openai.AuthenticationError, "Incorrect API key"),
        (Habits(), {"model": "huge"}, openai.NotFoundError, "does not exist"),
        (Habits(context=10), {}, openai.BadRequestError, "maximum context length is 10"),
        (Habits(temperature="refused"), {}, openai.BadRequestError, "'temperature'"),
        (
            Habits(json_mode="refused"),
            {"response_format": FORMAT},
            openai.BadRequestError,
            "'response_format'",
        ),
        (Habits(per_minute=0), {}, openai.RateLimitError, "Rate limit"),
    ],
)
def test_it_refuses_as_the_real_ones_do(
    habits: Habits, more: dict[str, Any], error: type[Exception], words: str
) -> None:
    with FaultyServer(rule, habits) as server, pytest.raises(error, match=words):
        ask(server, **more)


def test_the_share_of_faults_is_what_was_asked_for_and_never_the_same_twice_in_a_row() -> None:
    mix = Mix(0.2, PASSING, seed=3)
    picked = [mix.pick(f"question {i}", 1) for i in range(5000)]
    assert 0.18 < sum(fault is not None for fault in picked) / 5000 < 0.22
    assert set(picked) == {None, *PASSING}
    assert picked == [mix.pick(f"question {i}", 1) for i in range(5000)]
    assert picked != [mix.pick(f"question {i}", 2) for i in range(5000)]


def test_a_limit_is_announced_and_held() -> None:
    with FaultyServer(rule, Habits(per_minute=1)) as server:
        client = openai.OpenAI(base_url=server.url, api_key="k", max_retries=0)
        with client:
            raw = client.chat.completions.with_raw_response.create(
                model="big-model",
                messages=ASKED,  # type: ignore[arg-type]
            )
            assert raw.headers["x-ratelimit-remaining-requests"] == "0"
            with pytest.raises(openai.RateLimitError) as late:
                client.chat.completions.create(model="big-model", messages=ASKED)  # type: ignore[arg-type]
        assert 50 < float(late.value.response.headers["retry-after"]) <= 60
        assert server.ledger.limited == 1

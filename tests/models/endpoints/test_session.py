"""The handshake with a server, and its responses as columns of answers."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from choose.conformance import TASK, pool, questions
from choose.errors import EndpointError
from choose.strategy import build
from choose.types import Item
from support.chat_server import (
    RIGHT,
    Http,
    Responder,
    asked_of,
    broken,
    error,
    failing,
    fitted,
    labels_of,
    sent,
)
from support.studies import fit_strategy


def refusing(*features: str, message: str = "Unsupported parameter: {}") -> Responder:
    """Refuse requests that hold a feature, by name."""

    def respond(body: dict[str, Any]) -> Http:
        for feature in features:
            if feature in body:
                return error(400, message.format(feature))
        return RIGHT(body)

    return respond


def test_labels_are_held_to_a_schema_where_the_server_takes_one() -> None:
    with asked_of(RIGHT) as asked:
        answers = fitted().predict(questions())
    assert set(answers.status) == {"ok"}
    assert labels_of(asked[-1]) == list(TASK.names)
    assert asked[-1]["temperature"] == 0


@pytest.mark.parametrize(
    ("respond", "gone"),
    [
        (refusing("response_format"), {"response_format"}),
        (refusing("temperature"), {"temperature"}),
        (refusing("response_format", "temperature"), {"response_format", "temperature"}),
        (refusing("response_format", message="bad request"), {"response_format"}),
        (refusing("temperature", message="no"), {"temperature"}),
        (lambda b: error(500, "") if "response_format" in b else RIGHT(b), {"response_format"}),
    ],
)
def test_what_a_server_refuses_is_left_out_from_then_on(respond: Responder, gone: set[str]) -> None:
    with asked_of(respond) as asked:
        answers = fitted().predict(questions())
    assert set(answers.status) == {"ok"}
    assert not gone & set(asked[-1])
    assert sum("response_format" in body for body in asked[-15:]) in (0, 15)


def test_a_server_that_ignores_the_schema_is_read_as_text() -> None:
    def respond(body: dict[str, Any]) -> Http:
        return RIGHT({k: v for k, v in body.items() if k != "response_format"})

    with asked_of(respond) as asked:
        strategy = fitted()
        assert set(strategy.predict(questions()).status) == {"ok"}
        assert (
            "Answers were plain text, matched to the labels strictly." in strategy.facts()["notes"]
        )
    assert "response_format" not in asked[-1]


def test_the_newer_name_of_the_limit_is_used_where_the_older_is_refused() -> None:
    message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    with asked_of(refusing("max_tokens", message=message)) as asked:
        fitted().predict(questions(2))
    assert "max_tokens" not in asked[-1]
    assert asked[-1]["max_completion_tokens"] > 8


def test_a_template_without_a_system_role_is_told_by_the_user() -> None:
    def respond(body: dict[str, Any]) -> Http:
        if body["messages"][0]["role"] == "system":
            return error(400, "System role not supported")
        return RIGHT(body)

    with asked_of(respond) as asked:
        assert set(fitted().predict(questions()).status) == {"ok"}
    assert asked[-1]["messages"][0]["role"] == "user"
    assert "fruit, tool, weather" in asked[-1]["messages"][0]["content"]


def test_a_model_that_reasons_gets_room_and_its_hidden_tokens_are_counted() -> None:
    def respond(body: dict[str, Any]) -> Http:
        if body["max_tokens"] < 1_000:
            return sent("", "length", usage=reasoned(body["max_tokens"]))
        return sent('{"label": "tool"}', usage=reasoned(300))

    def reasoned(count: int) -> dict[str, Any]:
        hidden = {"reasoning_tokens": count - 5}
        return {
            "prompt_tokens": 50,
            "completion_tokens": count,
            "total_tokens": 50 + count,
            "completion_tokens_details": hidden,
        }

    with asked_of(respond) as asked:
        answers = fitted().predict(questions(3))
    assert asked[-1]["max_tokens"] == 1_024
    assert answers.tokens_out.tolist() == [300, 300, 300]


READ = {"prompt_tokens": 50, "completion_tokens": 5}
THOUGHT = {"total_tokens": 355, "completion_tokens_details": {"reasoning_tokens": 300}}


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        (None, (None, None, None)),
        ({"prompt_tokens": "many", "completion_tokens": -3}, (None, None, None)),
        (READ, ([50], None, [5])),
        ({**READ, "prompt_tokens_details": {"cached_tokens": 32}}, ([50], [32], [5])),
        ({**READ, "prompt_cache_hit_tokens": 999}, ([50], [50], [5])),
        # Reasoning that the server leaves out of its count is added.
        ({**READ, **THOUGHT}, ([50], None, [305])),
    ],
)
def test_counts_are_the_servers_or_missing(usage: Any, found: Any) -> None:
    with asked_of(lambda body: sent('{"label": "tool"}', usage=usage)):
        answers = fitted().predict(questions(1))
    columns = (answers.tokens_in, answers.tokens_cached, answers.tokens_out)
    assert tuple(None if c is None else c.tolist() for c in columns) == found


def test_a_body_that_is_no_completion_but_was_billed_is_an_empty_answer() -> None:
    body = json.dumps({"usage": {"prompt_tokens": 9, "completion_tokens": 0}}).encode()
    with asked_of(failing((200, {}, body), after=1, until=2), concurrency=1) as asked:
        answers = fitted().predict(questions(3))
    assert answers.status == ("empty", "ok", "ok")
    assert len(asked) == 4


def test_what_never_changes_stands_first() -> None:
    with asked_of(RIGHT) as asked:
        fitted("few-shot", shots=6).predict(questions())
    assert len({json.dumps(body["messages"][:-1]) for body in asked[1:]}) == 1
    assert [m["role"] for m in asked[-1]["messages"]] == [
        "system",
        *["user", "assistant"] * 6,
        "user",
    ]
    told = [
        json.loads(m["content"])["label"] for m in asked[-1]["messages"] if m["role"] == "assistant"
    ]
    assert Counter(told) == dict.fromkeys(TASK.names, 2)


@pytest.mark.slow
def test_retrieved_examples_stand_behind_the_instruction(encoder: str) -> None:
    with asked_of(RIGHT) as asked:
        answers = fitted("retrieval", encoder=encoder, k=3).predict(questions(5))
    assert len(asked) == 6  # no calibration is paid for
    assert all(len(rows) == 3 for rows in answers.evidence)
    assert len({json.dumps(body["messages"][0]) for body in asked}) == 1


def small_context(body: dict[str, Any]) -> Http:
    few = len(body["messages"]) < 10
    return RIGHT(body) if few else error(400, "This model's maximum context length is 512 tokens.")


def test_examples_that_do_not_fit_end_a_command_and_are_passed_over_by_a_search() -> None:
    with asked_of(small_context), pytest.raises(EndpointError, match="fewer examples") as raised:
        fitted("few-shot", shots=12).predict(questions())
    assert "15 of 15 requests unanswered (HTTP 400: This model's maximum" in str(raised.value)
    assert "\n" not in str(raised.value)
    with asked_of(small_context):
        strategy = fit_strategy("tuned-prompt", pool(rows=40), model="endpoint:big", calls=102)
        assert set(strategy.predict(questions()).status) == {"ok"}


def test_a_text_that_fits_no_context_is_refused_by_name() -> None:
    def respond(body: dict[str, Any]) -> Http:
        long = len(body["messages"][-1]["content"]) > 300
        return error(400, "prompt is too long") if long else RIGHT(body)

    with asked_of(respond):
        answers = fitted().predict([*questions(3), Item(id="long", text="plum " * 100)])
    assert answers.status == ("ok", "ok", "ok", "refused")


def test_long_texts_are_cut_and_said_so() -> None:
    with asked_of(RIGHT) as asked:
        strategy = fitted(max_tokens=16)
        strategy.predict([Item(id="q", text="rain é" * 100)])
        notes = strategy.facts()["notes"]
    assert "Texts cut to about 16 tokens (64 bytes): 1." in notes
    assert len(asked[-1]["messages"][-1]["content"].encode()) < 90


def test_names_are_shown_and_labels_answered() -> None:
    task = replace(TASK, names=("sweet fruit", "hand tool", "the weather"))
    with asked_of(lambda body: sent(json.dumps({"label": "hand tool"}))) as asked:
        strategy = fit_strategy("prompt", pool(), task, model="endpoint:big")
        assert set(strategy.predict(questions(2)).outputs) == {"tool"}
    assert labels_of(asked[-1]) == ["sweet fruit", "hand tool", "the weather"]


KEY = "sk-never-to-be-seen-0987654321"


def as_200(message: str, code: int) -> Http:
    """Return an error as gateways send it: with HTTP 200, the status inside."""
    told = {"error": {"message": message, "code": code}}
    return 200, {"content-type": "application/json"}, json.dumps(told).encode()


@pytest.mark.parametrize(
    ("respond", "says"),
    [
        (lambda b: error(401, f"Incorrect API key provided: {KEY}"), "refuses the key in BIG_KEY"),
        (lambda b: error(403, "no access"), "does not let us use the model 'm'"),
        (lambda b: error(404, "The model `m` does not exist"), "has no model 'm'"),
        (lambda b: (404, {}, b"<html>Not Found</html>"), "is no API"),
        (lambda b: (405, {}, b""), "its base_url is no API"),
        (lambda b: (307, {"location": "https://other.example/"}, b""), "it redirects to"),
        (lambda b: (200, {}, b"<html>hello</html>"), "HTML instead of JSON"),
        (lambda b: (200, {}, b'{"hello": 1}'), "no chat completion"),
        (lambda b: (200, {}, b'{"error": "Unexpected endpoint"}'), "error: Unexpected endpoint"),
        (lambda b: as_200(f"bad key {KEY}", 401), "refuses the key in BIG_KEY"),
        pytest.param(
            lambda b: as_200("Upstream failed", 502),
            "Upstream failed (502), sent with HTTP 200",
            marks=pytest.mark.slow,  # it is tried again, with pauses of seconds
        ),
        (lambda b: as_200("Insufficient credits to pay: billing", 402), "out of credit"),
        (lambda b: error(400, "nothing is right"), "nothing is right"),
        (lambda b: error(402, "payment required"), "out of credit"),
        (lambda b: error(429, "insufficient_quota"), "out of credit"),
    ],
)  # fmt: skip
def test_an_endpoint_that_cannot_work_says_why(refusal, respond, says, monkeypatch):
    monkeypatch.setenv("BIG_KEY", KEY)
    with asked_of(respond, api_key_env="BIG_KEY"):
        said = refusal(EndpointError, lambda: fitted().check(TASK))
    assert says in said
    assert "big" in said
    assert KEY not in said


@pytest.mark.parametrize("kind", ["ConnectError", "ConnectTimeout"])
def test_a_server_that_is_not_there_is_not_waited_for_long(kind: str) -> None:
    def respond(body: dict[str, Any]) -> Http:
        raise broken(kind)

    with asked_of(respond) as asked, pytest.raises(EndpointError, match="cannot be used"):
        fitted().check(TASK)
    assert len(asked) == 3


def test_a_local_model_needs_no_check() -> None:
    build("prompt", seed=0, model="no/such-model").check(TASK)

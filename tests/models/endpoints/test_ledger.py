"""Requests that may be billed count against the limit; the cache reads files of old versions."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from choose.conformance import TASK
from choose.errors import MoneySpent
from choose.models.endpoints.command_session import connect_endpoints
from choose.models.endpoints.handshake import Capabilities, label_format, request_body, worst_case
from choose.models.endpoints.settings import Endpoint
from support.chat_server import (
    FAST,
    PRICED,
    RIGHT,
    Http,
    broken,
    endpoint_session,
    error,
    fitted,
    right,
    rows,
    transport,
)

# Dollars of one request that the model worked on, as the server counts its tokens.
COST = (50 * 1.0 + 5 * 10.0) / 1e6

FILTERED = "The response was filtered: content_filter"
TOO_LONG = "This model's maximum context length is 64 tokens"


class Gateway:
    """Fails the first time that a question is put, when the model has worked on it already."""

    def __init__(self, failure: Callable[[], Http]) -> None:
        self.failure, self.seen, self.billed = failure, set[str](), 0.0

    def __call__(self, body: dict[str, Any]) -> Http:
        self.billed += COST
        question = body["messages"][-1]["content"]
        if "row" not in question or question in self.seen:
            return RIGHT(body)
        self.seen.add(question)
        return self.failure()


@pytest.mark.parametrize("status", [408, 500, 502, 504, 520, 521, 522, 523, 524])
def test_a_gateway_that_fails_after_the_work_cannot_bill_more_than_the_limit(status: int) -> None:
    gateway = Gateway(lambda: error(status, "upstream request timeout"))
    with endpoint_session(gateway, max_usd=0.003, **PRICED) as session:
        with pytest.raises(MoneySpent) as caught:
            fitted().predict(rows(100))
        assert COST < gateway.billed <= session.ledger.committed <= 0.003
        assert "may be billed for failed requests" in str(caught.value)
    # With more money it goes on, and a failure is tried again as before.
    with endpoint_session(gateway, max_usd=6.0, **PRICED) as session:
        assert right(fitted().predict(rows(15)), 15)
        assert session.retried > 5


@pytest.mark.parametrize(
    "failure",
    [error(400, FILTERED), error(400, TOO_LONG), error(422, FILTERED)],
    ids=["filtered", "too long", "filtered, 422"],
)
def test_a_text_that_is_turned_down_after_it_was_read_counts_against_the_limit(failure):
    gateway = Gateway(lambda: failure)
    with endpoint_session(gateway, max_usd=0.003, **PRICED) as session:
        with pytest.raises(MoneySpent):
            fitted().predict(rows(100))
        assert COST < gateway.billed <= session.ledger.committed <= 0.003
    with endpoint_session(gateway, max_usd=6.0, **PRICED):
        gateway.seen.clear()
        assert set(fitted().predict(rows(5)).status) == {"refused"}


def unconnected() -> Http:
    raise broken("ConnectError")


@pytest.mark.parametrize(
    "failure",
    [
        lambda: error(429, "slow down", **{"retry-after": "0.01"}),
        lambda: error(503, "overloaded"),
        lambda: error(529, "overloaded"),
        unconnected,
    ],
    ids=["429", "503", "529", "no connection"],
)
def test_what_was_turned_away_at_the_door_is_not_held(failure: Callable[[], Http]) -> None:
    with endpoint_session(Gateway(failure), max_usd=0.1, **PRICED) as session:
        assert right(fitted().predict(rows(20)), 20)
        assert session.retried >= 20
        assert session.ledger.maybe_billed == 0


def test_a_body_that_is_not_read_is_not_held() -> None:
    gateway = Gateway(lambda: error(413, "entity too large"))
    with endpoint_session(gateway, max_usd=0.1, **PRICED) as session:
        assert set(fitted().predict(rows(5)).status) == {"refused"}
        assert session.ledger.maybe_billed == 0


TOOLS = [
    {"type": "function", "function": {"name": f"f{i}", "description": "It does this. " * 40}}
    for i in range(20)
]


def test_the_worst_case_reads_everything_that_is_sent() -> None:
    end = Endpoint(base_url="https://h/v1", model="m", extra_body={"tools": TOOLS})
    asked: list[dict[str, Any]] = []
    network = transport(RIGHT, asked)
    with connect_endpoints({"big": end}, retry_policy=FAST, transport=network):
        fitted().predict(rows(1))
    for body in asked:
        worst = worst_case(body)
        assert worst.read >= len(json.dumps(body, ensure_ascii=False).encode()) > 10_000
        assert worst.written == body["max_tokens"]


def test_the_worst_case_writes_up_to_the_larger_limit_of_the_body() -> None:
    extra = {"max_tokens": 9, "max_completion_tokens": 700}
    end = Endpoint(base_url="https://h/v1", model="m", extra_body=extra)
    accepts = Capabilities.initial(end, label_format(TASK.names))
    assert worst_case(request_body(end, accepts, [], label_format(TASK.names))).written == 700

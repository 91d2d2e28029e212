"""Sessions with an endpoint whose answers are known."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from choose.conformance import _WORDS, TASK, pool
from choose.models.endpoints.command_session import Session, connect_endpoints
from choose.models.endpoints.retry import RetryPolicy
from choose.models.endpoints.settings import Endpoint
from choose.strategy import Strategy, build
from choose.types import Answers, Item
from support.chat_server import Http, by_words, transport

RIGHT = by_words(_WORDS)


FAST = RetryPolicy(attempts=8, initial=0.001, max_pause=0.01, max_total=5.0)


PRICED = {"usd_per_million_in": 1.0, "usd_per_million_out": 10.0}


@contextmanager
def endpoint_session(
    respond: Callable[[dict[str, Any]], Http],
    *,
    asked: list[dict[str, Any]] | None = None,
    max_usd: float | None = None,
    retry_policy: RetryPolicy = FAST,
    **settings: Any,
) -> Iterator[Session]:
    end = Endpoint(**{"base_url": "https://model.example/v1", "model": "m", **settings})
    network = transport(respond, asked)
    with connect_endpoints(
        {"big": end}, max_usd=max_usd, retry_policy=retry_policy, transport=network
    ) as session:
        yield session


def fitted(name: str = "prompt", **params: Any) -> Strategy:
    strategy = build(name, seed=0, model="endpoint:big", **params)
    strategy.fit(TASK, pool())
    return strategy


def rows(count: int) -> list[Item]:
    return [Item(id=f"r{i}", text=f"{e.text} row {i}") for i, e in enumerate(pool(rows=count))]


def right(answers: Answers, count: int) -> bool:
    return answers.outputs == tuple(e.target for e in pool(rows=count))


def as_response(respond: Callable[[dict[str, Any]], Http], request: Any) -> Any:
    import httpx2

    status, headers, content = respond(json.loads(request.content))
    return httpx2.Response(status, headers=headers, content=content)

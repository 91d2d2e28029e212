"""Time limits of requests to an endpoint: no request starts late, paid answers are received."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from choose.conformance import TASK, questions
from choose.errors import EndpointError
from choose.models.endpoints import request_session as sessions
from choose.models.endpoints.client import RetryPolicy
from choose.progress import TimeLimitReached, time_limit
from choose.strategy import Strategy
from support.chat_server import (
    RIGHT,
    Http,
    as_response,
    endpoint_session,
    error,
    failing,
    fitted,
    right,
    rows,
    serving,
)
from support.endpoint_studies import bench


class Slow:
    """Replies after some seconds, or when `gate` is set; to the first request at once."""

    def __init__(self, seconds: float, gate: threading.Event | None = None) -> None:
        self.seconds, self.gate, self.asked = seconds, gate, 0

    async def __call__(self, request: Any) -> Any:
        self.asked += 1
        if self.asked > 1:
            await asyncio.sleep(self.seconds)
            while self.gate is not None and not self.gate.is_set():
                await asyncio.sleep(0.001)
        return as_response(RIGHT, request)


def tried() -> Strategy:
    """Return a strategy whose endpoint was tried out, which also loads the client."""
    strategy = fitted()
    strategy.check(TASK)
    return strategy


def stopped(work: Callable[[], object], seconds: float) -> None:
    """Check that a time limit of so many seconds ends the work."""
    with pytest.raises(TimeLimitReached), time_limit(seconds):
        work()


def test_no_request_starts_after_the_time_and_those_on_their_way_come_in() -> None:
    slow = Slow(0.2)
    with endpoint_session(RIGHT, concurrency=4) as session:
        session.transport.handler = slow
        strategy = tried()
        stopped(lambda: strategy.predict(rows(100)), 0.5)
        asked = slow.asked
        assert 1 < asked < 40
        assert session.ledger.requests == asked
        assert session.ledger.reserved == session.ledger.in_flight == 0
        time.sleep(0.5)
        assert slow.asked == asked
        # It goes on where it stopped, and pays for nothing again.
        slow.seconds = 0.0
        assert right(strategy.predict(rows(100)), 100)
        assert slow.asked == 101
        slow.seconds = 0.4
        with time_limit(0.1):
            assert right(strategy.predict(rows(104)), 104), "the last four all come in"


def test_what_takes_longer_is_waited_for_no_longer_and_is_kept_when_it_comes(monkeypatch):
    monkeypatch.setattr(sessions, "DRAIN", 0.1)
    slow = Slow(0.0, gate=threading.Event())
    with endpoint_session(RIGHT, concurrency=2) as session:
        session.transport.handler = slow
        strategy = tried()
        stopped(lambda: strategy.predict(rows(30)), 0.1)
        assert session.ledger.in_flight > 0, "it did not wait for the replies"
        monkeypatch.setattr(sessions, "DRAIN", 10.0)
        slow.gate.set()
        while session.ledger.in_flight:
            time.sleep(0.001)
        assert slow.asked == session.ledger.requests == 3
        assert right(strategy.predict(rows(30)), 30)
        assert slow.asked == 31


@pytest.mark.slow  # it is about time, so nothing else should run
@pytest.mark.parametrize(
    ("settings", "retry_policy", "failure"),
    [
        ({}, RetryPolicy(), error(429, "slow down", **{"retry-after": "30"})),
        ({}, RetryPolicy(initial=30.0), error(503, "overloaded")),
        ({}, RetryPolicy(initial=0.001, max_pause=0.01, attempts=500), error(503, "down")),
    ],
    ids=["told to wait", "between retries", "tried often"],
)
def test_every_pause_is_cut_short(settings, retry_policy, failure):
    slow = failing(failure, after=1)
    with endpoint_session(slow, retry_policy=retry_policy, **settings) as session:
        strategy, start = tried(), time.monotonic()
        stopped(lambda: strategy.predict(rows(20)), 0.5)
        assert time.monotonic() - start < 2.5
        assert session.ledger.reserved == session.ledger.in_flight == 0
        assert not session.channel("big").in_flight


def test_without_time_nothing_is_asked_and_what_is_on_disk_is_answered() -> None:
    asked: list[dict[str, Any]] = []
    with endpoint_session(RIGHT, asked=asked) as session:
        stopped(lambda: fitted().predict(rows(3)), 0.0)
        assert not asked
        fitted().predict(rows(3))
        with time_limit(0.0):
            assert right(fitted().predict(rows(3)), 3)
        assert len(asked) == session.ledger.requests == 4
        stopped(lambda: fitted().predict(rows(4)), 0.0)
        assert len(asked) == 4


def test_what_is_wrong_is_said_even_where_the_time_is_over() -> None:
    class Refusing(Slow):
        async def __call__(self, request: Any) -> Any:
            await super().__call__(request)
            broke = error(401, "no such key")
            return as_response(RIGHT if self.asked == 1 else lambda body: broke, request)

    with endpoint_session(RIGHT) as session:
        session.transport.handler = Refusing(0.4)
        strategy = tried()
        with pytest.raises(EndpointError, match="no such key"), time_limit(0.1):
            strategy.predict(questions(3))


@pytest.mark.slow
def test_a_study_behind_a_server_that_slows_down_ends_in_time(tmp_path: Path) -> None:
    arrived: list[float] = []

    def slowing(body: dict[str, Any]) -> Http:
        arrived.append(time.monotonic())
        if len(arrived) > 30:
            time.sleep(0.5)
        return RIGHT(body)

    with serving(slowing) as server:
        study = bench(
            tmp_path, server.url, rows=300, endpoint={"concurrency": 1}, grid={"budget": 5.0}
        )
        start = time.monotonic()
        left = study.compare()["left_out"]
        assert time.monotonic() - start < 1.05 * 5 + 5
    assert ("prompt", "out-of-time") in {(one["candidate"], one["reason"]) for one in left}
    # Half a second each, and never the whole part of 25 rows that was begun.
    assert len(arrived) < 45

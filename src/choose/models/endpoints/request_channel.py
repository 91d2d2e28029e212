"""One endpoint's requests: sent once, retried until answered, cached when paid for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from choose.errors import EndpointError
from choose.files import digest
from choose.models.endpoints.answer_cache import AnswerCache, PaidAnswer
from choose.models.endpoints.client import EndpointClient
from choose.models.endpoints.ledger import Ledger, WorstCase
from choose.models.endpoints.responses import parse_reply
from choose.models.endpoints.retry import RequestFault, RetryPolicy, RetryState
from choose.models.endpoints.settings import PROTOCOL, Endpoint, api_key

# Number of the repeat of a question; part of the key under which an answer is cached.
REPEAT: ContextVar[int] = ContextVar("choose_endpoint_repeat", default=0)

# So many requests in turn that got no answer, however often they were sent, mean a dead server.
_LOST = 3

# Statuses that refuse a key or an account, so that no later request can work.
_REFUSALS = frozenset({401, 402, 403, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResources:
    """What all channels of a session share.

    Attributes:
        paid: the folder of paid answers.
        started: when the session began, in seconds since 1970.
        study: names the study to servers on this machine. What they serve can change under one URL
            and one name, so their answers are only reused in the study that requested them.
    """

    ledger: Ledger
    paid: Path
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    transport: Any = None
    study: str = ""
    started: float = field(default_factory=time.time)


class RetriesExhausted(Exception):
    """A request failed as often as the policy allows; other requests may succeed.

    `unreachable` is whether no connection could be made.
    """

    def __init__(self, message: str, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


class ChannelStopped(Exception):
    """The channel sends nothing more; requests in flight may still be answered."""


@dataclass
class RequestChannel:
    """An endpoint with its connection and its cache of answers; `concurrency` requests at a time.

    Attributes:
        reused: requests answered from the cache, or by an equal request in flight.
        earlier: those of them that were answered before this session began.
        retried: requests sent again after a failure.
        has_answered: whether the server has answered any request.
        stopped: whether nothing more is sent; requests in flight may still be answered.
        refusal: the answer that refused the key, after which nothing is sent in this session.
        lost: requests in turn that got no answer.
        held_until: when requests may be sent again, after a server asked to wait.
        oversized: faults of answers that were too long to be read, by the key of their request.
        in_flight: tasks by the key of their request, queued ones included.
    """

    name: str
    endpoint: Endpoint
    resources: SessionResources
    reused: int = 0
    earlier: int = 0
    retried: int = 0
    stopped: bool = False
    refusal: RequestFault | None = None
    has_answered: bool = False
    lost: int = 0
    held_until: float = 0.0
    oversized: dict[str, RequestFault] = field(default_factory=dict)
    in_flight: dict[str, asyncio.Task[PaidAnswer]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the API key and the cache; connect to nothing."""
        endpoint = self.endpoint
        self._api_key = api_key(self.name, endpoint)
        self._client: EndpointClient | None = None
        self._sent: set[asyncio.Task[Any] | None] = set()
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._rng = random.Random()
        study = self.resources.study if endpoint.is_local else ""
        account = digest([endpoint.base_url, endpoint.model, study])
        path = self.resources.paid / f"{account[:16]}.jsonl"
        self.cache = AnswerCache(path, endpoint.reuse_days)

    def key(self, body: Mapping[str, Any]) -> str:
        """Identify a request by its URL, its body and the number of the repeat."""
        return digest([PROTOCOL, self.endpoint.base_url, dict(body), REPEAT.get()])

    async def send(self, body: Mapping[str, Any], worst: WorstCase) -> PaidAnswer:
        """Return the answer to a request, from the cache if it was paid for before.

        Raises:
            RequestFault: if a retry is pointless.
            RetriesExhausted: if it failed too often.
            EndpointError: if the server is given up.
            MoneySpent: if the worst case exceeds the spending limit.
            ChannelStopped: if the channel was stopped before it was answered.
        """
        key = self.key(body)
        cached = self.cache.answers.get(key)
        if cached is not None:
            self.reused += 1
            self.earlier += cached.when < self.resources.started
            return cached
        task = self.in_flight.get(key)
        if task is None and (fault := self.oversized.get(key, self.refusal)) is not None:
            raise fault
        if task is None and self.stopped:
            raise ChannelStopped
        if task is None:
            task = asyncio.create_task(self._with_retries(key, body, worst))
            self.in_flight[key] = task
            task.add_done_callback(lambda _: self.in_flight.pop(key, None))
        else:
            self.reused += 1
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # `stop` cancelled it in the queue
                raise ChannelStopped from None
            raise

    def stop(self) -> None:
        """Send nothing more and cancel queued requests; call it in the event loop."""
        self.stopped = True
        for task in set(self.in_flight.values()) - self._sent:
            task.cancel()

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _with_retries(
        self, key: str, body: Mapping[str, Any], worst: WorstCase
    ) -> PaidAnswer:
        async with self._slots:
            await self.cache.hold()
            if (paid := self.cache.answers.get(key)) is not None:  # by another command, meanwhile
                self.reused += 1
                return paid
            retries = RetryState(self.resources.retry_policy)
            while not self.stopped:
                try:
                    return await self._attempt(key, body, worst)
                except RequestFault as fault:
                    pause = self._pause_after(fault, retries)
                if not self.stopped:
                    self.retried += 1
                    await asyncio.sleep(pause)
            raise ChannelStopped

    async def _attempt(self, key: str, body: Mapping[str, Any], worst: WorstCase) -> PaidAnswer:
        while (wait := self.held_until - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        reserved = await self.resources.ledger.reserve(worst.usd(self.endpoint.prices))
        task = asyncio.current_task()
        self._sent.add(task)
        try:
            return await self._pay(key, body, reserved)
        finally:
            self._sent.discard(task)

    async def _pay(self, key: str, body: Mapping[str, Any], reserved: float) -> PaidAnswer:
        """Send a request, write the answer to disk, and replace the reservation by the bill."""
        ledger = self.resources.ledger
        try:
            if self._client is None:
                transport = self.resources.transport
                self._client = EndpointClient(self.endpoint, self._api_key, transport)
            reply = await self._client.post(body)
        except RequestFault as fault:
            ledger.release(reserved, maybe_billed=fault.may_be_billed)
            if fault.kind == "fatal" and fault.status in _REFUSALS:
                self.refusal = fault
            if fault.kind == "oversized":
                self.oversized[key] = fault
            if fault.kind not in ("wait", "unsure"):
                self.lost = 0
            raise
        except BaseException:  # cancelled after it was sent: the provider may bill it
            ledger.release(reserved, maybe_billed=True)
            raise
        self.has_answered, self.lost = True, 0
        paid = parse_reply(reply, [self._api_key] if self._api_key else ())
        try:
            await asyncio.shield(asyncio.to_thread(self.cache.add, key, paid))
        finally:
            ledger.book(reserved, paid.usage, self.endpoint.prices)
        return paid

    def _pause_after(self, fault: RequestFault, retries: RetryState) -> float:
        """Return the seconds until the next attempt, or raise if there is none."""
        if fault.kind not in ("wait", "unsure"):
            raise fault
        # A rate limit is no failure, however often the server reports it.
        rate_limited = fault.status == 429
        retries.failures += not rate_limited
        retries.attempts += 1
        if retries.failures >= self._max_failures(fault):
            self.lost += 1
            if self.has_answered and self.lost >= _LOST:
                raise self._given_up()
            raise RetriesExhausted(fault.message, fault.unreachable)
        pause = max(retries.policy.pause(retries.attempts, self._rng), fault.retry_after or 0.0)
        if time.monotonic() - retries.started + pause > retries.policy.max_total:
            raise EndpointError(
                f"The endpoint {self.name!r} makes requests wait too long ({fault.message}). "
                "Answers received are cached; run the same command again later."
            ) from None
        if rate_limited:
            self.held_until = max(self.held_until, time.monotonic() + pause)
        return pause

    def _max_failures(self, fault: RequestFault) -> int:
        """Return how many failures end a request: few where the server is silent so far."""
        most = self.resources.retry_policy.attempts
        if self.lost >= _LOST:
            return min(most, 2)
        if self.has_answered:
            return most
        return min(most, 3 if fault.unreachable else 5)

    def _given_up(self) -> EndpointError:
        return EndpointError(
            f"The endpoint {self.name!r} ({self.endpoint.host}) has stopped answering: "
            f"{self.lost} requests in turn got no answer. Answers received are cached and not paid "
            "for again: run the same command when the server is back."
        )

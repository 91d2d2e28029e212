"""Why requests fail and when they are sent again: faults, retries, rate limit, breaker."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from choose.untrusted import finite

Kind = Literal["wait", "unsure", "fatal", "rejected", "too-long", "refused", "oversized"]


_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|maximum (context|sequence|input) length|too many tokens"
    r"|prompt is too long|input is too long|exceed\w* .{0,30}(context|tokens)|max_model_len",
    re.I,
)


_FILTER = re.compile(r"content[ _-]?(filter|policy|management)|safety|moderation", re.I)


_NO_CREDIT = re.compile(
    r"insufficient[ _]quota|billing|credit balance|payment|exceeded your .*quota", re.I
)


_TLS = re.compile(r"certificate|SSL|TLS", re.I)


# The server rejected the request before the model ran.
WAIT = frozenset({409, 425, 429, 503, 529})


# The server failed or timed out; whether the model had run by then is unknown.
UNSURE = frozenset({408, 500, 502, 504, 520, 521, 522, 523, 524})


class RequestFault(Exception):
    """A request that got no answer.

    Attributes:
        kind: ``wait``: retry later, nothing was billed. ``unsure``: the same, but it may have been
            billed. ``fatal``: no request to this endpoint can work. ``rejected``: the server does
            not accept a parameter. ``too-long``: the prompt exceeds the context. ``refused``: the
            server does not answer this text. ``oversized``: its answer is too long to be read.
        message: the server's own error message, without API keys.
        retry_after: seconds after which the server accepts a retry.
        unreachable: whether the connection failed.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message, self.retry_after, self.status = message, retry_after, status
        self.unreachable = unreachable

    @property
    def may_be_billed(self) -> bool:
        """Return whether a provider may charge for the request.

        Content filters and context limits are applied after a text was processed. Azure bills for
        both: https://learn.microsoft.com/azure/ai-services/openai/how-to/manage-costs
        """
        if self.kind == "too-long":
            return self.status != 413  # the server did not read the body
        return self.kind in ("unsure", "refused", "oversized")


def fault_from_status(status: int, message: str, retry_after: float | None) -> RequestFault:
    """Classify an HTTP status other than 200."""
    text = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    if status in (402, 429, 403) and _NO_CREDIT.search(message):
        return RequestFault(
            "fatal", f"the account is out of credit or quota ({text})", status=status
        )
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(message)):
        return RequestFault("too-long", text, status=status)
    if status in (400, 422) and _FILTER.search(message):
        return RequestFault("refused", text, status=status)
    if status in (400, 422):
        return RequestFault("rejected", text, status=status)
    if status in WAIT:
        return RequestFault("wait", text, retry_after=retry_after, status=status)
    if status in UNSURE:
        return RequestFault("unsure", text, retry_after=retry_after, status=status)
    return RequestFault("fatal", text, status=status)


def fault_from_payload(code: int | None, message: str) -> RequestFault:
    """Classify an error object sent with HTTP 200; `code` is the HTTP status it names, if any.

    Without a code it is retried, and may have been billed.
    """
    if code is None:
        kind: Kind = "too-long" if _TOO_LONG.search(message) else "unsure"
        return RequestFault(kind, f"it answered HTTP 200 with an error: {message}")
    fault = fault_from_status(code, message, None)
    kind = "unsure" if fault.kind == "wait" and code != 429 else fault.kind
    return RequestFault(kind, f"{fault.message}, sent with HTTP 200", status=code)


def fault_from_connection(message: str, sent: bool) -> RequestFault:
    """Classify a failed connection; `sent` is whether the request was sent before it failed."""
    if _TLS.search(message):
        return RequestFault("fatal", f"the secure connection failed ({message})")
    return RequestFault("unsure" if sent else "wait", message, unreachable=not sent)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When failed requests are sent again: exponential back-off with jitter, in seconds.

    `attempts` bounds the failures of one request, `max_total` the time spent waiting for it.
    """

    attempts: int = 8
    initial: float = 0.5
    max_pause: float = 30.0
    max_total: float = 600.0

    def pause(self, attempt: int, rng: random.Random) -> float:
        """Return the pause after the given attempt, counted from 1."""
        full = min(self.max_pause, self.initial * 2.0 ** min(attempt - 1, 20))
        return full * rng.uniform(0.5, 1.0)


@dataclass
class RetryState:
    """Attempts and failures of one request; a rate limit is an attempt but no failure."""

    policy: RetryPolicy
    failures: int = 0
    attempts: int = 0
    started: float = field(default_factory=time.monotonic)


# Capacity of a bucket as a share of a minute's limit: bursts of ten seconds' worth.
BURST = 1 / 6


_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class TokenBucket:
    """A token bucket for a limit per minute; without a limit it never waits."""

    def __init__(self, per_minute: float | None) -> None:
        self.per_minute = per_minute
        self._level = self._capacity
        self._updated = time.monotonic()

    @property
    def _capacity(self) -> float:
        return max(1.0, (self.per_minute or 0.0) * BURST)

    def wait(self, count: float) -> float:
        """Return the seconds until `count` may be taken; at most those to fill the bucket."""
        if self.per_minute is None:
            return 0.0
        self._refill()
        missing = min(count, self._capacity) - self._level
        return max(0.0, missing * 60 / self.per_minute)

    def take(self, count: float) -> None:
        """Take `count` from the bucket."""
        self._level -= count

    def update(self, limit: float | None, remaining: float | None) -> None:
        """Lower the limit per minute and the level to what the server reports."""
        if limit is not None and (self.per_minute is None or limit < self.per_minute):
            self._refill()
            self.per_minute = limit
            self._level = min(self._level, self._capacity)
        if remaining is not None and self.per_minute is not None:
            self._level = min(self._level, remaining)

    def _refill(self) -> None:
        now = time.monotonic()
        refilled = (now - self._updated) * (self.per_minute or 0.0) / 60
        self._level, self._updated = min(self._capacity, self._level + refilled), now


class RateLimit:
    """Limits one endpoint's requests and tokens per minute."""

    def __init__(self, requests: float | None, tokens: float | None) -> None:
        self.requests, self.tokens = TokenBucket(requests), TokenBucket(tokens)
        self._held_until = 0.0

    async def acquire(self, tokens: float) -> None:
        """Wait until a request of about `tokens` tokens may be sent."""
        while (wait := self._wait(tokens)) > 0:
            await asyncio.sleep(wait)
        self.requests.take(1)
        self.tokens.take(tokens)

    def hold(self, seconds: float) -> None:
        """Send nothing for `seconds`."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    def update(self, headers: Mapping[str, str]) -> None:
        """Apply the rate-limit headers of a response, in any of the usual spellings."""
        for what, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            remaining = finite(headers.get(f"x-ratelimit-remaining-{what}"), low=0.0)
            # A limit below one a minute would stop the run for good, so it is not believed.
            bucket.update(finite(headers.get(f"x-ratelimit-limit-{what}"), low=1.0), remaining)
            self._hold_if_spent(remaining, headers.get(f"x-ratelimit-reset-{what}"))
        remaining = finite(headers.get("ratelimit-remaining"), low=0.0)
        self._hold_if_spent(remaining, headers.get("ratelimit-reset"))

    def _hold_if_spent(self, remaining: float | None, reset: str | None) -> None:
        if remaining is not None and remaining < 1 and reset is not None:
            self.hold(min(parse_duration(reset) or 0.0, 60.0))

    def _wait(self, tokens: float) -> float:
        held = self._held_until - time.monotonic()
        return max(held, self.requests.wait(1), self.tokens.wait(tokens))


def parse_duration(text: str) -> float | None:
    """Read ``1s``, ``6m0s``, ``120ms`` or ``12.5`` as seconds."""
    text = text.strip().lower()
    parts = _SPAN.findall(text) if len(text) <= 40 else []
    if parts and "".join(a + b for a, b in parts) == text:
        return sum(float(count) * _UNITS[unit] for count, unit in parts)
    seconds = finite(text)
    return None if seconds is None else max(0.0, seconds)


class CircuitOpen(Exception):
    """Every trial request failed, so the endpoint is given up."""


@dataclass
class CircuitBreaker:
    """Counts consecutive failures over all requests of an endpoint.

    After `max_failures` the circuit opens: one trial request is sent at a time, each after the next
    of `pauses` (seconds). If the last one fails, the endpoint is given up, and only tried again
    after `reset_after` seconds.
    """

    max_failures: int
    pauses: tuple[float, ...] = (2.0, 5.0, 15.0, 30.0)
    reset_after: float = 60.0
    failures: int = 0
    trials: int = 0
    closed: bool = True
    _given_up_at: float | None = None
    _trial_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Let a request through, or hold it until a trial request has got an answer.

        Raises:
            GivenUp: if none did.
        """
        if self.closed:
            yield
            return
        async with self._trial_lock:
            trial = not self.closed
            if trial:
                await self._pause()
                yield
        if not trial:
            yield

    def answered(self) -> None:
        """Record an answer: close the circuit."""
        self.failures, self.trials, self.closed, self._given_up_at = 0, 0, True, None

    def failed(self) -> None:
        """Record a failure; open the circuit after too many, give up after the last trial."""
        self.failures += 1
        if not self.closed:
            self.trials += 1
            if self.trials >= len(self.pauses):
                self._given_up_at = time.monotonic()
        elif self.failures >= self.max_failures:
            self.closed, self.trials = False, 0

    async def _pause(self) -> None:
        if self._given_up_at is not None:
            if time.monotonic() - self._given_up_at < self.reset_after:
                raise CircuitOpen
            self._given_up_at, self.trials = None, len(self.pauses) - 1
            return
        await asyncio.sleep(self.pauses[self.trials])

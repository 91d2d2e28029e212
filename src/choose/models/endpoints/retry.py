"""What can go wrong with a request, and what that means for the next one."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal


class GivenUp(Exception):
    """The server has failed every trial request between ever longer pauses."""


@dataclass
class Breaker:
    """Counts failures in a row over all requests of an endpoint.

    After `most` of them the circuit opens: nothing goes but one trial request at a time, each
    after the next of `pauses` (seconds). When the last one fails too, the endpoint is given up,
    and only tried again after `rest` seconds.
    """

    most: int
    pauses: tuple[float, ...] = (2.0, 5.0, 15.0, 30.0)
    rest: float = 60.0
    failures: int = 0
    trials: int = 0
    closed: bool = True
    _given_up_at: float | None = None
    _gate: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Let a request through, or hold it until a trial request has got an answer.

        Raises:
            GivenUp: if none did.
        """
        if self.closed:
            yield
            return
        async with self._gate:
            trying = not self.closed
            if trying:
                await self._pause()
                yield
        if not trying:
            yield

    def answered(self) -> None:
        """Close the circuit."""
        self.failures, self.trials, self.closed, self._given_up_at = 0, 0, True, None

    def failed(self) -> None:
        """Count a failure; open the circuit after too many, give up after the last trial."""
        self.failures += 1
        if not self.closed:
            self.trials += 1
            if self.trials >= len(self.pauses):
                self._given_up_at = time.monotonic()
        elif self.failures >= self.most:
            self.closed, self.trials = False, 0

    async def _pause(self) -> None:
        if self._given_up_at is not None:
            if time.monotonic() - self._given_up_at < self.rest:
                raise GivenUp
            self._given_up_at, self.trials = None, len(self.pauses) - 1
            return
        await asyncio.sleep(self.pauses[self.trials])


Kind = Literal["wait", "unsure", "fatal", "rejected", "too-long", "refused"]


_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|maximum (context|sequence|input) length|too many tokens"
    r"|prompt is too long|input is too long|exceed\w* .{0,30}(context|tokens)|max_model_len",
    re.I,
)


_FILTER = re.compile(r"content[ _-]?(filter|policy|management)|safety|moderation", re.I)


_BROKE = re.compile(
    r"insufficient[ _]quota|billing|credit balance|payment|exceeded your .*quota", re.I
)


_TLS = re.compile(r"certificate|SSL|TLS", re.I)


# Turned away at the door, before any model was asked.
WAIT = frozenset({409, 425, 429, 503, 529})


# Something broke or took too long, and a gateway does not say whether the model had worked by then.
UNSURE = frozenset({408, 500, 502, 504, 520, 521, 522, 523, 524})


class Fault(Exception):
    """A request without an answer.

    Attributes:
        kind: ``wait``: ask again later, nothing was billed. ``unsure``: the same, but it may have
            been billed. ``fatal``: no request to this endpoint can work. ``rejected``: something
            in the request is not taken. ``too-long``: it does not fit the model. ``refused``: the
            server will not answer this text.
        said: the server's own words, without keys.
        pause: seconds after which the server wants to be asked again.
        unreachable: no server was found at all.
    """

    def __init__(
        self,
        kind: Kind,
        said: str,
        *,
        pause: float | None = None,
        status: int | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(said)
        self.kind: Kind = kind
        self.said, self.pause, self.status = said, pause, status
        self.unreachable = unreachable

    @property
    def may_be_billed(self) -> bool:
        """Return whether a provider may charge for it although it is no answer.

        A content filter and a limit of the input are found by processing a text. Azure says so of
        both: https://learn.microsoft.com/azure/ai-services/openai/how-to/manage-costs
        """
        if self.kind == "too-long":
            return self.status != 413  # a body that was not read
        return self.kind in ("unsure", "refused")


def of_status(status: int, said: str, pause: float | None) -> Fault:
    """Return what an HTTP status other than 200 means."""
    told = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status in (402, 429, 403) and _BROKE.search(said):
        return Fault("fatal", f"the account is out of credit or quota ({told})", status=status)
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(said)):
        return Fault("too-long", told, status=status)
    if status in (400, 422) and _FILTER.search(said):
        return Fault("refused", told, status=status)
    if status in (400, 422):
        return Fault("rejected", told, status=status)
    if status in WAIT:
        return Fault("wait", told, pause=pause, status=status)
    if status in UNSURE:
        return Fault("unsure", told, pause=pause, status=status)
    return Fault("fatal", told, status=status)


def of_error_in_200(code: int | None, said: str) -> Fault:
    """Return what an error object means that came with HTTP 200; `code` is a status it names.

    Without one it may pass, and whether it was billed is not known.
    """
    if code is None:
        kind: Kind = "too-long" if _TOO_LONG.search(said) else "unsure"
        return Fault(kind, f"it answered HTTP 200 with an error: {said}")
    fault = of_status(code, said, None)
    kind = "unsure" if fault.kind == "wait" and code != 429 else fault.kind
    return Fault(kind, f"{fault.said}, sent with HTTP 200", status=code)


def of_connection(said: str, sent: bool) -> Fault:
    """Return what a connection that failed means; `sent` where the request had left."""
    if _TLS.search(said):
        return Fault("fatal", f"the secure connection failed ({said})")
    return Fault("unsure" if sent else "wait", said, unreachable=not sent)


# A minute's allowance is spent at most this fast, in shares of it: a burst of ten seconds' worth.
BURST = 1 / 6


_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Allowance:
    """A bucket that a minute fills: requests or tokens."""

    def __init__(self, per_minute: float | None) -> None:
        self.per_minute = per_minute
        self._level = self._most
        self._then = time.monotonic()

    @property
    def _most(self) -> float:
        return max(1.0, (self.per_minute or 0.0) * BURST)

    def wait(self, count: float) -> float:
        """Return the seconds until `count` may be taken; a count beyond the bucket waits for it."""
        if self.per_minute is None:
            return 0.0
        self._fill()
        lacking = min(count, self._most) - self._level
        return max(0.0, lacking * 60 / self.per_minute)

    def take(self, count: float) -> None:
        """Take what was waited for."""
        self._level -= count

    def learn(self, limit: float | None, left: float | None) -> None:
        """Heed what the server says it allows in a minute and has left for us."""
        if limit is not None and limit > 0 and (self.per_minute is None or limit < self.per_minute):
            self._fill()
            self.per_minute = limit
            self._level = min(self._level, self._most)
        if left is not None and self.per_minute is not None:
            self._level = min(self._level, left)

    def _fill(self) -> None:
        now = time.monotonic()
        grown = (now - self._then) * (self.per_minute or 0.0) / 60
        self._level, self._then = min(self._most, self._level + grown), now


class Pace:
    """The turns of one endpoint's requests."""

    def __init__(self, requests: float | None, tokens: float | None) -> None:
        self.requests, self.tokens = Allowance(requests), Allowance(tokens)
        self._held_until = 0.0

    async def turn(self, tokens: float) -> None:
        """Wait until a request of about so many tokens may go."""
        while (wait := self._wait(tokens)) > 0:
            await asyncio.sleep(wait)
        self.requests.take(1)
        self.tokens.take(tokens)

    def hold(self, seconds: float) -> None:
        """Let nothing go for some seconds."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Heed the rate-limit headers of an answer, in any of the usual spellings."""
        for what, allowance in (("requests", self.requests), ("tokens", self.tokens)):
            left = _figure(headers, f"x-ratelimit-remaining-{what}")
            allowance.learn(_figure(headers, f"x-ratelimit-limit-{what}"), left)
            reset = headers.get(f"x-ratelimit-reset-{what}")
            if left is not None and left < 1 and reset is not None:
                self.hold(min(seconds_of(reset) or 0.0, 60.0))
        left = _figure(headers, "ratelimit-remaining")
        reset = headers.get("ratelimit-reset")
        if left is not None and left < 1 and reset is not None:
            self.hold(min(seconds_of(reset) or 0.0, 60.0))

    def _wait(self, tokens: float) -> float:
        held = self._held_until - time.monotonic()
        return max(held, self.requests.wait(1), self.tokens.wait(tokens))


def seconds_of(text: str) -> float | None:
    """Read ``1s``, ``6m0s``, ``120ms`` or ``12.5`` as seconds."""
    text = text.strip().lower()
    parts = _SPAN.findall(text)
    if parts and "".join(a + b for a, b in parts) == text:
        return sum(float(count) * _UNITS[unit] for count, unit in parts)
    try:
        return max(0.0, float(text))
    except ValueError:
        return None


def _figure(headers: Mapping[str, str], name: str) -> float | None:
    try:
        return float(headers[name])
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request is tried again; seconds.

    `attempts` bounds failures of one request, `longest` the time that the server may make it wait.
    """

    attempts: int = 8
    first: float = 0.5
    most: float = 30.0
    longest: float = 600.0

    def pause(self, turn: int, chance: random.Random) -> float:
        """Return the exponential back-off after the n-th failure, with jitter."""
        return min(self.most, self.first * 2.0 ** min(turn - 1, 20)) * chance.uniform(0.5, 1.0)


@dataclass
class Trouble:
    """What one request has been through."""

    patience: Patience
    failures: int = 0
    turns: int = 0
    since: float = field(default_factory=time.monotonic)

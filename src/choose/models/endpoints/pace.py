"""How fast an endpoint may be asked: as the study says, as its headers say, as it insists."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping

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

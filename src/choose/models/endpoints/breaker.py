"""A circuit breaker: a server that only fails is left alone for a while, then given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


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

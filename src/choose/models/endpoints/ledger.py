"""The ledger of money spent on requests to endpoints."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from choose.errors import MoneySpent
from choose.schema.scorecard import TokenPrices, dollars


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; None if it did not report them.

    `cached` is part of `read`, and `hidden` (reasoning) is part of `written`.
    """

    read: int | None = None
    cached: int | None = None
    written: int | None = None
    hidden: int | None = None


def token_cost(prices: TokenPrices, read: float, cached: float, written: float) -> float:
    """Return the cost of tokens in dollars; 0 unless input and output have a price."""
    counts = (np.array([round(tokens)], dtype=np.int64) for tokens in (read, cached, written))
    cost = dollars(prices, *counts)
    return 0.0 if cost is None else float(cost[0])


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most tokens that a request can read and write."""

    read: int
    written: int

    def usd(self, prices: TokenPrices | None) -> float:
        """Return the most the request can cost, without any cached input."""
        return token_cost(prices, self.read, 0, self.written) if prices else 0.0


@dataclass
class Ledger:
    """Dollars and tokens of a session: spent, possibly billed, and reserved.

    The worst case of a request is reserved before it is sent; the bill replaces it afterwards.

    Attributes:
        limit: spending limit, or None.
        spent: cost of answers by the server's own token counts.
        maybe_billed: worst case of requests that failed after they were sent, and of answers
            without token counts; counts against the limit.
        reserved: worst case of the requests in flight.
        unpriced: whether an endpoint without prices answered, so that the cost is unknown.
    """

    limit: float | None = None
    spent: float = 0.0
    maybe_billed: float = 0.0
    reserved: float = 0.0
    in_flight: int = 0
    requests: int = 0
    read: int = 0
    cached: int = 0
    written: int = 0
    unpriced: bool = False
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def committed(self) -> float:
        """Return dollars that are spent or may be billed."""
        return self.spent + self.maybe_billed

    @property
    def total(self) -> float:
        """Return dollars that are spent, may be billed, or are reserved."""
        return self.committed + self.reserved

    async def reserve(self, usd: float) -> float:
        """Reserve the worst case of a request; wait while others in flight may free money.

        Raises:
            MoneySpent: if the limit leaves no room for it.
        """
        while self.limit is not None and self.total + usd > self.limit * (1 + 1e-9):
            if not self.in_flight:
                raise MoneySpent(self._no_room(usd))
            self._released.clear()
            await self._released.wait()
        self.reserved += usd
        self.in_flight += 1
        return usd

    def _no_room(self, usd: float) -> str:
        held = f", up to ${self.maybe_billed:.4f} may be billed for failed requests"
        return (
            f"--max-usd {self.limit:g} leaves no room for another request: ${self.spent:.4f} is "
            f"spent{held * (self.maybe_billed > 0)}, and the next one could cost ${usd:.4f}."
        )

    def book(self, reserved: float, usage: Usage, prices: TokenPrices | None) -> None:
        """Replace a reservation by the bill of an answer."""
        self.release(reserved)
        self.requests += 1
        self.read += usage.read or 0
        self.cached += usage.cached or 0
        self.written += usage.written or 0
        if prices is None:
            self.unpriced = True
        elif usage.read is None or usage.written is None:
            self.maybe_billed += reserved
        else:
            self.spent += token_cost(prices, usage.read, usage.cached or 0, usage.written)

    def release(self, reserved: float, maybe_billed: bool = False) -> None:
        """Cancel a reservation; count it as committed if the request may have been billed."""
        self.in_flight -= 1
        # Rounding errors of float sums must not count as a request in flight.
        self.reserved = max(0.0, self.reserved - reserved) if self.in_flight else 0.0
        if maybe_billed:
            self.maybe_billed += reserved
        self._released.set()


# One token with its log-probability, and the alternatives to it with theirs.
TokenLogprobs = tuple[tuple[str, float, tuple[tuple[str, float], ...]], ...]

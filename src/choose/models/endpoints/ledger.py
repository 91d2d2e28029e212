"""The one ledger of money: the worst case is set aside before a request, the bill replaces it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from choose.errors import MoneySpent
from choose.prices import TokenPrices, dollars


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as a server counted them; None where it did not say."""

    read: int | None = None
    cached: int | None = None
    written: int | None = None
    hidden: int | None = None


def usd_of(prices: TokenPrices, read: float, cached: float, written: float) -> float:
    """Return what so many tokens cost in dollars, where both ways are priced."""
    counts = (np.array([round(count)], dtype=np.int64) for count in (read, cached, written))
    found = dollars(prices, *counts)
    return 0.0 if found is None else float(found[0])


@dataclass(frozen=True, slots=True)
class Worst:
    """The most tokens that a request can read and write."""

    read: int
    written: int

    def usd(self, prices: TokenPrices | None) -> float:
        """Return the most it can cost; the cached price is never counted on."""
        return usd_of(prices, self.read, 0, self.written) if prices else 0.0


@dataclass
class Ledger:
    """What this run has spent, may have spent and has set aside, in dollars.

    Attributes:
        limit: the most that may be spent, or None.
        spent: what answers cost by the server's own counts.
        unsure: the worst case of requests that broke off or failed after they were sent, and of
            answers without counts; held against the limit, since they may be billed.
        unpriced: whether something was asked that has no price, so that dollars are unknown.
    """

    limit: float | None = None
    spent: float = 0.0
    unsure: float = 0.0
    set_aside: float = 0.0
    in_flight: int = 0
    requests: int = 0
    read: int = 0
    cached: int = 0
    written: int = 0
    unpriced: bool = False
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def committed(self) -> float:
        """Return dollars that are spent, or that failed requests may be billed for."""
        return self.spent + self.unsure

    async def reserve(self, usd: float) -> float:
        """Set the worst case aside; wait for requests in flight where their bills may make room.

        Raises:
            MoneySpent: if the limit leaves no room for it.
        """
        while self.limit is not None and self.committed + self.set_aside + usd > (
            self.limit * (1 + 1e-9)
        ):
            if not self.in_flight:
                raise MoneySpent(
                    f"--max-usd {self.limit:g} leaves no room for another request: "
                    f"${self.spent:.4f} is spent"
                    + (
                        f", up to ${self.unsure:.4f} may be billed for failed requests"
                        * (self.unsure > 0)
                    )
                    + f", and the next one could cost ${usd:.4f}."
                )
            self._freed.clear()
            await self._freed.wait()
        self.set_aside += usd
        self.in_flight += 1
        return usd

    def settle(self, held: float, usage: Usage, prices: TokenPrices | None) -> None:
        """Replace what was set aside by the bill of an answer."""
        self.free(held)
        self.requests += 1
        self.read += usage.read or 0
        self.cached += usage.cached or 0
        self.written += usage.written or 0
        if prices is None:
            self.unpriced = True
        elif usage.read is None or usage.written is None:
            self.unsure += held
        else:
            self.spent += usd_of(prices, usage.read, usage.cached or 0, usage.written)

    def free(self, held: float, unsure: bool = False) -> None:
        """Give back what was set aside for a request that was not, or may have been, billed."""
        self.in_flight -= 1
        # Sums of floats leave a rest, which must not count as a request that may still end.
        self.set_aside = max(0.0, self.set_aside - held) if self.in_flight else 0.0
        if unsure:
            self.unsure += held
        self._freed.set()

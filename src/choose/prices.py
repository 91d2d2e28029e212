"""What a provider asks for tokens: the one formula of money that ledger and judge share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Dollars for a million tokens, of one model behind one endpoint.

    Attributes:
        read: tokens in.
        cached: tokens in that a prefix cache served; the price of others where none is given.
        written: tokens out, hidden reasoning included.
    """

    read: float
    written: float
    cached: float | None = None

    def usd(self, read: float, cached: float, written: float) -> float:
        """Return dollars; `read` counts the cached tokens too."""
        kept = min(cached, read)
        cheap = self.read if self.cached is None else self.cached
        return ((read - kept) * self.read + kept * cheap + written * self.written) / 1e6

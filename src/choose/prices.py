"""What tokens cost; the one place where tokens become dollars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from choose.types import Counts, Floats

_MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """Dollars for a million tokens; None is unpriced, and a cached token then costs what others do.

    Attributes:
        usd_per_million_in: for tokens read.
        usd_per_million_cached: for tokens read that were served from a cached prefix.
        usd_per_million_out: for tokens written.
    """

    usd_per_million_in: float | None = None
    usd_per_million_cached: float | None = None
    usd_per_million_out: float | None = None


def dollars(
    prices: TokenPrices, read: Counts | None, cached: Counts | None, written: Counts | None
) -> Floats | None:
    """Return (n,) dollars of n answers; None where a count or a price that is needed is missing.

    Args:
        prices: of the model.
        read: (n,) tokens read, cached ones included.
        cached: (n,) those of them that were cached; None is none.
        written: (n,) tokens written; None is unknown, which is nothing only if nothing was.
    """
    dear, cheap, out = (
        prices.usd_per_million_in,
        prices.usd_per_million_cached,
        prices.usd_per_million_out,
    )
    if read is None or written is None or dear is None:
        return None
    if out is None and written.any():
        return None
    kept = np.zeros(len(read)) if cached is None else cached
    cheap = dear if cheap is None else cheap
    paid = (read - kept) * dear + kept * cheap + written * (out or 0.0)
    return np.asarray(paid / _MILLION, dtype=np.float64)

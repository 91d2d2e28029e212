"""What would be sent to endpoints: the plan that a person confirms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one endpoint would be sent.

    Attributes:
        requests: distinct ones; fewer where a candidate is dropped or something was paid before.
        read: tokens in, about.
        written: tokens out, about; hidden reasoning, which is not known before, comes on top.
        usd: dollars, about; None without prices.
        rows: rows of the data that are sent, as questions or as demonstrations.
    """

    name: str
    host: str
    model: str
    here: bool
    requests: int
    read: int
    written: int
    usd: float | None
    rows: int
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a person confirms before the first request.

    Attributes:
        hints: kinds of personal data and in how many rows something looks like them.
        limit: the most dollars that will be spent, or None.
    """

    bills: tuple[Bill, ...]
    hints: Mapping[str, int]
    limit: float | None = None

    @property
    def needs_consent(self) -> bool:
        """Return whether rows leave the machine or money may be asked for."""
        return any(not bill.here or bill.usd is not None for bill in self.bills)

    @property
    def usd(self) -> float | None:
        """Return dollars in all; None where an endpoint has no prices."""
        return total_usd(self.bills)


def total_usd(bills: Iterable[Bill]) -> float | None:
    """Return the dollars of several bills; None where one has no prices."""
    known = [bill.usd for bill in bills]
    return None if None in known else sum(usd for usd in known if usd is not None)

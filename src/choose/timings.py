"""What a study would take: the forecast that `choose plan` shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a candidate's trials would take, nothing of them known yet.

    Attributes:
        first: seconds of its trials of the first pass; None where they cannot be forecast.
        seconds: of all its trials.
        rows: how many of the first pass's rows the budget reaches, or None where it reaches all.
        read: tokens in.
        written: tokens out; of an endpoint, hidden reasoning comes on top.
        usd: dollars; None without prices, and for models that run here.
        why_not: why seconds are not forecast, as a sentence.
    """

    candidate: str
    trials: int
    first: float | None = None
    seconds: float | None = None
    rows: int | None = None
    read: int | None = None
    written: int | None = None
    usd: float | None = None
    why_not: str | None = None

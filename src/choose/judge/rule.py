"""The decision rule: its version and the values a study fixes before it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# Raise whenever the same evidence can lead to another verdict.
RULE = "3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a study states before it runs; fractions, so a margin of 0.02 is two points.

    Attributes:
        target: accuracy that must be reached, or None.
        margin: the smallest gain that matters.
        minutes_per_label: what one more label takes, or None.
        hourly_rate: dollars for an hour of labelling, or None.
        usd_per_machine_hour: dollars for an hour of the machine that answers, or None.
        out_of_scope: the label of rows that none of the others fits, or None.
    """

    target: float | None = None
    margin: float = 0.02
    minutes_per_label: float | None = None
    hourly_rate: float | None = None
    usd_per_machine_hour: float | None = None
    out_of_scope: str | None = None
    version: str = RULE

    def record(self) -> dict[str, Any]:
        """Return the rule as it stands in the decision record."""
        return asdict(self)

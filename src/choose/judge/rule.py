"""The decision rule: its version and the values a study fixes before it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from choose.judge.deployment import UNSAID, Deployment
from choose.judge.measure import ACCURACY, Measure

# Raise whenever the same evidence can lead to another verdict.
RULE = "8"


# The smallest gain that matters where neither the study nor its prices say.
USUAL_MARGIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a study states before it runs; fractions, so a margin of 0.02 is two points.

    Attributes:
        target: accuracy that must be reached, or None.
        measure: what "right" means in every figure.
        margin: the smallest gain that matters.
        margin_from: who says so: the study, nobody, or the prices of the study (see `margins`).
        minutes_per_label: what one more label takes, or None.
        hourly_rate: dollars for an hour of labelling, or None.
        qa_share: of the labels, that are given a second time to check them.
        usd_per_machine_hour: dollars for an hour of the machine that answers, or None.
        out_of_scope: the label of rows that none of the others fits, or None.
        deployment: what is known of the time after the study.
    """

    target: float | None = None
    measure: Measure = ACCURACY
    margin: float = USUAL_MARGIN
    margin_from: Literal["stated", "default", "derived"] = "stated"
    minutes_per_label: float | None = None
    hourly_rate: float | None = None
    qa_share: float = 0.0
    usd_per_machine_hour: float | None = None
    out_of_scope: str | None = None
    deployment: Deployment = UNSAID
    version: str = RULE

    def record(self) -> dict[str, Any]:
        """Return the rule as it stands in the decision record."""
        return asdict(self)

"""The goal of a study: metric, margin, target, deployment and the version of the decision rule."""

from dataclasses import dataclass

from choose.schema.candidate_scorecard import MONTHS
from choose.tasks.metrics import DEFAULT, metric_of

# Raise whenever the same evidence can lead to another verdict.
RULE = "31"

# The smallest gain that matters where the study states none.
USUAL_MARGIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a study states before it runs; fractions, so a margin of 0.02 is two points.

    Attributes:
        target: accuracy that must be reached, or None.
        metric: what "right" means in every figure, by its key in `METRICS`; for answers that are
            no labels, the headline metric of the task.
        margin: the smallest gain that matters.
        minutes_per_label: what one more label takes, or None.
        hourly_rate: dollars for an hour of labelling, or None.
        usd_per_hour: dollars for an hour of the machine that answers, or None.
        volume: answers needed per month, or None.
        agreement: whose answers are taken for right ones; empty where they are known to be right.
        max_ms: milliseconds that an answer may take, or None.
        max_usd_per_1k: dollars that 1,000 answers may cost, or None.
        on_premises: whether no model may be named that another machine serves.
    """

    target: float | None = None
    metric: str = DEFAULT
    margin: float = USUAL_MARGIN
    minutes_per_label: float | None = None
    hourly_rate: float | None = None
    usd_per_hour: float | None = None
    volume: float | None = None
    agreement: str = ""
    max_ms: float | None = None
    max_usd_per_1k: float | None = None
    on_premises: bool = False
    version: str = RULE

    @property
    def answers(self) -> float | None:
        return None if self.volume is None else MONTHS * self.volume

    @property
    def by_rows(self) -> bool:
        return metric_of(self.metric).by_rows

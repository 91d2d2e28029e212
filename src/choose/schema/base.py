"""What every part of the decision record is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen part of the decision that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(Record):
    """A value with its 95 % interval and what the interval is about; null where not measured."""

    value: float
    low: float | None = None
    high: float | None = None
    estimand: str | None = None

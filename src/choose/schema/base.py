"""The base class of all records, and a value with its interval."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict

from choose.formatting import Estimate


class Record(BaseModel):
    """A frozen part of the decision that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(Record):
    """A value with its 95 % interval and what the interval is about; null where not measured."""

    value: float
    low: float | None = None
    high: float | None = None
    estimand: str | None = None

    @classmethod
    def of(
        cls,
        estimate: Estimate,
        estimand: str | None = None,
        *,
        times: float = 1.0,
        within: tuple[float, float] | None = None,
    ) -> Self:
        """Return an estimate as it stands in the record.

        Args:
            estimate: anything with a value, a low and a high end.
            estimand: what the interval is about.
            times: factor of all three.
            within: limits of the ends; the value is left as it is.
        """
        low = None if estimate.low is None else times * estimate.low
        high = None if estimate.high is None else times * estimate.high
        if within is not None and low is not None and high is not None:
            low, high = max(low, within[0]), min(high, within[1])
        return cls(value=times * estimate.value, low=low, high=high, estimand=estimand)

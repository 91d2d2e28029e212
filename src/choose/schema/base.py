"""The base class of all records, and a value with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from choose.formatting import Estimate

T = TypeVar("T")


class Record(BaseModel):
    """A frozen part of the decision that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __dir__(self) -> list[str]:
        """List the fields and what subclasses add, without the methods of pydantic."""
        added = {name for cls in type(self).__mro__ for name in vars(cls)} - set(dir(BaseModel))
        public = {name for name in added if not name.startswith("_")}
        return sorted(public - {"model_config"} | set(type(self).model_fields))


class Interval(Record):
    """A value with its 95 % interval; null where not measured.

    Attributes:
        estimand: what the interval is about.
        row_set: the labelled rows behind the figure, as their number and a digest of their ids
            (``362:1cb1d2e3``); null where it does not rest on single rows. Two figures are
            comparable only where it is the same.
    """

    value: float
    low: float | None = None
    high: float | None = None
    estimand: str | None = None
    row_set: str | None = None

    @classmethod
    def of(
        cls,
        estimate: Estimate,
        estimand: str | None = None,
        *,
        times: float = 1.0,
        within: tuple[float, float] | None = None,
        row_set: str | None = None,
    ) -> Self:
        """Return an estimate as in the record.

        Args:
            estimate: anything with a value, a low and a high end.
            estimand: what the interval is about.
            times: factor of all three.
            within: limits of the ends; the value is left as it is.
            row_set: the rows behind it; those that the estimate itself names unless given.
        """
        low = None if estimate.low is None else times * estimate.low
        high = None if estimate.high is None else times * estimate.high
        if within is not None and low is not None and high is not None:
            low, high = max(low, within[0]), min(high, within[1])
        rows, value = row_set or getattr(estimate, "row_set", None), times * estimate.value
        return cls(value=value, low=low, high=high, estimand=estimand, row_set=rows)

    @property
    def middle(self) -> float:
        """Return the middle of the interval, nearer to one half than the value if rows are few."""
        return self.value if self.low is None or self.high is None else (self.low + self.high) / 2

    def negated(self) -> Self:
        """Return a difference the other way round, a loss as a change."""
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return self.model_copy(update={"value": -self.value, "low": low, "high": high})


def above_0(interval: Interval) -> bool:
    return interval.low is not None and interval.low > 0


# What figures on questions about documents are about, by the setting `estimand`.
ABOUT: Final = {
    "new-questions": "new questions on these documents",
    "new-documents": "questions on new documents",
}


def with_population(part: T, about: str) -> T:
    """Return a part of a record whose intervals name what they are about, behind their estimand.

    As it is where `about` is empty.
    """
    named: Any = part
    if about and isinstance(part, Interval):
        estimand = f"{part.estimand}; {about}" if part.estimand else about
        named = part.model_copy(update={"estimand": estimand})
    elif about and isinstance(part, Record):
        changed = {name: with_population(value, about) for name, value in part}
        named = part.model_copy(update=changed)
    elif about and isinstance(part, tuple):
        named = tuple(with_population(one, about) for one in part)
    elif about and isinstance(part, dict):
        named = {key: with_population(one, about) for key, one in part.items()}
    return cast(T, named)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation: its name, the expected and the actual value, and whether it is met."""

    name: str
    expected: str
    found: str
    met: bool

    @property
    def sentence(self) -> str:
        return f"Expected {self.expected}, found {self.found}."

"""The base class of all records, and a value with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from choose.formatting import Estimate


class Record(BaseModel):
    """A frozen part of the decision that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __dir__(self) -> list[str]:
        """List the fields and what subclasses add, without the methods of pydantic."""
        added = {name for cls in type(self).__mro__ for name in vars(cls)} - set(dir(BaseModel))
        public = {name for name in added if not name.startswith("_")}
        return sorted(public - {"model_config"} | set(type(self).model_fields))


class File(Record):
    """A record that is a file of its own; `choose` is the version that wrote it."""

    schema_version: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    choose: str

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Interval(Record):
    """A value with its 95 % interval; null where not measured.

    Attributes:
        estimand: what the interval is about, as a code, with a number behind a colon where one
            belongs to it: ``artefact`` (these fits, on other rows), ``refits`` (training again on
            the same pool), ``new-pools:500`` (on other pools of so many labels); between two
            studies ``fits``, ``same-fits``, ``refits-in-either`` or ``new-pools-in-either``, with
            the spread that is assumed where a fit was made once; ``labels-needed``,
            ``all-labels``, ``measured``, ``same-two-times``.
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
        within: tuple[float, float] | None = None,
        row_set: str | None = None,
    ) -> Self:
        """Return an estimate as in the record.

        Args:
            estimate: anything with a value, a low and a high end.
            estimand: what the interval is about.
            within: limits of the ends; the value is left as it is.
            row_set: the rows behind it; those that the estimate itself names unless given.
        """
        low, high = estimate.low, estimate.high
        if within is not None and low is not None and high is not None:
            low, high = max(low, within[0]), min(high, within[1])
        rows = row_set or getattr(estimate, "row_set", None)
        return cls(value=estimate.value, low=low, high=high, estimand=estimand, row_set=rows)

    @property
    def middle(self) -> float:
        """Return the middle of the interval, nearer to one half than the value if rows are few."""
        return self.value if self.low is None or self.high is None else (self.low + self.high) / 2

    def negated(self) -> Self:
        """Return a difference the other way round, a loss as a change."""
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return self.model_copy(update={"value": -self.value, "low": low, "high": high})


class Command(Record):
    """A command of choose with its arguments; `report.words` says how it is typed, or called.

    Attributes:
        verb: such as ``compare``.
        study: the folder of the study that it reads or goes on with; null for none.
        path: the file of rows that it reads, or what it writes; null for none.
        options: values by flag, such as ``budget``; an empty one is a flag alone.
        in_python: whether the rows were passed in Python, so that it can be called alone.
    """

    verb: str
    study: str | None = None
    path: str | None = None
    options: Mapping[str, str] = {}
    in_python: bool = False


def above_0(interval: Interval) -> bool:
    return interval.low is not None and interval.low > 0


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation: the expected and the actual value, and whether it is met."""

    expected: str
    found: str
    met: bool

    @property
    def sentence(self) -> str:
        return f"Expected {self.expected}, found {self.found}."

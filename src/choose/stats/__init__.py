"""Estimators, intervals and tests on plain arrays."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its 95 % interval, as computed and as written; None where not measured.

    Attributes:
        estimand: what the interval is about, as a code, with a number behind a colon where one
            belongs to it: ``artefact`` (these fits, on other rows), ``refits`` (training again on
            the same pool), ``new-pools:500`` (on other pools of so many labels); between two
            studies ``fits``, ``same-fits``, ``refits-in-either`` or ``new-pools-in-either``, with
            the spread that is assumed where a fit was made once; ``all-labels``,
            ``measured``, ``same-two-times``.
        row_set: the labelled rows behind the figure, as their number and a digest of their ids
            (``362:1cb1d2e3``); null where it does not rest on single rows. Two figures are
            comparable only where it is the same.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    value: float
    low: float | None = None
    high: float | None = None
    estimand: str | None = None
    row_set: str | None = None

    @property
    def middle(self) -> float:
        """Return the middle of the interval, nearer to one half than the value if rows are few."""
        return self.value if self.low is None or self.high is None else (self.low + self.high) / 2

    @property
    def above_0(self) -> bool:
        return self.low is not None and self.low > 0

    def negated(self) -> Self:
        """Return a difference the other way round, a loss as a change."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return replace(self, value=-self.value, low=low, high=high)

"""Records of learning curves: forecasts, the labels a target needs, and rises."""

from __future__ import annotations

from choose.schema.base import Interval, Record


class ForecastPoint(Record):
    """Accuracy of one new draw of this many labels, on the same test rows."""

    labels: int
    accuracy: Interval


class Needed(Record):
    """Labels to learn from until an accuracy, or a gain over the accuracy of now, is reached.

    `within` is the largest number that is spoken of; `probability` that it is reached by then;
    `labels` is null where that is less likely than not, and its ends where they lie beyond.
    """

    accuracy: float | None = None
    gain: float | None = None
    within: int
    probability: float
    labels: Interval | None = None


class CurveFamily(Record):
    """The weight of a family of curves, by how well it foretells the largest measured size."""

    name: str
    weight: float


class CurveForecast(Record):
    """A candidate's learning curve beyond the data, or why there is no forecast.

    `apart` says that families exclude each other; the intervals are then their union.
    """

    candidate: str
    labels: int
    points: tuple[ForecastPoint, ...] = ()
    families: tuple[CurveFamily, ...] = ()
    apart: bool = False
    target: Needed | None = None
    margin: Needed | None = None
    refused: str | None = None


class RiseRecord(Record):
    """What a candidate gained between a smaller pool and the compared one."""

    candidate: str
    fewer: int
    labels: int
    gained: Interval

"""Whether more labels would settle or change a decision, from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from choose.judge.decision.contenders import Field
from choose.judge.measures.curve_forecast import likely
from choose.judge.panel.pairs import compare, estimand_of_sides, full_pool, other_pool
from choose.judge.panel.score_tables import Measured
from choose.judge.stats.paired import Difference
from choose.schema.base import Interval
from choose.schema.scorecard import CurveForecast, RiseRecord


def nearest(field: Field) -> CurveForecast | None:
    """Return the forecast that most probably reaches the target."""
    found = [f for name in field.names if (f := field.curves.forecasts[name]).target]
    return max(found, key=lambda f: f.target.probability if f.target else 0.0, default=None)


def steepest(field: Field, names: Sequence[str]) -> CurveForecast | None:
    """Return the forecast that most probably gains the margin, if that is likely."""
    found = [f for name in names if likely((f := field.curves.forecasts[name]).margin)]
    return max(found, key=lambda f: f.margin.probability if f.margin else 0.0, default=None)


def flattens(field: Field, name: str) -> bool:
    """Return whether a curve was fitted and says that more labels hardly gain the margin."""
    found = field.curves.forecasts[name].margin
    return found is not None and not likely(found)


def unknown(field: Field) -> tuple[str, ...]:
    """Return the candidates that may learn from more labels but have no fitted curve."""
    return tuple(
        c.info.name
        for c in field.order
        if c.info.learns
        and c.info.strategy != "majority"
        and field.curves.forecasts[c.info.name].refused
    )


# Above this many margins, the smallest detectable gain says that the rows are too few; below, that
# the candidates are too close.
COARSE = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """What a candidate gained between a smaller pool and the compared one."""

    candidate: str
    fewer: int
    labels: int
    gained: Difference
    estimand: str


def rise(candidate: Measured) -> Rise | None:
    """Return the gain since the largest measured pool of at most 3/4 of the compared size."""
    sizes = [size for size in candidate.sizes if size <= 0.75 * candidate.pool]
    if candidate.main is None or not sizes or not candidate.info.learns:
        return None
    sides = full_pool(candidate), other_pool(candidate, candidate.sizes[max(sizes)])
    gained = compare(*sides)
    if gained is None:
        return None
    return Rise(
        candidate=candidate.info.name,
        fewer=max(sizes),
        labels=candidate.pool,
        gained=gained,
        estimand=estimand_of_sides("a new pool of either size", *sides),
    )


def rising(field: Field, names: tuple[str, ...]) -> Rise | None:
    """Return the steepest rise among these that is certain and at least the margin.

    A candidate whose fitted curve says that it will hardly gain the margin again has risen before.
    """
    found = [
        r
        for name in names
        if not flattens(field, name)
        and (r := rise(field.panel[name])) is not None
        and r.gained.low > 0
        and r.gained.value >= field.rule.margin
    ]
    return max(found, key=lambda r: r.gained.value, default=None)


def rises_of(field: Field) -> tuple[RiseRecord, ...]:
    """Return every candidate's rise, as it stands in the decision record."""
    found = [rise(candidate) for candidate in field.order]
    return tuple(
        RiseRecord(
            candidate=r.candidate,
            fewer=r.fewer,
            labels=r.labels,
            gained=Interval.of(r.gained, r.estimand),
        )
        for r in found
        if r is not None
    )

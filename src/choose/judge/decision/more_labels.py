"""What more training labels gain: measured gains, and forecasts from fitted curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from choose.judge.decision.contenders import Contenders
from choose.judge.measures.curve_forecast import likely
from choose.judge.scores.paired_comparison import compare, estimand_of_sides, full_pool, other_pool
from choose.judge.scores.score_tables import CandidateScores
from choose.judge.stats.paired import Difference
from choose.schema.base import Interval
from choose.schema.curves import CurveForecast, RiseRecord

# If the smallest detectable gain exceeds this many margins, rows are too few; else candidates are
# too close.
COARSE = 2.5


def forecast_nearest_target(contenders: Contenders) -> CurveForecast | None:
    """Return the forecast that most probably reaches the target."""
    forecasts = [f for name in contenders.names if (f := contenders.curves.forecasts[name]).target]
    return max(forecasts, key=lambda f: f.target.probability if f.target else 0.0, default=None)


def forecast_of_margin(contenders: Contenders, names: Sequence[str]) -> CurveForecast | None:
    """Return the forecast that most probably gains the margin, if that is likely."""
    forecasts = [f for name in names if likely((f := contenders.curves.forecasts[name]).margin)]
    return max(forecasts, key=lambda f: f.margin.probability if f.margin else 0.0, default=None)


def flattens(contenders: Contenders, name: str) -> bool:
    """Return whether a fitted curve says that more labels are unlikely to gain the margin."""
    forecast = contenders.curves.forecasts[name].margin
    return forecast is not None and not likely(forecast)


def without_forecast(contenders: Contenders) -> tuple[str, ...]:
    """Return the candidates that train on labels but have no fitted curve."""
    return tuple(
        c.info.name
        for c in contenders.order
        if c.info.learns
        and not c.info.constant
        and contenders.curves.forecasts[c.info.name].refused
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelGain:
    """The gain of a candidate between a smaller training pool and the compared one."""

    candidate: str
    fewer: int
    labels: int
    gained: Difference
    estimand: str


def gain_from_labels(candidate: CandidateScores) -> LabelGain | None:
    """Return the gain since the largest measured pool of at most 3/4 of the compared size."""
    sizes = [size for size in candidate.sizes if size <= 0.75 * candidate.pool]
    if candidate.main is None or not sizes or not candidate.info.learns:
        return None
    sides = full_pool(candidate), other_pool(candidate, candidate.sizes[max(sizes)])
    gained = compare(*sides)
    if gained is None:
        return None
    return LabelGain(
        candidate=candidate.info.name,
        fewer=max(sizes),
        labels=candidate.pool,
        gained=gained,
        estimand=estimand_of_sides("a new pool of either size", *sides),
    )


def steepest_gain(contenders: Contenders, names: tuple[str, ...]) -> LabelGain | None:
    """Return the largest gain among these that is certain and at least the margin.

    A candidate whose fitted curve flattens is left out: its gain lies behind it.
    """
    gains = [
        r
        for name in names
        if not flattens(contenders, name)
        and (r := gain_from_labels(contenders.panel[name])) is not None
        and r.gained.low > 0
        and r.gained.value >= contenders.rule.margin
    ]
    return max(gains, key=lambda r: r.gained.value, default=None)


def label_gains(contenders: Contenders) -> tuple[RiseRecord, ...]:
    """Return the gain of every candidate for the decision record."""
    gains = [gain_from_labels(candidate) for candidate in contenders.order]
    return tuple(
        RiseRecord(
            candidate=r.candidate,
            fewer=r.fewer,
            labels=r.labels,
            gained=Interval.of(r.gained, r.estimand),
        )
        for r in gains
        if r is not None
    )

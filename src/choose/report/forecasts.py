"""What each candidate's curve says about more labels, a line each."""

from __future__ import annotations

from collections.abc import Iterator

from choose.judge.record import Decision
from choose.judge.record_curves import Forecast, ForecastPoint, Needed
from choose.report.safe import clean
from choose.report.words import number, percent


def forecast_lines(decision: Decision) -> Iterator[str]:
    """Yield a sentence for each candidate that a curve was fitted to, and why others have none."""
    fitted = [forecast for forecast in decision.forecasts if forecast.points]
    for forecast in fitted:
        yield f"{clean(forecast.candidate)}: {_line(forecast)}"
    if not fitted:
        refused: dict[str, list[str]] = {}
        for f in decision.forecasts:
            if f.refused and "learns nothing" not in f.refused:
                refused.setdefault(clean(f.refused), []).append(clean(f.candidate))
        for why, names in refused.items():
            yield f"Not extrapolated: {', '.join(names)}. {why}"


def _line(forecast: Forecast) -> str:
    parts = [", ".join(map(_point, forecast.points))]
    if forecast.target is not None:
        parts.append(_needed(forecast.target))
    if forecast.apart:
        parts.append("ways to extend the curve exclude each other, so this holds all of them")
    return f"{'; '.join(parts)}."


def _point(point: ForecastPoint) -> str:
    found = point.accuracy
    ends = (
        f" ({percent(found.low)} to {percent(found.high)})"
        if found.low is not None and found.high is not None
        else ""
    )
    return f"{percent(found.value)} right of 100{ends} with {point.labels:,} labels"


def _needed(needed: Needed) -> str:
    target = f"{number(needed.accuracy)} of 100" if needed.accuracy is not None else "the goal"
    chance = f"{needed.probability:.2f}" if needed.probability >= 0.01 else "below 0.01"
    sure = f"probability {chance}"
    if needed.labels is None:
        return f"{target} not within {needed.within:,} ({sure} that it is)"
    return f"{target} from about {needed.labels.value:,.0f} ({sure} within {needed.within:,})"

"""What more labels would buy, in sentences that cite the forecasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from choose.judge.crossings import foretold_crossings
from choose.judge.forecasts import likely
from choose.judge.record_curves import Forecast, Needed
from choose.judge.settle import Field
from choose.judge.words import listed, number, of_100, plural, points, rounded


def nearest(field: Field) -> Forecast | None:
    """Return the forecast that most probably reaches the target."""
    found = [f for name in field.names if (f := field.curves.forecasts[name]).target]
    return max(found, key=lambda f: f.target.probability if f.target else 0.0, default=None)


def steepest(field: Field, names: Sequence[str]) -> Forecast | None:
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


def more(forecast: Forecast, found: Needed) -> tuple[int, int] | None:
    """Return between how many more labels it is; the upper end may be all that is spoken of."""
    if found.labels is None or found.labels.low is None:
        return None
    high = found.labels.high if found.labels.high is not None else found.within
    return (
        rounded(max(found.labels.low - forecast.labels, 0)),
        rounded(max(high - forecast.labels, 1)),
    )


def amount(forecast: Forecast, found: Needed) -> str:
    """Return ``about 700 more labels (95 % interval 400 to 1,500; probability 0.82)``."""
    ends = more(forecast, found)
    assert ends is not None
    assert found.labels is not None
    beyond = "" if found.labels.high is not None else "more than "
    middle = rounded(max(found.labels.value - forecast.labels, 0))
    return (
        f"about {middle:,} more labels (95 % interval {ends[0]:,} to {beyond}{ends[1]:,}; "
        f"probability {chance(found.probability)} within {plural(found.within, 'label')})"
    )


def chance(probability: float) -> str:
    """Return a share of resamples, which never proves anything impossible or certain."""
    return number(min(max(probability, 0.01), 0.99), 2)


def toward_target(field: Field) -> str:
    """Say what it takes to reach the target; empty if that is not known, or not likely."""
    forecast = nearest(field)
    if forecast is None or forecast.target is None or not likely(forecast.target):
        return ""
    assert forecast.target.accuracy is not None
    needs = amount(forecast, forecast.target)
    return f"{forecast.candidate} would reach {of_100(forecast.target.accuracy)} with {needs}."


def out_of_reach(field: Field) -> str:
    """Say that more labels will hardly reach the target; empty if not known, or if they may."""
    forecast = nearest(field)
    if forecast is None or forecast.target is None or likely(forecast.target):
        return ""
    assert forecast.target.accuracy is not None
    missing = unknown(field)
    but = f"; for {listed(missing)} it is not known" if missing else ""
    return (
        f"More labels are not likely to reach {of_100(forecast.target.accuracy)}: with up to "
        f"{plural(forecast.target.within, 'label')}, four times as many as now, the probability "
        f"is {chance(forecast.target.probability)} for the nearest, {forecast.candidate}{but}."
    )


def toward_margin(forecast: Forecast) -> str:
    """Say how many more labels gain the margin."""
    assert forecast.margin is not None
    assert forecast.margin.gain is not None
    return (
        f"More labels would help {forecast.candidate}: it gains {points(forecast.margin.gain)} "
        f"with {amount(forecast, forecast.margin)}."
    )


def overtaken(field: Field, name: str) -> Iterator[str]:
    """Yield who is likely to overtake a candidate with more labels."""
    for found in foretold_crossings(field):
        if found.b == name and found.labels and found.probability:
            yield (
                f"With about {plural(rounded(found.labels.value), 'label')}, {found.a} is likely "
                f"to overtake {found.b} (probability {chance(found.probability)})."
            )

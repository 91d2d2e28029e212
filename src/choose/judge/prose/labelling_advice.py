"""Sentences on labels: how they limit, which to check, what more of them would gain."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import in_percent, listed, number, per_100, plural, points, rounded
from choose.judge.decision.contenders import Contenders
from choose.judge.decision.curve_crossings import forecast_crossings
from choose.judge.decision.label_gates import NAMED, labels_limit, relabelling_gain
from choose.judge.decision.more_labels import forecast_nearest_target, without_forecast
from choose.judge.decision.rule import Case
from choose.judge.measures.cost_sheet import priced
from choose.judge.measures.curve_forecast import likely
from choose.schema.curves import CurveForecast, Needed


def limit_sentence(case: Case) -> str:
    """Say in which way the labels limit the result; call only where they do."""
    shown = labels_limit(case)
    assert shown is not None
    assert case.audit is not None
    assert case.audit.noise is not None
    noise, leader = case.audit.noise, case.contenders.leader
    wrong = f"{per_100(noise.low)} % to {per_100(noise.high)} % of the labels seem wrong"
    if shown == "target":
        assert case.contenders.rule.target is not None
        return (
            f"{wrong}, so perfect answers would get at most {in_percent(1 - noise.low)} right, and "
            f"the target is {in_percent(case.contenders.rule.target)}."
        )
    best = case.contenders.accuracies[leader].value
    if shown == "short":
        assert case.contenders.rule.target is not None
        return (
            f"{wrong}; the best candidate, {leader}, gets {in_percent(best)} right with these "
            f"labels and may get {in_percent(case.contenders.rule.target)} with corrected ones."
        )
    return f"{wrong}, and the best candidate, {leader}, gets only {in_percent(1 - best)} wrong."


def relabel(case: Case) -> Iterator[str]:
    """Yield which labels to check first, and the gain of correcting them."""
    if case.audit is None:
        return
    suspects = case.audit.doubted
    if not suspects:
        return
    named = [s.id for s in suspects[:NAMED]]
    more = ["others"] if len(suspects) > NAMED else []
    relabelling = relabelling_gain(case.audit, case)
    worth = (
        f"correcting them would add about {points(relabelling.gain.value)} to the measured "
        f"accuracy of {relabelling.candidate}, {points(relabelling.gain.high)} at most"
        if relabelling and relabelling.gain.high is not None
        else "the gain is unknown"
    )
    yield (
        f"Check the labels of the {plural(len(suspects), 'most suspicious row')} "
        f"({listed([*named, *more])}): {worth}{priced(case.contenders.rule, len(suspects))}."
    )


def more(forecast: CurveForecast, needs: Needed) -> tuple[int, int] | None:
    """Return the interval of additional labels, at most the reach of the forecast."""
    if needs.labels is None or needs.labels.low is None:
        return None
    high = needs.labels.high if needs.labels.high is not None else needs.within
    return (
        rounded(max(needs.labels.low - forecast.labels, 0)),
        rounded(max(high - forecast.labels, 1)),
    )


def amount(forecast: CurveForecast, needs: Needed) -> str:
    """Return ``about 700 more labels (400 to 1,500; probability 0.82)``."""
    ends = more(forecast, needs)
    assert ends is not None
    assert needs.labels is not None
    beyond = "" if needs.labels.high is not None else "more than "
    middle = rounded(max(needs.labels.value - forecast.labels, 0))
    return (
        f"about {middle:,} more labels ({ends[0]:,} to {beyond}{ends[1]:,}; "
        f"probability {chance(needs.probability)} within {plural(needs.within, 'label')})"
    )


def chance(probability: float) -> str:
    """Return a share of resamples, clipped to 0.01 and 0.99."""
    return number(min(max(probability, 0.01), 0.99), 2)


def toward_target(contenders: Contenders) -> str:
    """Say how many more labels reach the target; empty if unknown or unlikely."""
    forecast = forecast_nearest_target(contenders)
    if forecast is None or forecast.target is None or not likely(forecast.target):
        return ""
    assert forecast.target.accuracy is not None
    needs = amount(forecast, forecast.target)
    return f"{forecast.candidate} would reach {in_percent(forecast.target.accuracy)} with {needs}."


def out_of_reach(contenders: Contenders) -> str:
    """Say that more labels are unlikely to reach the target; empty if unknown or likely."""
    forecast = forecast_nearest_target(contenders)
    if forecast is None or forecast.target is None or likely(forecast.target):
        return ""
    assert forecast.target.accuracy is not None
    missing = without_forecast(contenders)
    but = f"; for {listed(missing)} it is unknown" if missing else ""
    return (
        f"More labels are unlikely to reach {in_percent(forecast.target.accuracy)}: with up to "
        f"{plural(forecast.target.within, 'label')}, four times as many as now, the probability "
        f"is {chance(forecast.target.probability)} for the closest, {forecast.candidate}{but}."
    )


def toward_margin(forecast: CurveForecast) -> str:
    """Say how many more labels gain the margin."""
    assert forecast.margin is not None
    assert forecast.margin.gain is not None
    return (
        f"More labels would help {forecast.candidate}: it gains {points(forecast.margin.gain)} "
        f"with {amount(forecast, forecast.margin)}."
    )


def overtaken(contenders: Contenders, name: str) -> Iterator[str]:
    """Yield the candidates that are likely to overtake this one with more labels."""
    for crossing in forecast_crossings(contenders):
        if crossing.b == name and crossing.labels and crossing.probability:
            yield (
                f"With about {plural(rounded(crossing.labels.value), 'label')}, {crossing.a} is "
                f"likely to overtake {crossing.b} (probability {chance(crossing.probability)})."
            )

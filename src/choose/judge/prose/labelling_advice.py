"""Labels: how they limit, which to check, and the steps that need more of them."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

from choose.formatting import (
    chance,
    listed,
    measured,
    percent,
    plural,
    points,
    rounded,
    size_in_points,
)
from choose.judge.decision.contenders import Contenders
from choose.judge.decision.label_gates import NAMED, relabelling_gain
from choose.judge.decision.more_labels import (
    answered_too_few,
    forecast_nearest_target,
    forecast_of_margin,
    gain_from_labels,
    lead_of_costlier,
    more_rows,
    steepest_gain,
)
from choose.judge.decision.rule import Case, deciding_rival
from choose.judge.decision.verdict_kind import WORTH_LABELS, kind_of
from choose.judge.measures.cost_sheet import priced
from choose.judge.measures.curve_forecast import likely
from choose.judge.stats.paired import Difference
from choose.schema.score_names import Words
from choose.schema.score_names import amount as reached
from choose.schema.scorecard import CurveForecast, Needed
from choose.schema.standings import Step


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
        f"correcting them would add about "
        f"{size_in_points(relabelling.gain)} to the measured accuracy of {relabelling.candidate}"
        if relabelling
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


def amount(forecast: CurveForecast, needs: Needed, words: Words) -> str:
    """Return ``about 700 more labels (400 to 1,500; 82 % probability within …)``."""
    ends = more(forecast, needs)
    assert ends is not None
    assert needs.labels is not None
    beyond = "" if needs.labels.high is not None else "more than "
    middle = rounded(max(needs.labels.value - forecast.labels, 0))
    return (
        f"about {middle:,} more {words.labels} ({ends[0]:,} to {beyond}{ends[1]:,}; "
        f"{chance(needs.probability)} probability within {plural(needs.within, words.label)})"
    )


def toward_target(contenders: Contenders) -> str:
    """Say how many more labels reach the target; empty if unknown or unlikely."""
    forecast = forecast_nearest_target(contenders)
    if forecast is None or forecast.target is None or not likely(forecast.target):
        return ""
    assert forecast.target.accuracy is not None
    needs = amount(forecast, forecast.target, contenders.words)
    goal = reached(forecast.target.accuracy, contenders.rule.measure.noun)
    return f"{forecast.candidate} would reach {goal} with {needs}."


def toward_margin(forecast: CurveForecast, words: Words) -> str:
    """Say how many more labels gain the margin."""
    assert forecast.margin is not None
    assert forecast.margin.gain is not None
    return (
        f"More {words.labels} would help {forecast.candidate}: it gains "
        f"{points(forecast.margin.gain)} with {amount(forecast, forecast.margin, words)}."
    )


def grow_steps(case: Case) -> Iterator[Step]:
    """Yield what more training labels are likely to gain."""
    if case.selection.target in ("missed", "open") and (text := toward_target(case.contenders)):
        forecast = forecast_nearest_target(case.contenders)
        hours = _hours(case, forecast, forecast.target if forecast else None)
        yield Step(
            kind="label-more",
            text=text + hours,
            question="how the target is reached",
        )
    forecast = forecast_of_margin(case.contenders, (case.name, *case.selection.rivals))
    if forecast is not None:
        yield Step(
            kind="label-more",
            text=toward_margin(forecast, case.words) + _hours(case, forecast, forecast.margin),
            question=f"what training on more {case.words.labels} gains",
        )
        return
    names = tuple(name for name in case.contenders.names if _may_catch_up(case, name))
    growth = steepest_gain(case.contenders, names)
    if growth is not None:
        yield Step(
            kind="label-more",
            text=f"More {case.words.labels} still help {growth.candidate}: from "
            f"{growth.fewer:,} to {plural(growth.labels, case.words.label)} it gained "
            f"{size_in_points(growth.gained)}.",
            question=f"what training on more {case.words.labels} gains",
        )


def _may_catch_up(case: Case, name: str) -> bool:
    """Return whether a candidate may be used, or as large a gain from labels would level it."""
    if name in (case.name, *case.selection.rivals, *case.selection.near):
        return True
    growth = gain_from_labels(case.contenders.panel[name])
    behind = case.contenders.gain(case.name, name)
    return growth is not None and behind is not None and behind.value <= growth.gained.value


def _hours(case: Case, forecast: CurveForecast | None, needed: Needed | None) -> str:
    ends = more(forecast, needed) if forecast and needed else None
    price = priced(case.contenders.rule, *ends) if ends else ""
    return f" That is{price.replace(' (', ' ', 1).removesuffix(')')}." if price else ""


def separate_steps(case: Case) -> Iterator[Step]:
    """Yield the rows to label to separate two candidates, with what that is worth.

    Between members of one family, and where the set would have to double or more, it is not.
    """
    contenders, selection = case.contenders, case.selection
    total = len(contenders.panel.rows.targets)
    if case.chances.loss < WORTH_LABELS:
        return
    if selection.rivals and not selection.chosen and selection.reachable:
        other, difference = selection.rivals[0], lead_of_costlier(contenders, selection)
        margin, collect = case.deciding_margin, kind_of(case) == "collect-labels"
    elif selection.near:
        other, collect = selection.near[0], False
        gap, margin = contenders.gain(other, case.name), contenders.margin(other, case.name)
        costlier = other in contenders.costlier(case.name)
        difference = gap if gap is None or costlier else gap.negated()
    else:
        return
    needed = more_rows(difference, margin, total) if difference else None
    if needed is None:
        return
    worth = collect or (bool(selection.rivals) and needed.even <= total)
    if not worth and needed.even <= total:
        return  # a few rows would do, and which member of a family it is matters little
    likely = f", {rounded(needed.likely):,} for 80 %" if needed.likely is not None else ""
    price = priced(contenders.rule, rounded(needed.likely or needed.even))
    yield Step(
        kind="label-more",
        text=f"Separating {case.name} from {other} needs about "
        f"{rounded(needed.even):,} more labelled rows for a 50 % chance{likely}{price}.",
        question=f"whether {case.name} or {other} is better",
        worth=worth,
    )


def why_more(case: Case) -> str:
    """Say why more labels are needed, and how many where that is known."""
    best = forecast_nearest_target(case.contenders)
    if not case.selection.reachable and best is not None and likely(best.target):
        return toward_target(case.contenders)
    growth = steepest_gain(case.contenders, (case.name, *case.selection.rivals)) or steepest_gain(
        case.contenders, case.contenders.names
    )
    if growth is not None:
        return (
            f"{growth.candidate} still gained {measured(growth.gained.value)} between "
            f"{growth.fewer:,} and {plural(growth.labels, case.words.label)}."
        )
    hung = lead_of_costlier(case.contenders, case.selection)
    more = (
        more_rows(hung, case.deciding_margin, len(case.contenders.panel.rows.targets))
        if hung
        else None
    )
    rows = plural(len(case.contenders.panel.rows.targets), "test row")
    text = f"{rows} cannot separate {_both(case)}"
    if more is None:
        return f"{text}{narrower(hung, len(case.contenders.panel.rows.targets))}."
    surer = f", about {rounded(more.likely):,} with 80 %" if more.likely is not None else ""
    return f"{text}; about {rounded(more.even):,} more would with a 50 % chance{surer}."


def narrower(difference: Difference | None, labelled: int) -> str:
    """Say what as many rows again would show, where no number of rows can be forecast.

    They narrow the part of the interval that is due to rows, and not that due to training runs.
    """
    if difference is None or answered_too_few(difference, labelled):
        return ""
    half = (difference.high - difference.low) / 2
    after = half * sqrt((1 + difference.run_share) / 2)
    return (
        f"; how many could is unknown, and {labelled:,} more would narrow the interval of their "
        f"difference from ±{percent(half)} to about ±{percent(after)} points"
    )


def _both(case: Case) -> str:
    """Name the two whose comparison is open."""
    rival = deciding_rival(case.contenders, case.selection)
    assert rival is not None
    return f"{case.name} and {rival}"

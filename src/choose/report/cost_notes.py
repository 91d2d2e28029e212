"""Sentences and rows on money that every report shares; where nothing is priced there are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from choose.formatting import (
    DASH,
    clean,
    difference,
    dollars,
    figure,
    months,
    number,
    points,
    rough,
)
from choose.report.format import quantity
from choose.schema.costs import Breakeven, Move, Requests, Serving
from choose.schema.decision import Decision

NO_DATE = DASH


MOVE_HEADS = ["next", "points of accuracy", "labels", "hours", "$", "points for $100"]


ACTIONS = {
    "learn from more labels": "twice the labels",
    "check doubted labels": "check doubted labels",
    "ask more rows": "more test rows",
    "repeat": "more seeds",
    "try a stronger model": "a stronger prompted model",
}


def totals(decision: Decision) -> bool:
    """Return whether some candidate is priced from its building on."""
    return any(card.cost.build_usd is not None for card in decision.scorecards)


def breakevens(decision: Decision) -> Iterator[str]:
    """Yield when the one in use pays against each other one, or the other one against it."""
    pick = decision.verdict.recommended or decision.verdict.use_meanwhile
    for found in decision.breakeven:
        if pick in (found.a, found.b):
            yield _breakeven(found)


def _breakeven(found: Breakeven) -> str:
    a, b, needed = clean(found.a), clean(found.b), found.requests
    expected = f"{rough(found.expected)} are expected in {months(found.months)}"
    costs = f"{a} costs {dollars(found.extra_usd)} more to build and refresh than {b}"
    if needed.value is None and needed.low is None:
        return f"{costs} and never pays for it: it neither gains nor saves enough an answer."
    if needed.high is not None and needed.high < 1:
        return f"{a} pays against {b} from the first answer on."
    when = f"about {rough(needed.value)}" if needed.value is not None else "no number of"
    chance = number(min(max(found.probability, 0.01), 0.99), 2)
    return (
        f"{costs} and pays from {when} answers on{_ends(needed)}; {expected} (probability that it "
        f"pays {chance})."
    )


def _ends(needed: Requests) -> str:
    low = rough(needed.low) if needed.low is not None else DASH
    high = rough(needed.high) if needed.high is not None else "no end"
    return f" (95 % interval {low} to {high})"


def shelf_life(decision: Decision) -> Iterator[str]:
    """Yield which models retire, and what building again costs."""
    for card in decision.scorecards:
        cost = card.cost
        if cost.retires is None:
            continue
        after = f", {months(cost.months)} into its use" if cost.months is not None else ""
        again = f" Building it again costs {dollars(cost.build_usd)}." if cost.build_usd else ""
        yield f"The model of {clean(card.candidate)} is retired on {cost.retires}{after}.{again}"


def serving(decision: Decision) -> Iterator[str]:
    """Yield what several tasks take on one base, or what one more task would take."""
    for card in decision.scorecards:
        cost, name = card.cost, clean(card.candidate)
        if cost.serving is not None:
            yield f"{name}: {_served(cost.serving)}"
        elif cost.artefact_mb is not None and cost.base_mb is not None:
            yield (
                f"{name}: on one base of {figure(cost.base_mb)} MB, each further task adds "
                f"{figure(cost.artefact_mb)} MB."
            )


def _served(found: Serving) -> str:
    text = (
        f"{found.tasks} tasks on one base take {figure(found.on_one_base_mb)} MB of weights, a "
        f"model each {figure(found.one_each_mb)} MB"
    )
    if found.machines is not None and found.machines_one_each is not None:
        text += f"; that is {found.machines} against {found.machines_one_each} machines"
    if found.usd_per_hour is not None and found.usd_per_hour_one_each is not None:
        apart = dollars(found.usd_per_hour_one_each)
        text += f", {dollars(found.usd_per_hour)} against {apart} an hour"
    return f"{text}."


def moves(decision: Decision) -> list[list[str]]:
    """Return a row for each thing to do next whose gain or price is known."""
    known = [m for m in decision.moves if m.gain is not None or m.hours is not None]
    return [_move(move) for move in known]


def _move(move: Move) -> list[str]:
    who = f" for {clean(move.candidate)}" if move.candidate else ""
    hours = move.hours if move.hours is not None else move.machine_hours
    return [
        f"{ACTIONS[move.action]}{who}",
        difference(move.gain),
        DASH if move.labels is None else f"{move.labels:,}",
        figure(hours),
        figure(move.usd),
        figure(max(move.points_per_100_usd, 0.0)) if move.points_per_100_usd is not None else DASH,
    ]


def notes(decision: Decision) -> Iterator[str]:
    """Yield how the money was counted, or what the study file lacks."""
    if decision.breakeven:
        yield _counted(decision)
    lacks = list(dict.fromkeys(key for card in decision.scorecards for key in card.cost.missing))
    if not decision.breakeven and lacks:
        if not totals(decision) and len(lacks) > 3:
            yield (
                "Dollars and break-even need prices: usd_per_machine_hour, engineer_hours, "
                "volume_per_month, value_per_right_answer and others in [costs] of the study file."
            )
        else:
            yield f"No break-even: the study file lacks {', '.join(map(clean, lacks))}."
    elif not decision.breakeven and totals(decision):
        yield "No break-even: the study file lacks costs.value_per_right_answer."


def _counted(decision: Decision) -> str:
    plan = decision.goal.get("deployment") or {}
    value, volume, horizon = (
        quantity(plan, key)
        for key in ("value_per_right_answer", "volume_per_month", "horizon_months")
    )
    text = "The labels of this study count as paid for."
    if value is None or volume is None or horizon is None:
        return text
    return (
        f"Counted over {months(horizon)} at {rough(volume)} answers a month; a right answer is "
        f"worth {dollars(value)}. {text}"
    )


def margin_of(goal: Mapping[str, Any]) -> str:
    """Say from where on a gain matters if prices say so; else empty."""
    margin = quantity(goal, "margin")
    if goal.get("margin_from") != "derived" or margin is None:
        return ""
    return f"from {points(margin)} on, and of a dearer candidate from what pays for it (prices)"

"""Charts along an axis: training labels, wrong labels, volume of answers."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from choose.formatting import clean, difference, dollars, rough, signed_points
from choose.report.decision_text import measured, quantity
from choose.report.html.chart_style import (
    Figure,
    axis_name,
    bounds_of,
    candidate_facts,
    chart_of,
    colour,
    dash,
    drawn,
    mark_at,
    shape,
)
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard


def curves(decision: Decision) -> Figure | None:
    """Draw accuracy by number of training labels."""
    cards = [c for c in trainable(decision) if len(c.curve) > 1]
    if not cards:
        return None
    rows = [
        {**candidate_facts(card), "x": point.labels, **bounds_of(point)}
        for card in cards
        for point in card.curve
    ]
    sizes = sorted({point.labels for card in cards for point in card.curve})
    x = alt.X(
        "x:Q",
        title="training labels",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(values=sizes, grid=False),
    )
    rises = {c.candidate: c.curve[-1].value - c.curve[-2].value for c in cards}
    steepest = max(rises, key=lambda name: rises[name])
    last = next(c for c in cards if c.candidate == steepest).curve[-2:]
    step = f"between {last[0].labels:,} and {last[1].labels:,} labels"
    rise = (
        f"{clean(steepest)} rises most {step}: {signed_points(rises[steepest])} points."
        if rises[steepest] >= 0.0005
        else f"No candidate rises {step}."
    )
    caption = f"{rise} A line that still rises at its right end means that more labels help."
    return plotted(rows, x, "Accuracy by number of labels", caption)


def noise(decision: Decision) -> Figure | None:
    """Draw accuracy by rate of added label noise."""
    cards = [c for c in trainable(decision) if len(c.noise.curve) > 1]
    if not cards:
        return None
    rows = [
        {**candidate_facts(card), "x": 100 * point.rate, **bounds_of(point.accuracy)}
        for card in cards
        for point in card.noise.curve
    ]
    ticks = sorted({100 * point.rate for card in cards for point in card.noise.curve})
    x = alt.X("x:Q", title="added label noise in %", axis=alt.Axis(values=ticks, grid=False))
    slopes = {c.candidate: c.noise.slope for c in cards if c.noise.slope}
    if slopes:
        worst = min(slopes, key=lambda name: slopes[name].value)
        caption = (
            f"{clean(worst)} loses most: {difference(slopes[worst])} points for each further "
            "10 % of added label noise. The data set's own wrong labels add to these."
        )
    else:
        caption = "A line that falls steeply needs clean labels."
    return plotted(rows, x, "Accuracy under added label noise", caption)


def plotted(
    rows: list[dict[str, object]], x: alt.X, title: str, caption: str, share: str = "accuracy in %"
) -> Figure:
    """Draw one line for each candidate, with a band where `low` and `high` are known."""
    scale = alt.Scale(domain=list(_bounds(rows)), nice=False)
    y = alt.Y("value:Q", title=share, scale=scale)
    base = chart_of(rows).encode(x=x)
    names = chart_of(_labelled_points(rows)).encode(x=x)
    band = base.mark_area(opacity=0.13).encode(
        y=alt.Y("low:Q"), y2="high:Q", color=colour(), detail="candidate:N"
    )
    layers = [
        *([band] if any(row.get("low") is not None for row in rows) else []),
        base.mark_line(strokeWidth=2).encode(y=y, color=colour(), strokeDash=dash()),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            y=y, color=colour(), shape=shape(), detail="candidate:N"
        ),
        names.mark_text(align="left", dx=9).encode(y=alt.Y("label:Q"), text="candidate:N"),
    ]
    return drawn(layers, 320, title, caption, rows, named=True)


def _labelled_points(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return the last point of each line, with its label moved where labels would overlap."""
    points = list({row["candidate"]: row for row in rows}.values())
    points.sort(key=lambda row: -float(str(row["value"])))
    lowest, highest = _bounds(rows)
    gap = (highest - lowest) / 16
    placed, above = [], float("inf")
    for row in points:
        above = min(float(str(row["value"])), above - gap)
        placed.append({**row, "label": above})
    return placed


def _bounds(rows: Sequence[dict[str, object]]) -> tuple[float, float]:
    """Return the bounds of an axis out of 100, with room for a name below the lowest line."""
    heights = [row.get(key) for row in rows for key in ("value", "low", "high")]
    values = [float(str(value)) for value in heights if value is not None]
    room = (max(values) - min(values) or 10.0) / 12
    return max(0.0, min(values) - room), min(100.0, max(values) + room / 4)


def trainable(decision: Decision) -> list[Scorecard]:
    """Return the candidates whose lines can rise; a constant answer would squeeze the others.

    A candidate that finds at most one label gives the same answer to every row.
    """
    return [
        card
        for card in measured(decision)
        if not card.per_class or sum(bool(row.recall) for row in card.per_class) > 1
    ]


# The lines span the study's volume divided and multiplied by this.
SPAN, STEPS = 30.0, 61


def volumes(decision: Decision) -> Figure | None:
    """Draw the total cost of 1,000 answers, wrong answers included, against volume."""
    plan = decision.goal.get("deployment") or {}
    value, volume, months = (
        quantity(plan, key)
        for key in ("value_per_right_answer", "volume_per_month", "horizon_months")
    )
    cards = [c for c in measured(decision) if c.cost.total_usd is not None]
    if value is None or volume is None or months is None:
        return None
    monthly = np.geomspace(volume / SPAN, volume * SPAN, STEPS)
    lines = {c.candidate: _dollars(c, monthly, volume, months, value) for c in cards}
    cards = [c for c in cards if min(lines[c.candidate]) > 0]
    if len(cards) < 2:
        return None
    rows = [
        {**candidate_facts(c), "x": float(x), "y": float(y)}
        for c in cards
        for x, y in zip(monthly, lines[c.candidate], strict=True)
    ]
    log = alt.Scale(type="log", nice=False)
    axis = alt.Axis(grid=False, tickCount=4)
    x = alt.X("x:Q", title="answers per month", scale=log, axis=axis)
    axis = alt.Axis(tickCount=5)
    y = alt.Y("y:Q", title="$ per 1,000 answers, total", scale=log, axis=axis)
    base = chart_of(rows).encode(x=x)
    names = chart_of(_last_points(cards, lines, float(monthly[-1])))
    layers = [
        mark_at(volume),
        base.mark_line(strokeWidth=2).encode(y=y, color=colour(), strokeDash=dash()),
        names.mark_text(align="left", dx=9).encode(x="x:Q", y="y:Q", text="candidate:N"),
    ]
    caption = _caption(cards, lines, monthly, volume, value)
    return drawn(layers, 320, "Total cost of 1,000 answers by volume", caption, rows, named=True)


def _dollars(
    card: Scorecard, monthly: np.ndarray, volume: float, months: float, value: float
) -> np.ndarray:
    """Return (n,) dollars of 1,000 answers at each volume, wrong ones at their worth."""
    assert card.cost.total_usd is not None
    assert card.cost.usd_per_1k is not None
    assert card.accuracy is not None
    fixed = card.cost.total_usd - volume * months * card.cost.usd_per_1k / 1000
    wrong = 1000 * value * (1 - card.accuracy.value)
    spread: np.ndarray = 1000 * max(fixed, 0.0) / (monthly * months) + card.cost.usd_per_1k + wrong
    return spread


def _last_points(
    cards: Sequence[Scorecard], lines: dict[str, np.ndarray], right: float
) -> list[dict[str, object]]:
    """Return the right end of each line, names moved up where they would cover each other."""
    placed, below = [], 0.0
    everything = np.concatenate(list(lines.values()))
    step = (float(everything.max()) / float(everything[everything > 0].min())) ** (1 / 17)
    for card in sorted(cards, key=lambda c: float(lines[c.candidate][-1])):
        below = max(float(lines[card.candidate][-1]), below * step)
        placed.append({"candidate": axis_name(card.candidate), "x": right, "y": below})
    return placed


def _caption(
    cards: Sequence[Scorecard],
    lines: dict[str, np.ndarray],
    monthly: np.ndarray,
    volume: float,
    value: float,
) -> str:
    names = [c.candidate for c in cards]
    table = np.stack([lines[name] for name in names])
    best = table.argmin(axis=0)
    now = names[int(best[int(np.abs(np.log(monthly / volume)).argmin())])]
    text = (
        f"Total: building, refreshing, running, and wrong answers at {dollars(value)} "
        f"each. As measured, {clean(now)} costs least at {rough(volume)} answers a month (dashed "
        "line)"
    )
    changes = [i for i in range(1, len(best)) if best[i] != best[i - 1]]
    if not changes:
        return f"{text}, as it does at every volume drawn."
    later = [
        f"{clean(names[int(best[i])])} from about {rough(float(monthly[i]))} on" for i in changes
    ]
    return f"{text}; from left to right {clean(names[int(best[0])])} does, then {', '.join(later)}."

"""Charts: training labels, wrong labels, volume of answers, what reading loses, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from choose.formatting import clean, dollars, number, rough, signed_points
from choose.report.candidate_order import contending, measured, rows_noted
from choose.report.decision_text import quantity, words_in
from choose.report.html.chart_style import (
    COLOURS,
    HEIGHT,
    INK,
    LINE,
    Figure,
    Palette,
    answers_alike,
    axis_name,
    bounds_of,
    chart_of,
    draw_figure,
    largest_change,
    mark_at,
    palette,
    shape,
)
from choose.report.reading_text import LossStep, loss_steps, splits_of
from choose.schema.base import Interval
from choose.schema.costs import MONTHS
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard

# Ticks on an axis of measured sizes or rates, at most.
TICKS = 6


def _drawn_bounds(interval: Interval) -> dict[str, float]:
    """Return value and bounds out of 100; an unknown bound is drawn at the value."""
    return {
        name: 100 * interval.value if share is None else share
        for name, share in bounds_of(interval).items()
    }


def intervals(
    named: Sequence[tuple[str, Interval]], margin: float, title: str, caption: str, axis: str
) -> Figure:
    """Draw differences with their intervals against zero and the margin."""
    rows = [{"pair": axis_name(name), **_drawn_bounds(interval)} for name, interval in named]
    base = chart_of(rows).encode(y=alt.Y("pair:N", sort=None, title=None))
    x = alt.X("low:Q", title=axis)
    band = chart_of([{"from": -100 * margin, "to": 100 * margin}])
    layers = [
        band.mark_rect(color=INK, opacity=0.09).encode(x=alt.X("from:Q"), x2=alt.X2("to:Q")),
        mark_at(0.0, dash=False),
        base.mark_rule(strokeWidth=3, color=INK, opacity=0.5).encode(x=x, x2=alt.X2("high:Q")),
        base.mark_point(filled=True, size=90, color=INK, opacity=1).encode(x=alt.X("value:Q")),
    ]
    return draw_figure(layers, len(rows) * 30, title, caption)


def curves(decision: Decision) -> Figure | None:
    """Draw accuracy by number of training labels."""
    cards = [c for c in drawable(decision) if len(c.curve) > 1]
    if not cards:
        return None
    colours, word = palette(decision.scorecards), words_in(decision)
    rows = [
        {**colours.facts(card.candidate, card.family), "x": point.labels, **bounds_of(point)}
        for card in cards
        for point in card.curve
    ]
    sizes = sorted({point.labels for card in cards for point in card.curve})
    x = alt.X(
        "x:Q",
        title=f"training {word.label}s",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(values=few(sizes), grid=False, format=",.0f"),
    )
    rises = {c.candidate: c.curve[-1].value - c.curve[-2].value for c in cards}
    steepest = max(rises, key=lambda name: rises[name])
    before, last = next(c for c in cards if c.candidate == steepest).curve[-2:]
    step = f"between {before.labels:,} and {last.labels:,} {word.label}s"
    rise = (
        f"{clean(steepest)} rises most {step}: {signed_points(rises[steepest])} points."
        if rises[steepest] >= 0.0005
        else f"No candidate rises {step}."
    )
    still = f"A line that still rises at its right end means that more {word.labels} help."
    few_rows = rows_noted(decision, {c.candidate: c.curve[-1].row_set for c in cards})
    caption = " ".join(filter(None, (rise, few_rows, still)))
    title = f"{word.title} by number of {word.labels}"
    return plotted(rows, colours, x, title, caption, f"{word.score} in %")


def noise(decision: Decision) -> Figure | None:
    """Draw what accuracy changes by at each rate of added label noise."""
    cards = [c for c in drawable(decision) if c.noise.kinds]
    colours, word = palette(decision.scorecards), words_in(decision)
    rows: list[dict[str, object]] = []
    for card in cards:
        facts = colours.facts(card.candidate, card.family)
        rows.append({**facts, "x": 0.0, "value": 0.0, "low": 0.0, "high": 0.0})
        rows += [{**facts, "x": 100 * p.rate, **_change(p.loss)} for p in card.noise.kinds]
    if not rows:
        return None
    last = max(float(str(row["x"])) for row in rows)
    change = largest_change([row for row in rows if row["x"] == last])
    caption = f"With {last:.0f} % of the training {word.target}s wrong, "
    caption += f"{change} points on the same rows."
    sets = {
        c.candidate: max(c.noise.kinds, key=lambda point: point.rate).loss.row_set for c in cards
    }
    caption = " ".join(filter(None, (caption, rows_noted(decision, sets))))
    x = _rates(rows, word.target)
    title = f"{word.target.capitalize()} noise"
    return plotted(rows, colours, x, title, caption, f"points of {word.score}")


def _change(loss: Interval) -> dict[str, float | None]:
    """Return a loss as a change in points, with the bounds the other way round."""
    ends = {"value": loss.value, "low": loss.high, "high": loss.low}
    return {name: None if share is None else 0.0 - 100 * share for name, share in ends.items()}


def _rates(rows: Sequence[Mapping[str, object]], target: str) -> alt.X:
    ticks = sorted({float(str(row["x"])) for row in rows})
    axis = alt.Axis(values=few(ticks), grid=False)
    return alt.X("x:Q", title=f"training {target}s made wrong, in %", axis=axis)


def few(ticks: Sequence[float]) -> list[float]:
    """Return at most `TICKS` of some ticks, the first and the last among them."""
    if len(ticks) <= TICKS:
        return [float(tick) for tick in ticks]
    places = np.linspace(0, len(ticks) - 1, TICKS).round().astype(int)
    return [float(ticks[place]) for place in places]


def plotted(
    rows: list[dict[str, object]],
    colours: Palette,
    x: alt.X,
    title: str,
    caption: str,
    share: str = "accuracy in %",
) -> Figure:
    """Draw one line for each candidate, with a band where `low` and `high` are known."""
    bounds = _bounds(rows, share)
    scale = alt.Scale(domain=list(bounds), nice=False, zero=False)
    axis = alt.Axis(tickCount=5)
    y = alt.Y("value:Q", title=share, scale=scale, axis=axis)
    base = chart_of(rows).encode(x=x, detail=alt.Detail("key:N"))
    names = chart_of(_labelled_points(rows, bounds)).encode(x=x)
    band = base.mark_area(opacity=0.12).encode(
        y=alt.Y("low:Q", title=share, scale=scale, axis=axis),
        y2=alt.Y2("high:Q"),
        color=colours.colours(),
    )
    layers = [
        *([band] if any(row.get("low") is not None for row in rows) else []),
        base.mark_line(strokeWidth=2).encode(
            y=y, color=colours.colours(), strokeDash=colours.dashes()
        ),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            y=y, color=colours.colours(), shape=shape()
        ),
        names.mark_text(align="left", dx=9).encode(
            y=alt.Y("label:Q", scale=scale), text=alt.Text("candidate:N")
        ),
    ]
    return draw_figure(layers, HEIGHT, title, caption, rows, named=True)


def _labelled_points(
    rows: Sequence[dict[str, object]], bounds: tuple[float, float]
) -> list[dict[str, object]]:
    """Return the last point of each line, with its label moved where labels would overlap."""
    points = list({row["key"]: row for row in rows}.values())
    points.sort(key=lambda row: -float(str(row["value"])))
    gap = (bounds[1] - bounds[0]) * LINE / HEIGHT * 1.2
    heights = apart([float(str(row["value"])) for row in points], gap)
    over = min(heights, default=0.0) - bounds[0] - gap / 2
    lift = max(0.0, -over)
    return [{**row, "label": at + lift} for row, at in zip(points, heights, strict=True)]


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Return heights, the highest first, moved down until each is `gap` below the one above."""
    placed: list[float] = []
    for height in heights:
        placed.append(min(height, placed[-1] - gap) if placed else height)
    return placed


def _bounds(rows: Sequence[dict[str, object]], share: str) -> tuple[float, float]:
    """Return the bounds of an axis, with room for a name below the lowest line."""
    heights = [row.get(key) for row in rows for key in ("value", "low", "high")]
    values = [float(str(value)) for value in heights if value is not None]
    room = (max(values) - min(values) or 10.0) / 12
    low, high = min(values) - room, max(values) + room / 4
    return (max(0.0, low), min(100.0, high)) if share.endswith("%") else (low, high)


def drawable(decision: Decision) -> list[Scorecard]:
    """Return the contenders, whose lines would be squeezed by candidates far behind them."""
    near = contending(decision)
    cards = [card for card in measured(decision) if card.candidate in near]
    return [card for card in cards if not answers_alike(card)]


# The lines span the study's volume divided and multiplied by this.
SPAN, STEPS = 30.0, 61


def volumes(decision: Decision) -> Figure | None:
    """Draw the total cost of 1,000 answers, wrong answers included, against volume."""
    value, volume = (
        quantity(decision.goal, key) for key in ("value_per_right_answer", "volume_per_month")
    )
    cards = [c for c in measured(decision) if c.cost.total_usd is not None]
    if value is None or volume is None:
        return None
    monthly = np.geomspace(volume / SPAN, volume * SPAN, STEPS)
    lines = {c.candidate: _dollars(c, monthly, value) for c in cards}
    cards = [c for c in cards if min(lines[c.candidate]) > 0]
    if len(cards) < 2:
        return None
    colours = palette(decision.scorecards)
    rows = [
        {**colours.facts(c.candidate, c.family), "x": float(x), "y": float(y)}
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
        base.mark_line(strokeWidth=2).encode(
            y=y, color=colours.colours(), strokeDash=colours.dashes()
        ),
        names.mark_text(align="left", dx=9).encode(
            x=alt.X("x:Q"), y=alt.Y("y:Q"), text=alt.Text("candidate:N")
        ),
    ]
    caption = _caption(cards, lines, monthly, volume, value)
    title = "Total cost of 1,000 answers by volume"
    return draw_figure(layers, HEIGHT, title, caption, rows, named=True)


def _dollars(card: Scorecard, monthly: np.ndarray, value: float) -> np.ndarray:
    """Return (n,) dollars of 1,000 answers at each volume, wrong ones at their worth."""
    assert card.cost.training_usd is not None
    assert card.cost.usd_per_1k is not None
    assert card.accuracy is not None
    wrong = 1000 * value * (1 - card.accuracy.value)
    each = 1000 * card.cost.training_usd / (monthly * MONTHS)
    spread: np.ndarray = each + card.cost.usd_per_1k + wrong
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
        f"Total of a year: training, running, and wrong answers at {dollars(value)} each. As "
        f"measured, {clean(now)} costs least at {rough(volume)} answers a month (dashed line)"
    )
    changes = [i for i in range(1, len(best)) if best[i] != best[i - 1]]
    if not changes:
        return f"{text}, as it does at every volume drawn."
    later = [
        f"{clean(names[int(best[i])])} from about {rough(float(monthly[i]))} on" for i in changes
    ]
    return f"{text}; from left to right {clean(names[int(best[0])])} does, then {', '.join(later)}."


def waterfall(decision: Decision) -> Figure | None:
    """Draw what a candidate that reads documents reaches, and what it loses on top of that.

    A loss that is shown is filled, one that may be none is hollow.
    """
    split = next(iter(splits_of(decision)), None)
    if split is None:
        return None
    rows = [_step(step) for step in loss_steps(split)]
    caption = (
        f"{clean(split.candidate)} reaches {number(100 * split.retrieved.value)} of 100. Filled: a "
        "loss that is shown. Hollow: its interval holds 0 or less, so there may be none. Lines: "
        "95 % intervals."
    )
    return _stacked(rows, "From what is reached to every answer right", caption)


def _step(step: LossStep) -> dict[str, object]:
    loss, below = step.is_loss, 100 * step.start
    ends = bounds_of(step.interval or Interval(value=1.0))
    value = signed_points(step.end - step.start) if loss else number(100 * step.end)
    return {
        "step": f"{step.name.removeprefix('+ ')} {step.said or value}",
        "from": below,
        "to": 100 * step.end,
        **{end: None if (at := ends[end]) is None else below + at for end in ("low", "high")},
        "colour": COLOURS[loss],
        "filled": 0.75 if step.shown or not loss else 0.0,
    }


def _stacked(rows: Sequence[Mapping[str, object]], title: str, caption: str) -> Figure:
    """Draw a bar a row, from one end to the other, with the interval of its upper end."""
    ends = [
        float(str(v)) for row in rows for k in ("to", "low", "high") if (v := row[k]) is not None
    ]
    across = alt.Scale(domain=[min(0.0, *ends), max(100.0, *ends)], nice=False)
    base = chart_of(rows).encode(y=alt.Y("step:N", sort=None, title=None))
    layers = [
        base.mark_bar(height=14, strokeWidth=1.5).encode(
            x=alt.X("from:Q", title="points", scale=across, axis=alt.Axis(tickCount=5)),
            x2=alt.X2("to:Q"),
            fillOpacity=alt.FillOpacity("filled:Q", scale=None),
            fill=alt.Fill("colour:N", scale=None),
            stroke=alt.Stroke("colour:N", scale=None),
        ),
        base.mark_rule(strokeWidth=2, color=INK).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q")),
    ]
    return draw_figure(layers, len(rows) * 28, title, caption)

"""Charts of candidates and pairs, each with a sentence on what to see in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt

from choose.formatting import clean, per_100, plural
from choose.report.decision_text import measured, quantity
from choose.report.html.chart_style import (
    INK,
    Figure,
    axis_name,
    bounds_of,
    candidate_facts,
    chart_of,
    colour,
    decades,
    drawn,
    mark_at,
    mark_names,
    shape,
    shares,
)
from choose.report.html.line_charts import plotted, trainable
from choose.report.screen_text import shorten
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard


def accuracy(decision: Decision) -> Figure | None:
    """Draw the accuracy of each candidate, with its interval."""
    cards = measured(decision)
    if not cards:
        return None
    rows = [
        {**candidate_facts(card), **_drawn_bounds(card.accuracy)}
        for card in cards
        if card.accuracy is not None
    ]
    y = alt.Y("candidate:N", sort=None, title=None)
    base = chart_of(rows).encode(y=y)
    x = alt.X("low:Q", title="accuracy in %", scale=alt.Scale(zero=False, nice=True))
    layers = [
        base.mark_rule(strokeWidth=3, opacity=0.55).encode(x=x, x2="high:Q", color=colour()),
        base.mark_point(filled=True, size=110, opacity=1).encode(
            x="value:Q", color=colour(), shape=shape()
        ),
        base.mark_text(align="left", dx=9).encode(
            x="high:Q", text=alt.Text("value:Q", format=".0f")
        ),
    ]
    target = quantity(decision.goal, "target")
    if target is not None:
        layers.append(mark_at(100 * target))
    return drawn(layers, len(rows) * 30, "Accuracy by candidate", _leader(cards), rows)


def _drawn_bounds(interval: Interval) -> dict[str, float]:
    """Return value and bounds out of 100; an unknown bound is drawn at the value."""
    return {
        name: 100 * interval.value if share is None else share
        for name, share in bounds_of(interval).items()
    }


def _leader(cards: Sequence[Scorecard]) -> str:
    """Name the most accurate candidate and how many intervals overlap its own."""
    first = cards[0]
    assert first.accuracy is not None
    best = f"{clean(first.candidate)} is the most accurate ({per_100(first.accuracy.value)} %)"
    overlapping = sum(
        (card.accuracy.high or 0.0) > (first.accuracy.low or 0.0)
        for card in cards[1:]
        if card.accuracy is not None
    )
    if not overlapping:
        return f"{best}; no other interval overlaps its own."
    return (
        f"{best}; its interval overlaps {plural(overlapping, 'other')}. The paired differences "
        "below compare them more precisely."
    )


def differences(decision: Decision) -> Figure | None:
    """Draw the planned paired differences against zero and the margin."""
    pairs = [p for p in decision.pairs if p.declared and p.difference.low is not None]
    if not pairs:
        return None
    margin = quantity(decision.goal, "margin") or 0.0
    clear = sum(p.difference.low > 0 or (p.difference.high or 0) < 0 for p in pairs)  # type: ignore[operator]
    caption = (
        "Right of the line the first of the two is better, left of it the second. "
        f"{clear} of {plural(len(pairs), 'range')} exclude zero. A range inside the shaded band "
        f"(± {per_100(margin)} points) would show that the two are practically equal."
    )
    named = [(f"{axis_name(p.a)} against {axis_name(p.b)}", p.difference) for p in pairs]
    return intervals(named, margin, "Paired differences", caption)


def intervals(
    named: Sequence[tuple[str, Interval]], margin: float, title: str, caption: str
) -> Figure:
    """Draw differences with their intervals against zero and the margin."""
    rows = [{"pair": axis_name(name), **_drawn_bounds(interval)} for name, interval in named]
    base = chart_of(rows).encode(y=alt.Y("pair:N", sort=None, title=None))
    x = alt.X("low:Q", title="points of accuracy")
    band = chart_of([{"from": -100 * margin, "to": 100 * margin}])
    layers = [
        band.mark_rect(color=INK, opacity=0.09).encode(x="from:Q", x2="to:Q"),
        mark_at(0.0, dash=False),
        base.mark_rule(strokeWidth=3, color=INK, opacity=0.5).encode(x=x, x2="high:Q"),
        base.mark_point(filled=True, size=90, color=INK, opacity=1).encode(x="value:Q"),
    ]
    return drawn(layers, len(rows) * 30, title, caption)


def price(decision: Decision) -> Figure | None:
    """Draw accuracy against the price of an answer, or against its time without prices."""
    priced = all(c.cost.usd_per_1k is not None for c in measured(decision))
    unit: Callable[[Scorecard], float | None] = (
        (lambda c: c.cost.usd_per_1k) if priced else (lambda c: c.cost.ms_per_item)
    )
    cards = [c for c in measured(decision) if (unit(c) or 0) > 0]
    if len(cards) < 2:
        return None
    least = 1e-6 if priced else 0.01
    rows = [
        {**candidate_facts(c), "x": max(unit(c) or 0.0, least), "value": 100 * c.accuracy.value}
        for c in cards
        if c.accuracy is not None
    ]
    title = "dollars for 1,000 answers" if priced else "milliseconds per answer"
    x = decades([float(str(row["x"])) for row in rows])
    y = shares([float(str(row["value"])) for row in rows])
    across = alt.Scale(type="log", domain=list(x), nice=False)
    base = chart_of(rows).encode(
        x=alt.X("x:Q", title=title, scale=across, axis=alt.Axis(grid=False, tickCount=4)),
        y=alt.Y("value:Q", title="accuracy in %", scale=alt.Scale(domain=list(y), nice=False)),
    )
    layers = [
        base.mark_point(filled=True, size=130, opacity=1).encode(color=colour(), shape=shape()),
        *mark_names(rows, x, y),
    ]
    on_edge = [c for c in cards if not any(_dominates(o, c, unit) for o in cards)]
    caption = (
        f"Up and to the left is better. No candidate is both {'cheaper' if priced else 'faster'} "
        f"and more accurate than {_or([clean(c.candidate) for c in on_edge])}."
    )
    return drawn(layers, 300, "Cost against accuracy", caption, rows, named=True)


def _dominates(a: Scorecard, b: Scorecard, unit: Callable[[Scorecard], float | None]) -> bool:
    assert a.accuracy is not None
    assert b.accuracy is not None
    return (unit(a) or 0) < (unit(b) or 0) and a.accuracy.value > b.accuracy.value


def _or(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def views(decision: Decision) -> Figure | None:
    """Draw the share of unchanged answers under each perturbation of the test rows."""
    cards = [card for card in trainable(decision) if len(card.stability.views) > 1]
    rows = [
        {**candidate_facts(card), "x": shorten(clean(view.view), 20), "value": 100 * view.agreement}
        for card in cards
        for view in card.stability.views
    ]
    if not rows:
        return None
    share, name, view = min(
        (v.agreement, clean(c.candidate), clean(v.view)) for c in cards for v in c.stability.views
    )
    caption = (
        f"The lowest point is the weakest: {name} keeps {per_100(share)} % of its answers under "
        f"{view}. The lower a point, the more answers change under that perturbation."
    )
    x = alt.X("x:N", sort=None, title=None, axis=alt.Axis(labelAngle=0))
    return plotted(rows, x, "Answers kept under perturbation", caption, "answers kept in %")


def new_label(decision: Decision) -> Figure | None:
    """Draw the recall of a withheld label, by the number of its examples added."""
    curves = [(c, c.stability.new_class) for c in trainable(decision) if c.stability.new_class]
    rows = [
        {**candidate_facts(card), "x": point.examples, **bounds_of(point.recall)}
        for card, new in curves
        for point in new.points
    ]
    ticks = sorted({point.examples for _, new in curves for point in new.points})
    if len(ticks) < 2:
        return None
    most = max(rows, key=lambda row: (row["x"], row["value"]))
    caption = (
        f"With {most['x']} examples, {most['candidate']} finds most rows of the new label "
        f"({float(str(most['value'])):.0f} %). A line that rises early means that few examples "
        "suffice."
    )
    x = alt.X(
        "x:Q",
        title="examples of the new label",
        scale=alt.Scale(type="symlog"),
        axis=alt.Axis(values=[float(tick) for tick in ticks], grid=False),
    )
    return plotted(rows, x, "A new label", caption, "recall in %")

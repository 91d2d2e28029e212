"""Charts of candidates and pairs, each with a sentence on what to see in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor

import altair as alt

from choose.formatting import clean, per_100
from choose.report.candidate_order import points_ahead, standings_of
from choose.report.decision_text import chosen
from choose.report.html.chart_style import (
    HEIGHT,
    INK,
    SIGNED,
    Figure,
    Palette,
    axis_name,
    bounds_of,
    chart_of,
    decades,
    drawn,
    mark_at,
    palette,
    powers,
    shape,
)
from choose.report.html.line_charts import drawable, few, plotted
from choose.report.html.name_placement import mark_names
from choose.report.screen_text import shorten
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard


def _drawn_bounds(interval: Interval) -> dict[str, float]:
    """Return value and bounds out of 100; an unknown bound is drawn at the value."""
    return {
        name: 100 * interval.value if share is None else share
        for name, share in bounds_of(interval).items()
    }


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
    """Draw the difference to the chosen candidate against the price of an answer, or its time."""
    gaps = {s.candidate: s for s in standings_of(decision)}
    cards = [c for c in drawable(decision) if c.candidate in gaps]
    priced = all(c.cost.usd_per_1k is not None for c in cards)
    unit: Callable[[Scorecard], float | None] = (
        (lambda c: c.cost.usd_per_1k) if priced else (lambda c: c.cost.ms_per_item)
    )
    cards = [c for c in cards if (unit(c) or 0) > 0]
    if len(cards) < 2:
        return None
    least, colours = 1e-6 if priced else 0.01, palette(decision.scorecards)
    ahead = {c.candidate: points_ahead(gaps[c.candidate]) for c in cards}
    rows: list[dict[str, object]] = [
        {
            **colours.facts(c.candidate, c.family),
            "x": max(unit(c) or 0.0, least),
            "value": ahead[c.candidate],
        }
        for c in cards
    ]
    edge = [c for c in cards if not any(_beats(o, c, unit, ahead) for o in cards)]
    caption = (
        f"Up and to the left is better; accuracy is against {clean(chosen(decision.verdict))} on "
        f"common rows. No candidate is both {'cheaper' if priced else 'faster'} and more accurate "
        f"than {_or([clean(c.candidate) for c in edge])}."
    )
    title = "dollars for 1,000 answers" if priced else "milliseconds per answer"
    return _scattered(rows, colours, title, caption)


def _scattered(
    rows: Sequence[dict[str, object]], colours: Palette, title: str, caption: str
) -> Figure:
    """Draw differences against a cost on a scale of logarithms, with names beside the marks."""
    x = decades([float(str(row["x"])) for row in rows])
    values = [float(str(row["value"])) for row in rows]
    y = min(values) - 2, max(values) + 2
    across = alt.Scale(type="log", domain=list(x), nice=False)
    down = alt.Scale(domain=list(y), nice=False)
    base = chart_of(rows).encode(
        x=alt.X("x:Q", title=title, scale=across, axis=alt.Axis(grid=False, values=powers(x))),
        y=alt.Y(
            "value:Q",
            title="points against the chosen one",
            scale=down,
            axis=alt.Axis(tickCount=5, labelExpr=SIGNED),
        ),
    )
    marks = base.mark_point(filled=True, size=130, opacity=1)
    layers = [
        marks.encode(color=colours.colours(), shape=shape()),
        *mark_names(rows, x, y),
    ]
    return drawn(layers, HEIGHT, "Cost against accuracy", caption, rows, named=True)


def _beats(
    a: Scorecard,
    b: Scorecard,
    unit: Callable[[Scorecard], float | None],
    ahead: Mapping[str, float],
) -> bool:
    return (unit(a) or 0) < (unit(b) or 0) and ahead[a.candidate] > ahead[b.candidate]


def _or(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def views(decision: Decision) -> Figure | None:
    """Draw the share of unchanged answers under each perturbation; these have no order."""
    cards = [card for card in drawable(decision) if card.stability.views]
    colours = palette(decision.scorecards)
    rows = [
        {
            **colours.facts(card.candidate, card.family),
            "view": shorten(clean(view.view), 20),
            "value": 100 * view.agreement,
        }
        for card in cards
        for view in card.stability.views
    ]
    if not rows:
        return None
    share, name, view = min(
        (v.agreement, clean(c.candidate), clean(v.view)) for c in cards for v in c.stability.views
    )
    caption = (
        f"{name} changes most answers, under {view}: it keeps {per_100(share)} %. A changed answer "
        "may have been wrong before; the table has the accuracy."
    )
    low = min(float(str(row["value"])) for row in rows)
    return dots(rows, colours, (5 * floor(low / 5 - 0.2), 100.0), "Typos and casing", caption)


def dots(
    rows: Sequence[dict[str, object]],
    colours: Palette,
    domain: tuple[float, float],
    title: str,
    caption: str,
) -> Figure:
    """Draw a row of marks for each category, and a row of names that says whose they are.

    Marks of one category are one below the other, so that none covers another.
    """
    keys = list(dict.fromkeys(str(row["key"]) for row in rows))
    across = alt.Scale(domain=list(domain), nice=False)
    base = chart_of(rows).encode(
        y=alt.Y("view:N", sort=None, title=None),
        yOffset=alt.YOffset("key:N", sort=keys),
        color=colours.colours(),
    )
    x = alt.X("value:Q", title="answers kept, in %", scale=across, axis=alt.Axis(tickCount=5))
    layers = [
        base.mark_point(filled=True, size=80, opacity=1).encode(x=x, shape=shape()),
        base.mark_text(align="right", dx=-9, fontSize=11).encode(x=x, text="candidate:N"),
    ]
    views = len({row["view"] for row in rows})
    return drawn(layers, views * (16 * len(keys) + 10), title, caption, rows)


def new_label(decision: Decision) -> Figure | None:
    """Draw the recall of a withheld label, by the number of its examples added."""
    curves = [(c, c.stability.new_class) for c in drawable(decision) if c.stability.new_class]
    colours = palette(decision.scorecards)
    rows = [
        {
            **colours.facts(card.candidate, card.family),
            "x": point.examples,
            **bounds_of(point.recall),
        }
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
        axis=alt.Axis(values=few(ticks), grid=False),
    )
    return plotted(rows, colours, x, "A new label", caption, "rows found, in %")

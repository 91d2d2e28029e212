"""Charts of candidates and pairs, each with a sentence on what to see in it; names beside marks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import log10
from typing import Literal, NamedTuple

import altair as alt

from choose.formatting import clean, number
from choose.report.candidate_order import points_ahead, rows_in, rows_noted, standings
from choose.report.decision_text import chosen, score_head, words_in
from choose.report.html.chart_style import (
    HEIGHT,
    INK,
    LINE,
    SIGNED,
    Figure,
    Palette,
    axis_name,
    bounds_of,
    chart_of,
    decades,
    draw_figure,
    largest_change,
    mark_at,
    palette,
    powers,
    room_for,
    shape,
)
from choose.report.html.line_charts import drawable, few, plotted
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


def price(decision: Decision) -> Figure | None:
    """Draw the difference to the chosen candidate against the price of an answer, or its time."""
    gaps = {s.candidate: s for s in standings(decision)}
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
    word = words_in(decision)
    better = "more accurate" if decision.dataset.labels else "better"
    caption = (
        f"Up and to the left is better; {word.score} is against "
        f"{clean(chosen(decision.verdict))} on common rows. No candidate is both "
        f"{'cheaper' if priced else 'faster'} and {better} than "
        f"{_or([clean(c.candidate) for c in edge])}."
    )
    title = "dollars for 1,000 answers" if priced else "milliseconds per answer"
    return _scattered(rows, colours, title, f"Cost against {word.score}", caption)


def _scattered(
    rows: Sequence[dict[str, object]], colours: Palette, cost: str, title: str, caption: str
) -> Figure:
    """Draw differences against a cost on a scale of logarithms, with names beside the marks."""
    x = decades([float(str(row["x"])) for row in rows])
    values = [float(str(row["value"])) for row in rows]
    y = min(values) - 2, max(values) + 2
    across = alt.Scale(type="log", domain=list(x), nice=False)
    down = alt.Scale(domain=list(y), nice=False)
    base = chart_of(rows).encode(
        x=alt.X("x:Q", title=cost, scale=across, axis=alt.Axis(grid=False, values=powers(x))),
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
    return draw_figure(layers, HEIGHT, title, caption, rows, named=True)


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
    """Draw what each perturbation of the test rows changes, a row each: they have no order.

    Points of accuracy on the same rows; for records of earlier versions the share of answers kept.
    """
    cards = [card for card in drawable(decision) if card.stability.views]
    colours = palette(decision.scorecards)
    changes = all(view.change for card in cards for view in card.stability.views)
    rows: list[dict[str, object]] = [
        {
            **colours.facts(card.candidate, card.family),
            "view": shorten(clean(view.view), 20),
            **(bounds_of(view.change) if view.change and changes else {}),
            **({} if changes else {"value": 100 * view.agreement}),
        }
        for card in cards
        for view in card.stability.views
    ]
    if not rows:
        return None
    worst = min(rows, key=lambda row: float(str(row["value"])))
    lowest = float(str(worst["value"]))
    caption = (
        f"{largest_change(rows)} points of {words_in(decision).score} on the same rows. "
        f"{rows_noted(decision, {c.candidate: _rows_of_views(c) for c in cards})}".rstrip()
        if changes
        else f"{worst['candidate']} changes most answers, under {worst['view']}: it keeps "
        f"{number(lowest)} %. A changed answer may have been wrong before."
    )
    share = f"points of {words_in(decision).score}" if changes else "answers kept, in %"
    return _dots(rows, colours, "Typos, casing and spacing", caption, share)


def _rows_of_views(card: Scorecard) -> str | None:
    changes = [view.change for view in card.stability.views if view.change]
    return min((c.row_set for c in changes if c.row_set), key=rows_in, default=None)


def _dots(
    rows: Sequence[dict[str, object]], colours: Palette, title: str, caption: str, share: str
) -> Figure:
    """Draw a group of rows for each category, a mark with its range and its name in each."""
    keys = list(dict.fromkeys(str(row["key"]) for row in rows))
    ends = [row.get(key) for row in rows for key in ("value", "low", "high")]
    values = [float(str(value)) for value in ends if value is not None]
    room = max((max(values) - min(values)) / 4, 2.0)
    across = alt.Scale(domain=[min(values) - room, max(values) + room / 4], nice=False)
    signed = alt.Undefined if share.endswith("%") else SIGNED
    axis = alt.Axis(tickCount=5, labelExpr=signed)
    base = chart_of(rows).encode(
        y=alt.Y("view:N", sort=None, title=None), yOffset=alt.YOffset("key:N", sort=keys)
    )
    x = alt.X("value:Q", title=share, scale=across, axis=axis)
    known = any(row.get("low") is not None for row in rows)
    ranges = base.mark_rule(strokeWidth=2, opacity=0.55).encode(
        x=alt.X("low:Q"), x2=alt.X2("high:Q"), color=colours.colours()
    )
    names = base.transform_calculate(start="isValid(datum.low) ? datum.low : datum.value")
    layers = [
        *([] if share.endswith("%") else [mark_at(0.0, dash=False)]),
        *([ranges] if known else []),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            x=x, shape=shape(), color=colours.colours()
        ),
        names.mark_text(align="right", dx=-9, fontSize=11).encode(
            x=alt.X("start:Q"), text=alt.Text("candidate:N")
        ),
    ]
    views = len({row["view"] for row in rows})
    return draw_figure(layers, views * (16 * len(keys) + 10), title, caption, rows)


def new_label(decision: Decision) -> Figure | None:
    """Draw the recall of a withheld label, or the score of rows that fill a withheld field."""
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
    value, word = float(str(most["value"])), words_in(decision)
    best = (
        f"finds most rows of the new label ({value:.0f} %)"
        if decision.dataset.labels
        else f"is best on rows that {'fill' if word.new == 'field' else 'have'} the new {word.new} "
        f"({score_head(decision.goal)}: {value:.0f})"
    )
    caption = (
        f"With {most['x']} examples, {most['candidate']} {best}. A line that rises early means "
        "that few examples suffice."
    )
    x = alt.X(
        "x:Q",
        title=f"examples of the new {word.new}",
        scale=alt.Scale(type="symlog"),
        axis=alt.Axis(values=few(ticks), grid=False),
    )
    share = "rows found, in %" if decision.dataset.labels else score_head(decision.goal)
    return plotted(rows, colours, x, f"A new {word.new}", caption, share)


# Pixels: the smallest drawing's plot, half a mark, a letter's width.
PLOT = (230.0, float(HEIGHT))
MARK, LETTER = 7.0, 6.6

# Places of a name next to its mark, the best first: alignment, shift right, shift down.
PLACES: Mapping[str, tuple[Literal["left", "center", "right"], int, int]] = {
    "right": ("left", 9, 0),
    "left": ("right", -9, 0),
    "above": ("center", 0, -13),
    "below": ("center", 0, 14),
}


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Return whether two rectangles overlap."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def mark_names(
    rows: Sequence[Mapping[str, object]], x: tuple[float, float], y: tuple[float, float]
) -> Iterator[alt.Chart]:
    """Yield a layer of names for each place that is used; `x` is on a scale of logarithms."""
    marks = [_mark(row, x, y) for row in rows]
    taken = list(marks)
    placed: dict[str, list[Mapping[str, object]]] = {}
    edge = PLOT[0] + room_for([str(row["candidate"]) for row in rows])
    for row, mark in zip(rows, marks, strict=True):
        boxes = {place: _name(str(row["candidate"]), mark, place) for place in PLACES}
        others = [box for box in taken if box is not mark]
        clear = (p for p, box in boxes.items() if not any(map(box.overlaps, others)))
        free = [place for place in clear if _inside(boxes[place], edge)]
        place = free[0] if free else "right"
        taken.append(boxes[place])
        placed.setdefault(place, []).append(row)
    for place, members in placed.items():
        align, dx, dy = PLACES[place]
        text = chart_of(members).mark_text(align=align, dx=dx, dy=dy)
        yield text.encode(x=alt.X("x:Q"), y=alt.Y("value:Q"), text=alt.Text("candidate:N"))


def _mark(row: Mapping[str, object], x: tuple[float, float], y: tuple[float, float]) -> Box:
    across = log10(float(str(row["x"])) / x[0]) / log10(x[1] / x[0]) * PLOT[0]
    down = (y[1] - float(str(row["value"]))) / (y[1] - y[0]) * PLOT[1]
    return Box(across - MARK, down - MARK, across + MARK, down + MARK)


def _name(name: str, mark: Box, place: str) -> Box:
    align, dx, dy = PLACES[place]
    middle, down = (mark.left + mark.right) / 2 + dx, (mark.top + mark.bottom) / 2 + dy
    width = LETTER * len(name)
    left = middle - {"left": 0.0, "center": width / 2, "right": width}[align]
    return Box(left, down - LINE / 2, left + width, down + LINE / 2)


def _inside(box: Box, edge: float) -> bool:
    """Return whether a name stays on the drawing, which extends to the right of its axes."""
    return box.left > 0 and box.top > -10 and box.right < edge

"""The chart of the first screen: every candidate against the chosen one, on common rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import altair as alt

from choose.formatting import clean, difference, figure, listed, points
from choose.report.candidate_order import BEHIND, contending, points_ahead, standings, titles
from choose.report.decision_text import quantity, score_noun, words_in
from choose.report.html.chart_style import (
    INK,
    SIGNED,
    Figure,
    Palette,
    chart_of,
    families_of,
    joined,
    layered,
    palette,
    shape,
    svg,
)
from choose.report.screen_text import shorten
from choose.schema.decision import Decision
from choose.schema.score_names import right
from choose.schema.standings import Standing

# Points to each side of the chosen candidate that are drawn at least, and at most.
LEAST, MOST = 5.0, 35.0


class Column(NamedTuple):
    """A column of text: the row's field, the head, the anchor, and pixels below the row's top."""

    field: str
    head: str
    at: int
    down: int
    align: Literal["left", "right"] = "right"
    letters: int = 99


class Layout(NamedTuple):
    """Pixels of the chart: its width, a row's height, where the plot lies in it, and the columns.

    `plot` holds its left and right end, `middle` where its marks are in a row, `reach` how far the
    lines behind the marks go up and down from there.
    """

    width: int
    row: int
    plot: tuple[int, int]
    middle: int
    reach: int
    columns: tuple[Column, ...]


WIDE = Layout(
    1040,
    29,
    (340, 640),
    15,
    15,
    (
        Column("title", "", 24, 15, "left", 54),
        Column("told", "points (95 % range)", 822, 15),
        Column("rows", "rows", 920, 15),
        Column("ms", "ms per answer", 1032, 15),
    ),
)
NARROW = Layout(
    350,
    64,
    (8, 342),
    50,
    10,
    (
        Column("title", "", 20, 14, "left", 46),
        Column("close", "", 20, 32, "left"),
        Column("brief", "", 344, 32),
    ),
)

# Where the sign of the family is.
SIGN = 10

# Pixels of a letter at most, as a browser sets bold text of this size, and those left free between
# a text and what comes before it.
LETTER, FREE = 7.4, 16

# Room for the heads above and for the axis below.
PADDING = {"left": 2, "right": 2, "top": 24, "bottom": 26}


def standings_chart(decision: Decision) -> Figure | None:
    """Draw each candidate's difference to the chosen one, with rows, time and price beside it."""
    placed = [s for s in standings(decision) if s.chosen or s.difference is not None]
    if not placed:
        return None
    domain = _domain(decision, placed)
    names, colours = titles(decision), palette(decision.scorecards)
    noun = score_noun(decision.goal)
    rows = [
        {
            **colours.facts(s.candidate, s.family),
            "title": names[s.candidate],
            **_row(s, domain, noun),
        }
        for s in placed
    ]
    for row in rows:
        row["rows"] = told = _answered(row, rows, decision.dataset.test_rows)
        row["brief"] = f"{told}{'' if ' of ' in told else ' rows'} · {row['ms']} ms"
        row["close"] = _beside(str(row["told"]), str(row["brief"]), noun)
    pick = next((clean(s.candidate) for s in placed if s.chosen), "")
    caption, title = _caption(decision, placed, rows), words_in(decision).title
    margin = min(100 * (quantity(decision.goal, "margin") or 0.0), domain[1])
    drawings = [
        svg(
            layered(
                [*_plot(rows, domain, margin, colours, layout), *_texts(rows, layout)],
                width=layout.width,
                height=layout.row * len(rows),
                padding=PADDING,
            ),
            f"{title} of each candidate minus that of {pick}, on common rows. {caption}",
            kind,
            fit=False,
        )
        for kind, layout in (("wide", _roomy(_priced(WIDE, placed), rows)), ("narrow", NARROW))
    ]
    return Figure(joined(drawings), caption, families_of(rows))


def _priced(layout: Layout, placed: Sequence[Standing]) -> Layout:
    """Return the layout with dollars in place of milliseconds where there are prices."""
    if all(s.usd_per_1k is None for s in placed):
        return layout
    last = layout.columns[-1]._replace(field="usd", head="$ per 1,000")
    return layout._replace(columns=(*layout.columns[:-1], last))


def _roomy(layout: Layout, rows: Sequence[dict[str, object]]) -> Layout:
    """Return the layout with room for the longest name, figure and number of rows.

    The chosen candidate's figure is the longest, and where all others are far behind it, its mark
    is at the right end of the plot.
    """
    named = layout.columns[0]
    name = max(min(len(str(row["title"])), named.letters) for row in rows)
    start = max(layout.plot[0], round(named.at + LETTER * name))
    beside = max(len(str(row.get("rows", ""))) for row in rows)
    room = layout.columns[2].at - round(LETTER * beside) - FREE
    told = layout.columns[1]._replace(at=min(layout.columns[1].at, room))
    longest = max(len(str(row["told"])) for row in rows)
    end = min(layout.plot[1], round(told.at - LETTER * longest) - FREE)
    columns = (named, told, *layout.columns[2:])
    return layout._replace(plot=(start, end), columns=columns)


def _beside(told: str, brief: str, noun: str) -> str:
    """Return a figure as it fits beside the rows and the time of a narrow chart."""
    figure, rest = (next(c for c in NARROW.columns if c.field == f) for f in ("close", "brief"))
    fits = LETTER * (len(told) + len(brief)) + FREE <= rest.at - figure.at
    return told if fits else told.replace(f" {noun}", "", 1)


def _domain(decision: Decision, placed: Sequence[Standing]) -> tuple[float, float]:
    """Return the points that the axis spans: the contenders with their intervals, and zero.

    Where no candidate is near the chosen one, all of them are on the axis.
    """
    near = contending(decision)
    shown = [s for s in placed if s.candidate in near]
    far = all(s.chosen or points_ahead(s) <= -BEHIND for s in shown)
    gaps = [s.difference for s in (placed if far else shown) if s.difference]
    margin = 100 * (quantity(decision.goal, "margin") or 0.0)
    lows = [100 * (gap.value if gap.low is None else gap.low) for gap in gaps]
    highs = [100 * (gap.value if gap.high is None else gap.high) for gap in gaps]
    low, high = min([*lows, -LEAST, -margin]), max([*highs, LEAST, margin])
    return (low if far else max(low, -MOST)) - 1, min(high, MOST) + 1


def _row(standing: Standing, domain: tuple[float, float], noun: str) -> dict[str, object]:
    """Return the mark and the texts of a candidate; what is outside the axis is at its edge."""
    gap, value = standing.difference, points_ahead(standing)
    low = 100 * gap.low if gap and gap.low is not None else value
    high = 100 * gap.high if gap and gap.high is not None else value
    told = difference(gap)
    if standing.chosen and standing.accuracy:
        told = right(standing.accuracy, noun)
    return {
        "chosen": standing.chosen,
        "value": max(value, domain[0]),
        "inside": value >= domain[0],
        "low": max(low, domain[0]),
        "high": max(min(high, domain[1]), domain[0]),
        "cut": low < domain[0],
        "told": told,
        "common": standing.common,
        "ms": figure(standing.ms_per_answer),
        "usd": figure(standing.usd_per_1k),
    }


def _answered(row: dict[str, object], rows: Sequence[dict[str, object]], total: int) -> str:
    """Return ``602``, or ``121 of 602``; note which are compared on fewer rows than the chosen."""
    common = int(str(row["common"]))
    whole = next((int(str(r["common"])) for r in rows if r["chosen"]), common)
    row["part"], of = common < whole, max(whole, total)
    return f"{common:,} of {of:,}" if common < of else f"{common:,}"


def _plot(
    rows: Sequence[dict[str, object]],
    domain: tuple[float, float],
    margin: float,
    colours: Palette,
    layout: Layout,
) -> Iterator[alt.Chart]:
    """Yield the layers of the plot: the chosen row, the margin, zero, intervals, marks, arrows."""
    height = layout.row * len(rows)
    across = alt.Scale(domain=list(domain), range=list(layout.plot), nice=False)
    whole = layout.reach == layout.middle
    axis = alt.Axis(tickCount=5, title=None, domain=False, grid=whole, labelExpr=SIGNED)
    x = {field: alt.X(f"{field}:Q", scale=across, axis=axis) for field in ("low", "value", "zero")}
    centres = [layout.row * place + layout.middle for place in range(len(rows))]
    top = next((layout.row * i for i, row in enumerate(rows) if row["chosen"]), 0)
    yield (
        chart_of([{}])
        .mark_rect(color=INK, opacity=0.07, cornerRadius=4)
        .encode(**_pixels(x=0, x2=layout.width, y=top, y2=top + layout.row))
    )
    spans = [(0, height)] if whole else [(c - layout.reach, c + layout.reach) for c in centres]
    band = {"low": -margin, "high": margin, "zero": 0}
    behind = [{**band, "top": top, "bottom": bottom} for top, bottom in spans]
    ends = {"y": _down(height, "top"), "y2": alt.Y2("bottom:Q")}
    base = chart_of(behind)
    yield base.mark_rect(color=INK, opacity=0.08).encode(x=x["low"], x2=alt.X2("high:Q"), **ends)
    yield base.mark_rule(color=INK, opacity=0.7).encode(x=x["zero"], **ends)
    placed = [{**row, "y": centre} for row, centre in zip(rows, centres, strict=True)]
    yield from _marks(placed, x, domain[0], _down(height, "y"), colours)
    names = layout.columns[0].down - layout.middle
    signs = chart_of([{**row, "y": c + names} for row, c in zip(rows, centres, strict=True)])
    yield signs.mark_point(filled=True, size=80, opacity=1).encode(
        **_pixels(x=SIGN), y=_down(height, "y"), color=colours.colours(), shape=shape()
    )


_VALUES: Mapping[str, Callable[[float], Any]] = {
    "x": alt.XValue,
    "x2": alt.X2Value,
    "y": alt.YValue,
    "y2": alt.Y2Value,
}


def _pixels(**places: float) -> dict[str, Any]:
    """Encode places; to make sense of an `alt.value` altair would read its whole schema."""
    return {channel: _VALUES[channel](place) for channel, place in places.items()}


def _down(height: int, field: str) -> alt.Y:
    """Encode pixels from the top."""
    scale = alt.Scale(domain=[0, height], range=[0, height], nice=False)
    return alt.Y(f"{field}:Q", scale=scale, axis=None)


def _marks(
    placed: Sequence[dict[str, object]],
    x: Mapping[str, alt.X],
    edge: float,
    y: alt.Y,
    colours: Palette,
) -> Iterator[alt.Chart]:
    """Yield intervals, marks (hollow on fewer rows) and arrows at the left edge."""
    colour = colours.colours()
    rules = chart_of([row for row in placed if row["low"] != row["high"]])
    yield rules.mark_rule(strokeWidth=3, opacity=0.6).encode(
        x=x["low"], x2=alt.X2("high:Q"), y=y, color=colour
    )
    for part, look in (
        (False, {"filled": True}),
        (True, {"filled": False, "fill": "var(--paper)"}),
    ):
        marks = chart_of([row for row in placed if row["inside"] and row["part"] == part])
        yield marks.mark_point(size=110, opacity=1, strokeWidth=2, **look).encode(
            x=x["value"], y=y, color=colour, shape=shape()
        )
    arrows = chart_of([{**row, "value": edge} for row in placed if row["cut"]])
    yield arrows.mark_point(shape="triangle-left", filled=True, size=90, opacity=1).encode(
        x=x["value"], y=y, color=colour
    )


def _texts(rows: Sequence[dict[str, object]], layout: Layout) -> Iterator[alt.Chart]:
    """Yield the layers of text, the chosen candidate's in bold, and the heads of the columns."""
    y = _down(layout.row * len(rows), "y")
    for column in layout.columns:
        for picked in (True, False):
            said = [
                {
                    "text": shorten(clean(row[column.field]), column.letters),
                    "y": layout.row * place + column.down,
                }
                for place, row in enumerate(rows)
                if row["chosen"] == picked
            ]
            weight: Literal["bold", "normal"] = "bold" if picked else "normal"
            text = chart_of(said).mark_text(align=column.align, fontWeight=weight, fontSize=13)
            yield text.encode(**_pixels(x=column.at), y=y, text=alt.Text("text:N"))
        if column.head:
            yield (
                chart_of([{"text": column.head}])
                .mark_text(align=column.align, opacity=0.75)
                .encode(**_pixels(x=column.at, y=-12), text=alt.Text("text:N"))
            )


def _caption(
    decision: Decision, placed: Sequence[Standing], rows: Sequence[dict[str, object]]
) -> str:
    """Say how to read the chart, and which candidates are not in it."""
    pick = next((clean(s.candidate) for s in placed if s.chosen), "the chosen candidate")
    margin = quantity(decision.goal, "margin")
    parts = [
        f"Points against {pick} on the same rows: right of the line is better; bars show the "
        "likely range (95 %)."
    ]
    if margin:
        parts.append(f"Shaded: less than the margin of {points(margin)}.")
    if any(row["part"] for row in rows):
        parts.append("Hollow: compared on fewer rows.")
    if any(not row["inside"] for row in rows):
        parts.append("Arrow: beyond the left edge.")
    others = [s for s in standings(decision) if s not in placed]
    for said, measured in (("Not measured", False), ("Not compared with it", True)):
        names = [clean(s.candidate) for s in others if (s.accuracy is not None) is measured]
        if names:
            parts.append(f"{said}: {listed(names)}.")
    return " ".join(parts)

"""Charts of accuracy along an axis: the labels learnt from, the share of wrong labels."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from choose.judge.record import Decision, Scorecard
from choose.report.html.figures import (
    Figure,
    chart_of,
    drawn,
    out_of_100,
    ranked,
    who,
)
from choose.report.html.theme import colour, dash, shape
from choose.report.safe import clean
from choose.report.words import change, points


def curves(decision: Decision) -> Figure | None:
    """Draw accuracy by number of labels."""
    cards = [c for c in learning(decision) if len(c.curve) > 1]
    if not cards:
        return None
    rows = [
        {
            **who(card),
            "x": point.labels,
            "value": 100 * point.value,
            "low": out_of_100(point.low),
            "high": out_of_100(point.high),
        }
        for card in cards
        for point in card.curve
    ]
    sizes = sorted({point.labels for card in cards for point in card.curve})
    x = alt.X(
        "x:Q",
        title="labels learnt from",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(values=sizes, grid=False),
    )
    rises = {c.candidate: c.curve[-1].value - c.curve[-2].value for c in cards}
    steepest = max(rises, key=lambda name: rises[name])
    last = next(c for c in cards if c.candidate == steepest).curve[-2:]
    step = f"etween {last[0].labels:,} and {last[1].labels:,} labels"
    moved = (
        f"B{step} {clean(steepest)} still rose most: {points(rises[steepest])} points."
        if rises[steepest] >= 0.0005
        else f"Nothing rose any more b{step}."
    )
    caption = f"{moved} A line that still rises at its right end asks for more labels."
    return plotted(rows, x, "Accuracy by number of labels", caption)


def noise(decision: Decision) -> Figure | None:
    """Draw accuracy by share of labels made wrong on purpose."""
    cards = [c for c in learning(decision) if len(c.noise.curve) > 1]
    if not cards:
        return None
    rows = [
        {
            **who(card),
            "x": 100 * point.rate,
            "value": 100 * point.accuracy.value,
            "low": out_of_100(point.accuracy.low),
            "high": out_of_100(point.accuracy.high),
        }
        for card in cards
        for point in card.noise.curve
    ]
    ticks = sorted({100 * point.rate for card in cards for point in card.noise.curve})
    x = alt.X("x:Q", title="% of the labels made wrong", axis=alt.Axis(values=ticks, grid=False))
    slopes = {c.candidate: c.noise.slope for c in cards if c.noise.slope}
    if slopes:
        worst = min(slopes, key=lambda name: slopes[name].value)
        caption = (
            f"{clean(worst)} suffers most: {change(slopes[worst])} points for each further 10 % of "
            "wrong labels. The set's own wrong labels come on top and are not counted here."
        )
    else:
        caption = "A line that falls steeply needs clean labels."
    return plotted(rows, x, "Accuracy under added label noise", caption)


def plotted(
    rows: list[dict[str, object]],
    x: alt.X,
    title: str,
    caption: str,
    share: str = "right of 100",
) -> Figure:
    """Draw one line a candidate, with its band where `low` and `high` are known."""
    scale = alt.Scale(domain=list(_ends(rows)), nice=False)
    y = alt.Y("value:Q", title=share, scale=scale)
    base = chart_of(rows).encode(x=x)
    ends = chart_of(_last_of_each(rows)).encode(x=x)
    band = base.mark_area(opacity=0.13).encode(
        y=alt.Y("low:Q"), y2="high:Q", color=colour(), detail="candidate:N"
    )
    layers = [
        *([band] if any(row.get("low") is not None for row in rows) else []),
        base.mark_line(strokeWidth=2).encode(y=y, color=colour(), strokeDash=dash()),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            y=y, color=colour(), shape=shape(), detail="candidate:N"
        ),
        ends.mark_text(align="left", dx=9).encode(y=alt.Y("shown:Q"), text="candidate:N"),
    ]
    return drawn(layers, 320, title, caption, rows, beside=True)


def _last_of_each(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return the right end of each line, its label moved where it would cover another."""
    ends = list({row["candidate"]: row for row in rows}.values())
    ends.sort(key=lambda row: -float(str(row["value"])))
    lowest, highest = _ends(rows)
    gap = (highest - lowest) / 16
    shown, above = [], float("inf")
    for row in ends:
        above = min(float(str(row["value"])), above - gap)
        shown.append({**row, "shown": above})
    return shown


def _ends(rows: Sequence[dict[str, object]]) -> tuple[float, float]:
    """Return the ends of an axis out of 100 that leaves room for a name below the lowest line."""
    heights = [row.get(key) for row in rows for key in ("value", "low", "high")]
    values = [float(str(value)) for value in heights if value is not None]
    room = (max(values) - min(values) or 10.0) / 12
    return max(0.0, min(values) - room), min(100.0, max(values) + room / 4)


def learning(decision: Decision) -> list[Scorecard]:
    """Return the candidates whose lines can move; a flat one would only squeeze the others."""
    return [card for card in ranked(decision) if card.strategy != "majority"]

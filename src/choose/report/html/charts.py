"""The charts of the report, each with the one sentence that says what to see in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import altair as alt
from markupsafe import Markup

from choose.judge.record import Decision, Scorecard
from choose.report.html.theme import INK, WIDTH, colour, dash, shape, svg
from choose.report.safe import clean, shorten
from choose.report.words import change, number, plural, points, quantity

NAME = 28


@dataclass(frozen=True)
class Figure:
    """A drawn chart with its caption."""

    drawing: Markup
    caption: str


def accuracy(decision: Decision) -> Figure | None:
    """Draw what each candidate got right, with its interval."""
    cards = _ranked(decision)
    if not cards:
        return None
    rows = [
        {
            **_who(card),
            "value": 100 * card.accuracy.value,
            "low": 100 * (card.accuracy.low if card.accuracy.low is not None else value),
            "high": 100 * (card.accuracy.high if card.accuracy.high is not None else value),
        }
        for card in cards
        if card.accuracy is not None
        for value in [card.accuracy.value]
    ]
    y = alt.Y("candidate:N", sort=None, title=None)
    base = _chart(rows).encode(y=y)
    x = alt.X("low:Q", title="right of 100", scale=alt.Scale(zero=False, nice=True))
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
        layers.append(_mark_at(100 * target))
    first = cards[0]
    assert first.accuracy is not None
    best = f"{clean(first.candidate)} got most right, {number(first.accuracy.value)} of 100"
    second = [c for c in cards[1:] if _touching(c, first)]
    touching = (
        f"; its range overlaps that of {plural(len(second), 'other')}, so look at the paired "
        "differences before believing the order."
        if second
        else "; no other range reaches its own."
    )
    return _figure(layers, len(rows) * 30, "Accuracy by candidate", best + touching)


def differences(decision: Decision) -> Figure | None:
    """Draw the declared paired differences against zero and the margin."""
    pairs = [p for p in decision.pairs if p.declared and p.difference.low is not None]
    if not pairs:
        return None
    rows = [
        {
            "pair": f"{_short(p.a)} against {_short(p.b)}",
            "value": 100 * p.difference.value,
            "low": 100 * (p.difference.low or 0.0),
            "high": 100 * (p.difference.high or 0.0),
        }
        for p in pairs
    ]
    base = _chart(rows).encode(y=alt.Y("pair:N", sort=None, title=None))
    x = alt.X("low:Q", title="points of accuracy more (right) or less (left)")
    margin = 100 * (quantity(decision.goal, "margin") or 0.0)
    band = _chart([{"from": -margin, "to": margin}])
    layers = [
        band.mark_rect(color=INK, opacity=0.09).encode(x="from:Q", x2="to:Q"),
        _mark_at(0.0, dash=False),
        base.mark_rule(strokeWidth=3, color=INK, opacity=0.5).encode(x=x, x2="high:Q"),
        base.mark_point(filled=True, size=90, color=INK, opacity=1).encode(x="value:Q"),
    ]
    clear = sum(p.difference.low > 0 or (p.difference.high or 0) < 0 for p in pairs)  # type: ignore[operator]
    caption = (
        f"{clear} of {len(pairs)} ranges stay clear of zero; a range wholly inside the shaded "
        f"band (± {number(margin / 100)} points) would show that the two are as good as equal."
    )
    return _figure(layers, len(rows) * 30, "Paired differences", caption)


def curves(decision: Decision) -> Figure | None:
    """Draw accuracy by number of labels."""
    cards = [c for c in _learning(decision) if len(c.curve) > 1]
    if not cards:
        return None
    rows = [
        {
            **_who(card),
            "x": point.labels,
            "value": 100 * point.value,
            "low": _times(100, point.low),
            "high": _times(100, point.high),
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
    caption = (
        f"Between {last[0].labels:,} and {last[1].labels:,} labels {clean(steepest)} still moved "
        f"most: {points(rises[steepest])} points. A line that still rises at its right end asks "
        "for more labels."
    )
    return _lines(rows, x, "Accuracy by number of labels", caption)


def noise(decision: Decision) -> Figure | None:
    """Draw accuracy by share of labels made wrong on purpose."""
    cards = [c for c in _learning(decision) if len(c.noise.curve) > 1]
    if not cards:
        return None
    rows = [
        {
            **_who(card),
            "x": 100 * point.rate,
            "value": 100 * point.accuracy.value,
            "low": _times(100, point.accuracy.low),
            "high": _times(100, point.accuracy.high),
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
    return _lines(rows, x, "Accuracy under added label noise", caption)


def price(decision: Decision) -> Figure | None:
    """Draw what an answer costs against what it is worth in accuracy."""
    priced = all(c.cost.usd_per_1k is not None for c in _ranked(decision))
    unit: Callable[[Scorecard], float | None] = (
        (lambda c: c.cost.usd_per_1k) if priced else (lambda c: c.cost.ms_per_item)
    )
    cards = [c for c in _ranked(decision) if (unit(c) or 0) > 0]
    if len(cards) < 2:
        return None
    rows = [
        {**_who(c), "x": max(unit(c) or 0.0, 0.01), "value": 100 * c.accuracy.value}
        for c in cards
        if c.accuracy is not None
    ]
    title = "dollars for 1,000 answers" if priced else "milliseconds an answer"
    base = _chart(rows).encode(
        x=alt.X("x:Q", title=title, scale=alt.Scale(type="log")),
        y=alt.Y("value:Q", title="right of 100", scale=alt.Scale(zero=False, padding=18)),
    )
    layers = [
        base.mark_point(filled=True, size=130, opacity=1).encode(color=colour(), shape=shape()),
        _chart(_apart(rows))
        .mark_text(align="left", dx=9)
        .encode(x=alt.X("x:Q"), y=alt.Y("shown:Q"), text="candidate:N"),
    ]
    on_edge = [c for c in cards if not any(_dominates(o, c, unit) for o in cards)]
    caption = (
        f"Up and to the left is better. Nobody is both cheaper and more accurate than "
        f"{' or '.join(clean(c.candidate) for c in on_edge)}."
    )
    return _figure(layers, 260, "Cost against accuracy", caption)


def _dominates(a: Scorecard, b: Scorecard, unit: Callable[[Scorecard], float | None]) -> bool:
    assert a.accuracy is not None
    assert b.accuracy is not None
    return (unit(a) or 0) < (unit(b) or 0) and a.accuracy.value > b.accuracy.value


def _lines(rows: list[dict[str, object]], x: alt.X, title: str, caption: str) -> Figure:
    y = alt.Y("value:Q", title="right of 100", scale=alt.Scale(zero=False))
    base = _chart(rows).encode(x=x)
    ends = _chart(_last_of_each(rows)).encode(x=x)
    layers = [
        base.mark_area(opacity=0.13).encode(
            y=alt.Y("low:Q"), y2="high:Q", color=colour(), detail="candidate:N"
        ),
        base.mark_line(strokeWidth=2).encode(y=y, color=colour(), strokeDash=dash()),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            y=y, color=colour(), shape=shape(), detail="candidate:N"
        ),
        ends.mark_text(align="left", dx=9).encode(y=alt.Y("shown:Q"), text="candidate:N"),
    ]
    return _figure(layers, 280, title, caption)


def _apart(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Move a name down where another, of nearly the same cost, would cover it."""
    values = [float(str(row["value"])) for row in rows]
    gap = (max(values) - min(values) or 1.0) / 14
    placed: list[dict[str, object]] = []
    for row in sorted(rows, key=lambda row: -float(str(row["value"]))):
        shown = float(str(row["value"]))
        for other in placed:
            near = 0.25 < float(str(other["x"])) / float(str(row["x"])) < 4
            if near and float(str(other["shown"])) - shown < gap:
                shown = float(str(other["shown"])) - gap
        placed.append({**row, "shown": shown})
    return placed


def _last_of_each(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return the right end of each line, its label moved where it would cover another."""
    ends = list({row["candidate"]: row for row in rows}.values())
    ends.sort(key=lambda row: -float(str(row["value"])))
    values = [float(str(row["value"])) for row in rows]
    gap = (max(values) - min(values) or 1.0) / 17
    shown, above = [], float("inf")
    for row in ends:
        above = min(float(str(row["value"])), above - gap)
        shown.append({**row, "shown": above})
    return shown


def _mark_at(x: float, dash: bool = True) -> alt.Chart:
    rule = _chart([{"at": x}]).mark_rule(color=INK, strokeDash=[4, 4] if dash else [1, 0])
    marked: alt.Chart = rule.encode(x="at:Q")
    return marked


def _chart(rows: Sequence[Mapping[str, object]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def _figure(layers: Sequence[alt.Chart], height: int, title: str, caption: str) -> Figure:
    # A reader's font may be wider than the one the drawing was measured with.
    room = {"left": 34, "right": 34, "top": 5, "bottom": 5}
    sized = alt.LayerChart(layer=list(layers)).properties(
        width=WIDTH, height=max(height, 60), padding=room
    )
    return Figure(svg(sized, f"{title}. {caption}"), caption)


def _ranked(decision: Decision) -> list[Scorecard]:
    known = [card for card in decision.scorecards if card.accuracy is not None]
    return sorted(known, key=lambda card: -card.accuracy.value if card.accuracy else 0.0)


def _learning(decision: Decision) -> list[Scorecard]:
    """Return the candidates whose lines can move; a flat one would only squeeze the others."""
    return [card for card in _ranked(decision) if card.strategy != "majority"]


def _touching(card: Scorecard, first: Scorecard) -> bool:
    if card.accuracy is None or first.accuracy is None:
        return False
    return (card.accuracy.high or 0.0) > (first.accuracy.low or 0.0)


def _who(card: Scorecard) -> dict[str, object]:
    return {"candidate": _short(card.candidate), "family": card.family}


def _short(name: str) -> str:
    return shorten(clean(name), NAME)


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value

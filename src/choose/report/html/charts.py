"""Charts of candidates and pairs, each with the one sentence that says what to see in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt

from choose.judge.record import Decision, Scorecard
from choose.report.html.figures import Figure, chart_of, drawn, mark_at, ranked, short, who
from choose.report.html.theme import INK, colour, shape
from choose.report.safe import clean
from choose.report.words import number, plural, quantity


def accuracy(decision: Decision) -> Figure | None:
    """Draw what each candidate got right, with its interval."""
    cards = ranked(decision)
    if not cards:
        return None
    rows = [
        {
            **who(card),
            "value": 100 * card.accuracy.value,
            "low": 100 * (card.accuracy.low if card.accuracy.low is not None else value),
            "high": 100 * (card.accuracy.high if card.accuracy.high is not None else value),
        }
        for card in cards
        if card.accuracy is not None
        for value in [card.accuracy.value]
    ]
    y = alt.Y("candidate:N", sort=None, title=None)
    base = chart_of(rows).encode(y=y)
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
        layers.append(mark_at(100 * target))
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
    return drawn(layers, len(rows) * 30, "Accuracy by candidate", best + touching)


def differences(decision: Decision) -> Figure | None:
    """Draw the declared paired differences against zero and the margin."""
    pairs = [p for p in decision.pairs if p.declared and p.difference.low is not None]
    if not pairs:
        return None
    rows = [
        {
            "pair": f"{short(p.a)} against {short(p.b)}",
            "value": 100 * p.difference.value,
            "low": 100 * (p.difference.low or 0.0),
            "high": 100 * (p.difference.high or 0.0),
        }
        for p in pairs
    ]
    base = chart_of(rows).encode(y=alt.Y("pair:N", sort=None, title=None))
    x = alt.X("low:Q", title="points of accuracy more (right) or less (left)")
    margin = 100 * (quantity(decision.goal, "margin") or 0.0)
    band = chart_of([{"from": -margin, "to": margin}])
    layers = [
        band.mark_rect(color=INK, opacity=0.09).encode(x="from:Q", x2="to:Q"),
        mark_at(0.0, dash=False),
        base.mark_rule(strokeWidth=3, color=INK, opacity=0.5).encode(x=x, x2="high:Q"),
        base.mark_point(filled=True, size=90, color=INK, opacity=1).encode(x="value:Q"),
    ]
    clear = sum(p.difference.low > 0 or (p.difference.high or 0) < 0 for p in pairs)  # type: ignore[operator]
    caption = (
        f"{clear} of {len(pairs)} ranges stay clear of zero; a range wholly inside the shaded "
        f"band (± {number(margin / 100)} points) would show that the two are as good as equal."
    )
    return drawn(layers, len(rows) * 30, "Paired differences", caption)


def price(decision: Decision) -> Figure | None:
    """Draw what an answer costs against what it is worth in accuracy."""
    priced = all(c.cost.usd_per_1k is not None for c in ranked(decision))
    unit: Callable[[Scorecard], float | None] = (
        (lambda c: c.cost.usd_per_1k) if priced else (lambda c: c.cost.ms_per_item)
    )
    cards = [c for c in ranked(decision) if (unit(c) or 0) > 0]
    if len(cards) < 2:
        return None
    least = 1e-6 if priced else 0.01
    rows = [
        {
            **who(c),
            "x": max(unit(c) or 0.0, least),
            "value": 100 * c.accuracy.value,
        }
        for c in cards
        if c.accuracy is not None
    ]
    title = "dollars for 1,000 answers" if priced else "milliseconds an answer"
    base = chart_of(rows).encode(
        x=alt.X("x:Q", title=title, scale=alt.Scale(type="log")),
        y=alt.Y("value:Q", title="right of 100", scale=alt.Scale(zero=False, padding=18)),
    )
    layers = [
        base.mark_point(filled=True, size=130, opacity=1).encode(color=colour(), shape=shape()),
        chart_of(_apart(rows))
        .mark_text(align="left", dx=9)
        .encode(x=alt.X("x:Q"), y=alt.Y("shown:Q"), text="candidate:N"),
    ]
    on_edge = [c for c in cards if not any(_dominates(o, c, unit) for o in cards)]
    caption = (
        f"Up and to the left is better. Nobody is both cheaper and more accurate than "
        f"{' or '.join(clean(c.candidate) for c in on_edge)}."
    )
    return drawn(layers, 260, "Cost against accuracy", caption)


def _dominates(a: Scorecard, b: Scorecard, unit: Callable[[Scorecard], float | None]) -> bool:
    assert a.accuracy is not None
    assert b.accuracy is not None
    return (unit(a) or 0) < (unit(b) or 0) and a.accuracy.value > b.accuracy.value


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


def _touching(card: Scorecard, first: Scorecard) -> bool:
    if card.accuracy is None or first.accuracy is None:
        return False
    return (card.accuracy.high or 0.0) > (first.accuracy.low or 0.0)

"""The chart of break-even: what 1,000 answers cost in all, by how many are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from choose.judge.record import Decision, Scorecard
from choose.judge.words import dollars, rough
from choose.report.html.figures import (
    Figure,
    chart_of,
    drawn,
    mark_at,
    ranked,
    short,
    who,
)
from choose.report.html.theme import colour, dash
from choose.report.safe import clean
from choose.report.words import quantity

# Times the study's volume at which the lines begin and end.
SPAN, STEPS = 30.0, 61


def volumes(decision: Decision) -> Figure | None:
    """Draw dollars of 1,000 answers, building and wrong answers included, against volume."""
    plan = decision.goal.get("deployment") or {}
    value, volume, months = (
        quantity(plan, key)
        for key in ("value_per_right_answer", "volume_per_month", "horizon_months")
    )
    cards = [c for c in ranked(decision) if c.cost.total_usd is not None]
    if value is None or volume is None or months is None or len(cards) < 2:
        return None
    asked = np.geomspace(volume / SPAN, volume * SPAN, STEPS)
    lines = {c.candidate: _dollars(c, asked, volume, months, value) for c in cards}
    cards = [c for c in cards if min(lines[c.candidate]) > 0]
    rows = [
        {**who(c), "x": float(x), "y": float(y)}
        for c in cards
        for x, y in zip(asked, lines[c.candidate], strict=True)
    ]
    if len(cards) < 2:
        return None
    x = alt.X(
        "x:Q",
        title="answers a month",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, tickCount=4),
    )
    y = alt.Y(
        "y:Q",
        title="$ for 1,000 answers, all in",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(tickCount=5),
    )
    base = chart_of(rows).encode(x=x)
    layers = [
        mark_at(volume),
        base.mark_line(strokeWidth=2).encode(y=y, color=colour(), strokeDash=dash()),
        chart_of(_ends(cards, lines, float(asked[-1])))
        .mark_text(align="left", dx=9)
        .encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), text="candidate:N"),
    ]
    caption = _caption(cards, lines, asked, volume, value)
    return drawn(layers, 320, "Dollars of 1,000 answers by volume", caption, rows, beside=True)


def _dollars(
    card: Scorecard, asked: np.ndarray, volume: float, months: float, value: float
) -> np.ndarray:
    """Return (n,) dollars of 1,000 answers at each volume, wrong ones at their worth."""
    assert card.cost.total_usd is not None
    assert card.cost.usd_per_1k is not None
    assert card.accuracy is not None
    fixed = card.cost.total_usd - volume * months * card.cost.usd_per_1k / 1000
    wrong = 1000 * value * (1 - card.accuracy.value)
    spread: np.ndarray = 1000 * max(fixed, 0.0) / (asked * months) + card.cost.usd_per_1k + wrong
    return spread


def _ends(
    cards: Sequence[Scorecard], lines: dict[str, np.ndarray], right: float
) -> list[dict[str, object]]:
    """Return the right end of each line, names moved up where they would cover each other."""
    shown, below = [], 0.0
    everything = np.concatenate(list(lines.values()))
    step = (float(everything.max()) / float(everything[everything > 0].min())) ** (1 / 17)
    for card in sorted(cards, key=lambda c: float(lines[c.candidate][-1])):
        below = max(float(lines[card.candidate][-1]), below * step)
        shown.append({"candidate": short(card.candidate), "x": right, "y": below})
    return shown


def _caption(
    cards: Sequence[Scorecard],
    lines: dict[str, np.ndarray],
    asked: np.ndarray,
    volume: float,
    value: float,
) -> str:
    names = [c.candidate for c in cards]
    table = np.stack([lines[name] for name in names])
    best = table.argmin(axis=0)
    now = names[int(best[int(np.abs(np.log(asked / volume)).argmin())])]
    text = (
        f"Everything is in: building, refreshing, running, and wrong answers at {dollars(value)} "
        f"each. As measured, {clean(now)} costs least at {rough(volume)} answers a month (dashed "
        "line)"
    )
    changes = [i for i in range(1, len(best)) if best[i] != best[i - 1]]
    if not changes:
        return f"{text}, as it does at every volume drawn."
    said = [f"{clean(names[int(best[i])])} from about {rough(float(asked[i]))} on" for i in changes]
    return f"{text}; from left to right {clean(names[int(best[0])])} does, then {', '.join(said)}."

"""Charts of what a candidate keeps when the question is typed differently or a label is new."""

from __future__ import annotations

import altair as alt

from choose.judge.record import Decision
from choose.report.html.figures import Figure, out_of_100, who
from choose.report.html.lines import learning, plotted
from choose.report.safe import clean, shorten
from choose.report.words import number


def views(decision: Decision) -> Figure | None:
    """Draw the answers kept under each view of the questions."""
    cards = [card for card in learning(decision) if len(card.stability.views) > 1]
    rows = [
        {**who(card), "x": shorten(clean(view.view), 20), "value": 100 * view.agreement}
        for card in cards
        for view in card.stability.views
    ]
    if not rows:
        return None
    kept, name, view = min(
        (v.agreement, clean(c.candidate), clean(v.view)) for c in cards for v in c.stability.views
    )
    caption = (
        f"The lowest point is the weakest spot: {name} keeps {number(kept)} of 100 answers under "
        f"{view}. The lower a point, the more answers change when a question is typed that way."
    )
    x = alt.X("x:N", sort=None, title=None, axis=alt.Axis(labelAngle=0))
    return plotted(
        rows,
        x,
        "Answers kept when the question is typed differently",
        caption,
        "answers kept, of 100",
    )


def new_label(decision: Decision) -> Figure | None:
    """Draw how much of a withheld label is found, by the examples given back."""
    found = [(c, c.stability.new_class) for c in learning(decision) if c.stability.new_class]
    rows = [
        {
            **who(card),
            "x": point.examples,
            "value": 100 * point.recall.value,
            "low": out_of_100(point.recall.low),
            "high": out_of_100(point.recall.high),
        }
        for card, new in found
        for point in new.points
    ]
    ticks = sorted({point.examples for _, new in found for point in new.points})
    if len(ticks) < 2:
        return None
    most = max(rows, key=lambda row: (row["x"], row["value"]))
    caption = (
        f"Given {most['x']} examples, {most['candidate']} finds most rows of the new label, "
        f"{float(str(most['value'])):.0f} of 100; a line that rises early learns a new label fast."
    )
    x = alt.X(
        "x:Q",
        title="examples of the new label given back",
        scale=alt.Scale(type="symlog"),
        axis=alt.Axis(values=[float(tick) for tick in ticks], grid=False),
    )
    return plotted(rows, x, "A new label", caption, "found of 100")

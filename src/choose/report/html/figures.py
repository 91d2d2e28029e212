"""A drawn chart, and what all charts need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
from markupsafe import Markup

from choose.judge.record import Decision, Scorecard
from choose.report.html.theme import FAMILY_SIGNS, INK, WIDTHS, svg
from choose.report.safe import clean, shorten

NAME = 28


@dataclass(frozen=True)
class Figure:
    """A drawn chart with its caption; `families` are those whose signs need a key."""

    drawing: Markup
    caption: str
    families: tuple[str, ...] = ()


def mark_at(x: float, dash: bool = True) -> alt.Chart:
    """Return an upright line."""
    rule = chart_of([{"at": x}]).mark_rule(color=INK, strokeDash=[4, 4] if dash else [1, 0])
    marked: alt.Chart = rule.encode(x="at:Q")
    return marked


def chart_of(rows: Sequence[Mapping[str, object]]) -> alt.Chart:
    """Return a chart of rows; text stands in values only."""
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def drawn(
    layers: Sequence[alt.Chart],
    height: int,
    title: str,
    caption: str,
    rows: Sequence[Mapping[str, object]] = (),
    beside: bool = False,
) -> Figure:
    """Draw layers as one figure, for a desktop and for a phone.

    `rows` say which families are drawn and, where names stand `beside` their marks, how long these
    are.
    """
    names = [str(row["candidate"]) for row in rows] if beside else []
    # A reader's font may be wider than the one the drawing was measured with.
    room = {"left": 26, "right": room_for(names), "top": 5, "bottom": 5}
    drawings = [
        svg(
            alt.LayerChart(layer=list(layers)).properties(
                width=width, height=max(height, 60), padding=room
            ),
            f"{title}. {caption}",
            kind,
        )
        for kind, width in WIDTHS.items()
    ]
    shown = {str(row["family"]) for row in rows if "family" in row}
    families = tuple(family for family in FAMILY_SIGNS if family in shown)
    return Figure(Markup("").join(drawings), caption, families)


def room_for(names: Sequence[str]) -> int:
    """Return the pixels kept free right of the axes for names beside marks."""
    return 14 + 3 * min(max(map(len, names), default=0), NAME)


def ranked(decision: Decision) -> list[Scorecard]:
    """Return the candidates that were measured, the most accurate first."""
    known = [card for card in decision.scorecards if card.accuracy is not None]
    return sorted(known, key=lambda card: -card.accuracy.value if card.accuracy else 0.0)


def who(card: Scorecard) -> dict[str, object]:
    """Return how a candidate is named and marked."""
    return {"candidate": short(card.candidate), "family": card.family}


def short(name: str) -> str:
    """Return a name as short as an axis needs."""
    return shorten(clean(name), NAME)


def out_of_100(value: float | None) -> float | None:
    """Return a share out of 100."""
    return None if value is None else 100 * value

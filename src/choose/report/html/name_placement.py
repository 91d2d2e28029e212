"""Names beside the marks of a chart: where they cover neither a mark nor each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log10
from typing import Literal, NamedTuple

import altair as alt

from choose.report.html.chart_style import HEIGHT, LINE, chart_of, room_for

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
        yield text.encode(x="x:Q", y="value:Q", text="candidate:N")


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

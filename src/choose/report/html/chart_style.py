"""Style of the charts: colours and shapes by family, static SVG, placement of names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any, Literal, NamedTuple

import altair as alt
from markupsafe import Markup

from choose.errors import StudyError
from choose.formatting import Estimate, clean
from choose.report.screen_text import shorten
from choose.schema.scorecard import Scorecard

# Families also differ by shape. The colours are safe for the colour-blind (Okabe and Ito 2008) and
# legible on white and on near-black.
FAMILY_COLOURS = {
    "baseline": "#808080",
    "prompting": "#b8609a",
    "retrieval": "#009e73",
    "fine-tuning": "#d55e00",
}

FAMILY_SHAPES = {
    "baseline": "circle",
    "prompting": "square",
    "retrieval": "triangle-up",
    "fine-tuning": "diamond",
}

INK = "currentColor"

# The drawing keeps its width, however long its names are.
FIT = alt.AutoSizeParams(type="fit-x", contains="padding")

# Pixels that a drawing takes on a desktop and on a phone; text keeps its size on both.
WIDTHS = {"wide": 960, "narrow": 350}

# Signs of the shapes, for the key in the page.
FAMILY_SIGNS = {"baseline": "●", "prompting": "■", "retrieval": "▲", "fine-tuning": "◆"}
_OPENING = re.compile(r"<svg\b[^>]*?\bviewBox=\"([^\"]+)\"[^>]*>")


def colour() -> alt.Color:
    """Encode the family by colour, without a legend: names are next to the marks."""
    scale = alt.Scale(domain=list(FAMILY_COLOURS), range=list(FAMILY_COLOURS.values()))
    return alt.Color("family:N", scale=scale, legend=None)


def shape() -> alt.Shape:
    """Encode the family by shape."""
    scale = alt.Scale(domain=list(FAMILY_SHAPES), range=list(FAMILY_SHAPES.values()))
    return alt.Shape("family:N", scale=scale, legend=None)


def dash() -> alt.StrokeDash:
    """Encode the candidate by the dash of its line, since a family may have several."""
    patterns = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 3], [4, 1], [1, 3], [10, 2, 4, 2]]
    return alt.StrokeDash("candidate:N", scale=alt.Scale(range=patterns), sort=None, legend=None)


def svg(chart: alt.LayerChart, title: str, kind: str) -> Markup:
    """Draw a chart as static SVG: nothing in it can run, and it scales with the page.

    `kind` is the key of `WIDTHS` that it was laid out for; the style sheet shows one of them.

    Text from data reaches Vega as data values only, never as a field name or an expression.
    """
    image = _vegalite_to_svg(styled(chart).to_dict())
    opening = (
        '<svg class="chart {kind}" role="img" aria-label="{title}" '
        'xmlns="http://www.w3.org/2000/svg" viewBox="{box}">'
    )
    opening_tag = _OPENING.search(image)
    assert opening_tag is not None, "vl-convert wrote no viewBox"
    head = Markup(opening).format(title=title, box=opening_tag[1], kind=kind)
    # The rest was escaped by the SVG writer.
    return head + Markup(image[opening_tag.end() :])


def _vegalite_to_svg(spec: dict[str, Any]) -> str:
    """Draw a chart; in a process of its own where the address space is limited (`ulimit -v`).

    The engine of vl-convert ends the whole process where it cannot reserve its heap.

    Raises:
        StudyError: if it cannot.
    """
    if not _address_space_is_limited():
        import vl_convert

        return vl_convert.vegalite_to_svg(spec)
    code = (
        "import json, sys, vl_convert\n"
        "sys.stdout.write(vl_convert.vegalite_to_svg(json.load(sys.stdin)))"
    )
    drawn = subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=json.dumps(spec),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if drawn.returncode:
        raise StudyError(
            "Charts cannot be drawn in the memory that is allowed here. The study is complete: "
            "raise the limit (ulimit -v unlimited) and run choose report, or write a report that "
            "ends in .md or .json."
        )
    return drawn.stdout


def _address_space_is_limited() -> bool:
    try:
        import resource
    except ImportError:  # Windows
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def styled(chart: alt.LayerChart) -> alt.LayerChart:
    """Apply the page's colours and fonts to a chart."""
    axis: dict[str, Any] = {
        "labelColor": INK,
        "titleColor": INK,
        "domainColor": INK,
        "tickColor": INK,
        "gridColor": INK,
        "gridOpacity": 0.12,
        "domainOpacity": 0.4,
        "tickOpacity": 0.4,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        # A reader's font may be wider than the one the drawing was measured with.
        "titlePadding": 14,
        "labelLimit": 190,
        "labelOverlap": "greedy",
        "labelSeparation": 6,
        "labelFlush": False,
    }
    inked: alt.LayerChart = (
        chart.configure(background="transparent", font="system-ui, sans-serif", autosize=FIT)
        .configure_view(stroke=None)
        .configure_axis(**axis)
        .configure_text(color=INK, fontSize=12)
    )
    return inked


NAME = 28


@dataclass(frozen=True)
class Figure:
    """A drawn chart with its caption; `families` need a key for their signs."""

    drawing: Markup
    caption: str
    families: tuple[str, ...] = ()


def mark_at(x: float, dash: bool = True) -> alt.Chart:
    """Return a vertical line."""
    rule = chart_of([{"at": x}]).mark_rule(color=INK, strokeDash=[4, 4] if dash else [1, 0])
    marked: alt.Chart = rule.encode(x="at:Q")
    return marked


def chart_of(rows: Sequence[Mapping[str, object]]) -> alt.Chart:
    """Return a chart of rows; text occurs in values only."""
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def drawn(
    layers: Sequence[alt.Chart],
    height: int,
    title: str,
    caption: str,
    rows: Sequence[Mapping[str, object]] = (),
    named: bool = False,
) -> Figure:
    """Draw layers as one figure, for a desktop and for a phone.

    `rows` hold the families and, if the marks are `named`, the names.
    """
    names = [str(row["candidate"]) for row in rows] if named else []
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
    present = {str(row["family"]) for row in rows if "family" in row}
    families = tuple(family for family in FAMILY_SIGNS if family in present)
    return Figure(Markup("").join(drawings), caption, families)


def room_for(names: Sequence[str]) -> int:
    """Return the pixels to keep free right of the axes for names."""
    return 14 + 3 * min(max(map(len, names), default=0), NAME)


def candidate_facts(card: Scorecard) -> dict[str, object]:
    """Return the name and the family of a candidate, as a row of a chart."""
    return {"candidate": axis_name(card.candidate), "family": card.family}


def axis_name(name: str) -> str:
    """Return a name cut to the length that fits an axis."""
    return shorten(clean(name), NAME)


def bounds_of(estimate: Estimate) -> dict[str, float | None]:
    """Return a value and its bounds out of 100; None for an unknown bound."""
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: None if share is None else 100 * share for name, share in ends.items()}


# Pixels: the smallest drawing's plot, half a mark, a letter's width and height.
PLOT = (230.0, 300.0)
MARK, LETTER, LINE = 7.0, 6.6, 13.0

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


def decades(values: Sequence[float]) -> tuple[float, float]:
    """Return the powers of ten that enclose positive values."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return 10.0**low, 10.0 ** max(high, low + 1)


def shares(values: Sequence[float]) -> tuple[float, float]:
    """Return round bounds for figures out of 100, with room above and below."""
    low = max(0.0, 10 * floor(min(values) / 10 - 0.3))
    return low, max(low + 10.0, min(100.0, 10 * ceil(max(values) / 10)))


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

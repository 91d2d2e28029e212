"""How every chart looks: no background, the page's own ink, a shape and a colour a family."""

from __future__ import annotations

import re
from typing import Any

import altair as alt
from markupsafe import Markup

# Told apart without colour by their shapes, and by the colour-blind (Okabe and Ito 2008) by
# colour; each reads on white and on near-black.
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
# The whole drawing keeps its width, whatever its names take of it.
FIT = alt.AutoSizeParams(type="fit-x", contains="padding")
# Pixels that a drawing takes on a desktop and on a phone; text keeps its size on both.
WIDTHS = {"wide": 960, "narrow": 350}
# Signs of the shapes, for the key in the page.
FAMILY_SIGNS = {"baseline": "●", "prompting": "■", "retrieval": "▲", "fine-tuning": "◆"}

_OPENING = re.compile(r"<svg\b[^>]*?\bviewBox=\"([^\"]+)\"[^>]*>")


def colour() -> alt.Color:
    """Encode the family by colour, without a legend: names stand beside the marks."""
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

    `kind` says for which of `WIDTHS` it was laid out; the style sheet shows one.

    Text from data reaches Vega as data values only, never as a field name or an expression.
    """
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(styled(chart).to_dict())
    opening = (
        '<svg class="chart {kind}" role="img" aria-label="{title}" '
        'xmlns="http://www.w3.org/2000/svg" viewBox="{box}">'
    )
    found = _OPENING.search(drawn)
    assert found is not None, "vl-convert wrote no viewBox"
    head = Markup(opening).format(title=title, box=found[1], kind=kind)
    # The rest was escaped by the SVG writer.
    return head + Markup(drawn[found.end() :])


def styled(chart: alt.LayerChart) -> alt.LayerChart:
    """Lay the page's ink over a chart."""
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

"""Style of the charts: colours and shapes by family, static SVG, placement of names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
from markupsafe import Markup

from choose.errors import StudyError
from choose.formatting import Estimate, clean, signed_points
from choose.report.screen_text import shorten
from choose.schema.scorecard import Scorecard

# One colour a candidate in all charts, legible on white and on near-black; the first eight stay
# apart for the colour-blind. A candidate that gives every row the same answer is grey.
COLOURS = (
    "#2a78c8",
    "#d55e00",
    "#009e73",
    "#b8609a",
    "#a3790b",
    "#7a68c9",
    "#3a94b8",
    "#9a6a4f",
    "#c2464e",
    "#5f8a2e",
)
GREY = "#808080"

# Candidates also differ by the dash of their lines.
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [14, 3], [4, 1], [1, 3], [10, 2, 4, 2])

# Families differ by shape.
FAMILY_SHAPES = {
    "baseline": "circle",
    "prompting": "square",
    "retrieval": "triangle-up",
    "fine-tuning": "diamond",
}

INK = "currentColor"

# A part of a chart as Vega-Lite writes it.
Spec = dict[str, Any]

# Pixels that a drawing takes on a desktop, where two are side by side, and on a phone; text keeps
# its size on both.
WIDTHS = {"wide": 520, "narrow": 350}

HEIGHT = 250

# Pixels of a line of text.
LINE = 13.0


# Signs of the shapes, for the key in the page.
FAMILY_SIGNS = {"baseline": "●", "prompting": "■", "retrieval": "▲", "fine-tuning": "◆"}
_OPENING = re.compile(r"<svg\b[^>]*?\bviewBox=\"([^\"]+)\"[^>]*>")


@dataclass(frozen=True)
class Palette:
    """The colour and the dash of each candidate of a study, the same in all of its charts."""

    looks: Mapping[str, tuple[str, str, list[int]]]

    def facts(self, candidate: str, family: str) -> dict[str, object]:
        """Return the name, key and family of a candidate, as part of a row of a chart.

        The key, not the name, is what colours and lines go by: cut names could be the same.
        """
        key = self.looks[candidate][0]
        return {"candidate": axis_name(candidate), "key": key, "family": family}

    def colour(self, candidate: str) -> str:
        """Return the colour of a candidate."""
        return self.looks[candidate][1]

    def colours(self) -> alt.Color:
        """Encode the candidate by colour, without a legend: names are next to the marks."""
        keys, colours, _ = zip(*self.looks.values(), strict=True)
        scale = alt.Scale(domain=list(keys), range=list(colours))
        return alt.Color("key:N", scale=scale, legend=None)

    def dashes(self) -> alt.StrokeDash:
        """Encode the candidate by the dash of its line."""
        keys, _, dashes = zip(*self.looks.values(), strict=True)
        scale = alt.Scale(domain=list(keys), range=list(dashes))
        return alt.StrokeDash("key:N", scale=scale, legend=None)


def palette(cards: Sequence[Scorecard]) -> Palette:
    """Give each candidate of a study its colour and its dash."""
    looks: dict[str, tuple[str, str, list[int]]] = {}
    for place, card in enumerate(sorted(cards, key=answers_alike)):
        colour = GREY if answers_alike(card) else COLOURS[place % len(COLOURS)]
        looks[card.candidate] = f"c{place}", colour, list(DASHES[place % len(DASHES)])
    return Palette(looks)


def answers_alike(card: Scorecard) -> bool:
    """Return whether a candidate gives the same answer to every row: it finds one label at most."""
    found = sum(bool(row.recall) for row in card.per_class)
    return bool(card.per_class) and found <= 1


def shape() -> alt.Shape:
    """Encode the family by shape."""
    scale = alt.Scale(domain=list(FAMILY_SHAPES), range=list(FAMILY_SHAPES.values()))
    return alt.Shape("family:N", scale=scale, legend=None)


def svg(plot: Spec, title: str, kind: str) -> Markup:
    """Draw a plot as static SVG: nothing in it can run, and it scales with the page.

    `kind` is the key of `WIDTHS` that it was laid out for; the style sheet shows one of them. The
    drawing keeps its width, however long its names are.

    Text from data reaches Vega as data values only, never as a field name or an expression.
    """
    autosize = {"type": "fit-x", "contains": "padding"}
    image = _vegalite_to_svg({**plot, "config": {**_CONFIG, "autosize": autosize}})
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


# The colours and fonts of the page.
_CONFIG: Spec = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "text": {"color": INK, "fontSize": 12},
    "axis": {
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
    },
}


def layered(charts: Iterable[alt.Chart], **size: Any) -> Spec:
    """Return charts in one plot, as Vega-Lite has it; `size` is its width, height and padding.

    altair's own layers would copy every part of every chart several times.
    """
    datasets: Spec = {}
    context = {"top_level": False, "datasets": datasets}
    layers = [chart.to_dict(validate=False, context=context) for chart in charts]
    return {"$schema": alt.SCHEMA_URL, "datasets": datasets, "layer": layers, **size}


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
    marked: alt.Chart = rule.encode(x=alt.X("at:Q"))
    return marked


def chart_of(rows: Sequence[Mapping[str, object]]) -> alt.Chart:
    """Return a chart of rows; text occurs in values only."""
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def draw_figure(
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
    plot = layered(layers, height=max(height, 60), padding=room)
    drawings = [
        svg({**plot, "width": width}, f"{title}. {caption}", kind) for kind, width in WIDTHS.items()
    ]
    return Figure(joined(drawings), caption, families_of(rows))


def joined(drawings: Sequence[Markup]) -> Markup:
    """Return drawings of one figure for several widths."""
    return Markup("").join(drawings)


def families_of(rows: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the families in the rows of a chart, for the key."""
    present = {str(row["family"]) for row in rows if "family" in row}
    return tuple(family for family in FAMILY_SIGNS if family in present)


def room_for(names: Sequence[str]) -> int:
    """Return the pixels to keep free right of the axes for names."""
    return 14 + 3 * min(max(map(len, names), default=0), NAME)


def axis_name(name: str) -> str:
    """Return a name cut to the length that fits an axis."""
    return shorten(clean(name), NAME)


def bounds_of(estimate: Estimate) -> dict[str, float | None]:
    """Return a value and its bounds out of 100; None for an unknown bound."""
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: None if share is None else 100 * share for name, share in ends.items()}


def largest_change(rows: Sequence[Mapping[str, object]]) -> str:
    """Return which candidate's accuracy changes most, up or down, and by how much.

    `rows` hold candidates and values in points.
    """
    worst = max(rows, key=lambda row: abs(float(str(row["value"]))))
    change = signed_points(float(str(worst["value"])) / 100)
    alone = len({row["candidate"] for row in rows}) == 1
    return f"{worst['candidate']} changes {'by' if alone else 'most:'} {change}"

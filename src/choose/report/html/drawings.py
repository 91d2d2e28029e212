"""What the page draws, as plain SVG: the bar of a difference, and learning curves.

Nothing in a drawing can run, and text from data reaches it escaped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log, log10
from typing import Self

from markupsafe import Markup

from choose.formatting import clean
from choose.report.blocks import Bar, Chart
from choose.schema.candidate_scorecard import CurvePoint

# One colour and one dash a candidate, legible on white and on near-black; where two colours look
# alike, the dashes tell them apart.
COLOURS = (
    *("#2a78c8", "#d55e00", "#009e73", "#b8609a", "#a3790b"),
    *("#7a68c9", "#3a94b8", "#9a6a4f", "#c2464e", "#5f8a2e"),
)
DASHES = ("none", "7 3", "2 2", "9 3 2 3", "14 3", "4 1", "1 3", "10 2 4 2")

# Size of a bar; widths of the curves on a desktop and on a phone, where text keeps its size.
BAR, HIGH = 240.0, 20.0
WIDTHS = {"wide": 620.0, "narrow": 350.0}
HEIGHT, LEFT, BELOW, ABOVE = 250.0, 44.0, 44.0, 8.0

# Pixels of a line of text, and of a character.
LINE, CHARACTER = 15.0, 7.0

# Pixels between two ticks of the lower axis, at least.
APART = 44.0


def draw_bar(bar: Bar | None) -> Markup:
    """Draw a difference with its range against zero and the margin; an unknown one at zero.

    A difference left of the axis is an arrow.
    """
    if bar is None:
        return Markup("")

    def at(value: float) -> float:
        inside = min(max(value, bar.low), bar.high)
        return round(8 + (BAR - 16) * (inside - bar.low) / (bar.high - bar.low), 1)

    gap, left, right = bar.gap, at(-100 * bar.margin), at(100 * bar.margin)
    value = 100 * gap.value if gap else 0.0
    shapes = [
        f'<rect x="{left}" width="{right - left:.1f}" height="{HIGH}" opacity=".12"/>',
        f'<path d="M{at(0)} 0V{HIGH}" stroke="currentColor" opacity=".6"/>',
    ]
    if gap and gap.low is not None and gap.high is not None:
        line = f"M{at(100 * gap.low)} 10H{at(100 * gap.high)}"
        shapes.append(f'<path d="{line}" stroke="currentColor" stroke-width="2"/>')
    if value < bar.low:
        shapes.append('<path d="M8 5L1 10L8 15Z"/>')
    else:
        fill = "var(--paper)" if bar.hollow else "currentColor"
        shapes.append(
            f'<circle cx="{at(value)}" cy="10" r="5" fill="{fill}" stroke="currentColor" '
            'stroke-width="2"/>'
        )
    return Markup(  # numbers alone
        f'<svg aria-hidden="true" class="bar" viewBox="0 0 {BAR} {HIGH}" fill="currentColor">'
        f"{''.join(shapes)}</svg>"
    )


def draw_chart(chart: Chart) -> Markup:
    """Draw a line a name with a band where bounds are known, once for each of `WIDTHS`."""
    return Markup("").join(_draw(chart, kind, width) for kind, width in WIDTHS.items())


def _draw(chart: Chart, kind: str, width: float) -> Markup:
    lines = chart.lines
    plot = _Plot.of(chart, width - 14 - CHARACTER * max(map(len, lines)))
    parts = [*plot.axes(chart.below, chart.beside)]
    for place, line in enumerate(lines.values()):
        parts += plot.line(line, COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)])
    parts += plot.names(lines)
    said = clean(f"{chart.beside} by {chart.below}. {chart.caption}")
    head = Markup(
        '<svg class="chart {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg" '
        'viewBox="0 0 {:.0f} {:.0f}" fill="currentColor" font-size="12">'
    ).format(kind, said, width, ABOVE + HEIGHT + BELOW)
    return head + Markup("").join(parts) + Markup("</svg>")


@dataclass(frozen=True)
class _Plot:
    """The scales of a chart: sizes (logarithmic) up to the pixel `right`, and scores of 100."""

    sizes: Sequence[int]
    low: float
    high: float
    right: float

    @classmethod
    def of(cls, chart: Chart, right: float) -> Self:
        points = [point for line in chart.lines.values() for point in line]
        ends = [end for p in points for end in (p.value, p.low, p.high) if end is not None]
        room = (max(ends) - min(ends) or 0.1) / 12
        low, high = max(0.0, min(ends) - room), min(1.0, max(ends) + room / 4)
        return cls(chart.ticks, 100 * low, 100 * high, right)

    def x(self, size: int) -> float:
        first, last = log(self.sizes[0]), log(self.sizes[-1])
        return round(LEFT + (self.right - LEFT) * (log(size) - first) / (last - first), 1)

    def y(self, share: float) -> float:
        return round(ABOVE + HEIGHT * (self.high - 100 * share) / (self.high - self.low), 1)

    def axes(self, below: str, beside: str) -> Iterator[Markup]:
        foot, middle = ABOVE + HEIGHT, (LEFT + self.right) / 2
        for tick in nice_ticks(self.low, self.high):
            at, said = self.y(tick / 100), f"{tick:g}"
            yield _DRAWN["grid"].format(LEFT, at, self.right)
            yield _DRAWN["text"].format(LEFT - 6, at + 4, "end", said)
        for size in self._spaced():
            yield _DRAWN["text"].format(self.x(size), foot + 16, "middle", f"{size:,}")
        yield _DRAWN["axis"].format(LEFT, foot, self.right)
        yield _DRAWN["text"].format(middle, foot + 36, "middle", below)
        yield _DRAWN["turned"].format(12, ABOVE + HEIGHT / 2, beside)

    def _spaced(self) -> list[int]:
        kept: list[int] = []
        for size in self.sizes[:-1]:
            left = self.x(kept[-1]) if kept else -APART
            if self.x(size) - left >= APART <= self.x(self.sizes[-1]) - self.x(size):
                kept.append(size)
        return [*kept, self.sizes[-1]]

    def line(self, line: Sequence[CurvePoint], colour: str, dash: str) -> Iterator[Markup]:
        """Yield the line of a candidate, its marks, and its band where all bounds are known."""
        if all(p.low is not None and p.high is not None for p in line):
            tops = [f"{self.x(p.labels)},{self.y(p.high or 0.0)}" for p in line]
            ends = [f"{self.x(p.labels)},{self.y(p.low or 0.0)}" for p in reversed(line)]
            yield _DRAWN["band"].format(" ".join([*tops, *ends]), colour)
        path = " ".join(f"{self.x(p.labels)},{self.y(p.value)}" for p in line)
        yield _DRAWN["line"].format(path, colour, dash)
        for point in line:
            yield _DRAWN["mark"].format(self.x(point.labels), self.y(point.value), colour)

    def names(self, lines: Mapping[str, Sequence[CurvePoint]]) -> Iterator[Markup]:
        """Yield the name of each line at its right end, moved where names would overlap."""
        ordered = sorted(lines, key=lambda name: self.y(lines[name][-1].value))
        ends = [lines[name][-1] for name in ordered]
        height = 0.0
        for name, end in zip(ordered, ends, strict=True):
            height = max(height + LINE, self.y(end.value))
            at = self.x(end.labels) + 9, round(height + 4, 1)
            yield _DRAWN["text"].format(*at, "start", clean(name))


# Parts of a drawing; what is put in is escaped.
_DRAWN = {
    "grid": Markup('<path d="M{} {}H{}" stroke="currentColor" opacity=".14"/>'),
    "axis": Markup('<path d="M{} {}H{}" stroke="currentColor" opacity=".5"/>'),
    "band": Markup('<polygon points="{}" fill="{}" opacity=".12"/>'),
    "line": Markup(
        '<polyline points="{}" fill="none" stroke="{}" stroke-width="2" stroke-dasharray="{}"/>'
    ),
    "mark": Markup('<circle cx="{}" cy="{}" r="3.5" fill="{}"/>'),
    "text": Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>'),
    "turned": Markup(
        '<text x="{0}" y="{1}" text-anchor="middle" transform="rotate(-90 {0} {1})">{2}</text>'
    ),
}


def nice_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10.0 ** floor(log10(rough))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= rough)
    return [round(step * i, 6) for i in range(ceil(low / step), floor(high / step) + 1)]

"""What the page draws, as plain SVG: the bar of a difference, learning curves, scores and costs.

Nothing in a drawing can run, and text from data reaches it escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log, log10
from typing import Literal, NamedTuple

from markupsafe import Markup

from choose.formatting import Estimate, clean, listed, signed_points
from choose.report.candidate_order import contending, measured, rows_noted, standings
from choose.report.decision_text import words_in
from choose.report.screen_text import shorten
from choose.schema.decision import Decision
from choose.schema.scorecard import CurvePoint, Scorecard

# One colour and one dash a candidate, legible on white and on near-black; the first eight colours
# stay apart for the colour-blind.
COLOURS = (
    *("#2a78c8", "#d55e00", "#009e73", "#b8609a", "#a3790b"),
    *("#7a68c9", "#3a94b8", "#9a6a4f", "#c2464e", "#5f8a2e"),
)
DASHES = ("none", "7 3", "2 2", "9 3 2 3", "14 3", "4 1", "1 3", "10 2 4 2")

# Size of a bar; widths of the curves on a desktop and on a phone, where text keeps its size.
BAR, HIGH = 240.0, 20.0
WIDTHS = {"wide": 620.0, "narrow": 350.0}
HEIGHT, LEFT, BELOW, ABOVE = 250.0, 44.0, 44.0, 8.0

# Pixels of a line of text, and of a character; characters of a name.
LINE, CHARACTER, NAME = 15.0, 7.0, 20

# Pixels between two ticks of the lower axis, at least.
APART = 44.0


def bar(gap: Estimate | None, ends: tuple[float, float], margin: float, hollow: bool) -> Markup:
    """Draw a difference with its range against zero and the margin; None is drawn at zero.

    Args:
        gap: a difference as a share.
        ends: the points that the bar spans; a difference left of them is an arrow.
        margin: as a share.
        hollow: whether the mark is not filled.
    """

    def at(value: float) -> float:
        inside = min(max(value, ends[0]), ends[1])
        return round(8 + (BAR - 16) * (inside - ends[0]) / (ends[1] - ends[0]), 1)

    value = 100 * gap.value if gap else 0.0
    shapes = [
        f'<rect x="{at(-100 * margin)}" width="{at(100 * margin) - at(-100 * margin):.1f}" '
        f'height="{HIGH}" opacity=".12"/>',
        f'<path d="M{at(0)} 0V{HIGH}" stroke="currentColor" opacity=".6"/>',
    ]
    if gap and gap.low is not None and gap.high is not None:
        line = f"M{at(100 * gap.low)} 10H{at(100 * gap.high)}"
        shapes.append(f'<path d="{line}" stroke="currentColor" stroke-width="2"/>')
    if value < ends[0]:
        shapes.append('<path d="M8 5L1 10L8 15Z"/>')
    else:
        fill = "var(--paper)" if hollow else "currentColor"
        shapes.append(
            f'<circle cx="{at(value)}" cy="10" r="5" fill="{fill}" stroke="currentColor" '
            'stroke-width="2"/>'
        )
    return Markup(  # numbers alone
        f'<svg aria-hidden="true" class="bar" viewBox="0 0 {BAR} {HIGH}" fill="currentColor">'
        f"{''.join(shapes)}</svg>"
    )


@dataclass(frozen=True)
class Figure:
    """A drawn chart with its caption."""

    drawing: Markup
    caption: str


def answers_alike(card: Scorecard) -> bool:
    """Return whether a candidate gives the same answer to every row: it finds one label at most."""
    found = sum(bool(row.recall) for row in card.per_class)
    return bool(card.per_class) and found <= 1


def drawable(decision: Decision) -> list[Scorecard]:
    """Return the contenders, whose lines would be squeezed by candidates far behind them."""
    near = contending(decision)
    cards = [card for card in measured(decision) if card.candidate in near]
    return [card for card in cards if not answers_alike(card)]


def curves(decision: Decision) -> Figure | None:
    """Draw the score by the number of training rows; None where nothing has two sizes."""
    cards = [c for c in drawable(decision) if len(c.curve) > 1]
    if not cards:
        return None
    word = words_in(decision)
    rises = {c.candidate: c.curve[-1].value - c.curve[-2].value for c in cards}
    steepest = max(rises, key=lambda name: rises[name])
    before, last = next(c for c in cards if c.candidate == steepest).curve[-2:]
    step = f"between {before.labels:,} and {last.labels:,} {word.label}s"
    rise = (
        f"{clean(steepest)} rises most {step}: {signed_points(rises[steepest])} points."
        if rises[steepest] >= 0.0005
        else f"No candidate rises {step}."
    )
    still = f"A line that still rises at its right end means that more {word.labels} help."
    few_rows = rows_noted(decision, {c.candidate: c.curve[-1].row_set for c in cards})
    caption = " ".join(filter(None, (rise, few_rows, still)))
    lines = {shorten(clean(c.candidate), NAME): c.curve for c in cards}
    axes = (f"training {word.label}s", f"{word.score} in %")
    title = f"{word.title} by number of {word.labels}. {caption}"
    drawn = (_lines(lines, axes, title, kind) for kind in WIDTHS)
    return Figure(Markup("").join(drawn), caption)


class At(NamedTuple):
    """What a candidate scores with its range, at what 1,000 answers cost."""

    labels: float
    value: float
    low: float | None
    high: float | None


Lines = Mapping[str, Sequence[CurvePoint | At]]


def scores_by(decision: Decision, figure: Literal["usd_per_1k", "ms_per_answer"]) -> Figure | None:
    """Draw scores of contenders against the dollars, or the seconds, of 1,000 answers.

    A score is that of the chosen candidate and the difference to it; those that answered fewer
    rows than it are left out. None with fewer than two candidates whose figure is above 0.
    """
    near, word = contending(decision), words_in(decision)
    placed = [s for s in standings(decision) if s.candidate in near]
    own = next((s.accuracy.value for s in placed if s.chosen and s.accuracy), None)
    rows = next((s.rows for s in placed if s.chosen), 0)
    points: dict[str, Sequence[At]] = {}
    for s in placed:
        cost, gap = getattr(s, figure), s.difference
        if own is not None and cost and (s.chosen or (gap and s.common >= rows)):
            ends = (
                [own + end if end is not None else None for end in (gap.low, gap.high)]
                if gap
                else []
            )
            at = At(cost, own + (gap.value if gap else 0.0), *(ends or (None, None)))
            points[shorten(clean(s.candidate), NAME)] = [at]
    if len(points) < 2:
        return None
    unit = "dollars" if figure == "usd_per_1k" else "seconds"
    missing = [n for name in near if (n := shorten(clean(name), NAME)) not in points]
    caption = f"Up and left is better; scores are {clean(decision.pick)}'s and differences to it."
    caption += f" Without a figure, or on fewer rows: {listed(missing)}." * bool(missing)
    axes = (f"{unit} for 1,000 answers", f"{word.score} in %")
    title = f"{word.title} and {unit} for 1,000 answers. {caption}"
    ticks = round_ticks([point.labels for line in points.values() for point in line])
    drawn = (_lines(points, axes, title, kind, ticks) for kind in WIDTHS)
    return Figure(Markup("").join(drawn), caption)


def round_ticks(values: Sequence[float]) -> list[float]:
    """Return the figures 1, 2 and 5 of each power of ten that enclose some values above 0."""
    powers = range(floor(log10(min(values))), ceil(log10(max(values))) + 1)
    steps = [part * 10.0**power for power in powers for part in (1, 2, 5)]
    low = max(step for step in steps if step <= min(values) * (1 + 1e-9))
    high = min(step for step in steps if step >= max(values) * (1 - 1e-9) and step > low)
    return [step for step in steps if low <= step <= high]


def _lines(
    lines: Lines,
    axes: tuple[str, str],
    title: str,
    kind: str,
    sizes: Sequence[float] = (),
) -> Markup:
    """Draw a line a name with a band where bounds are known; `kind` is a key of `WIDTHS`."""
    width = WIDTHS[kind]
    plot = _Plot.of(lines, width - 14 - CHARACTER * max(map(len, lines)), sizes)
    parts = [*plot.axes(*axes)]
    for place, line in enumerate(lines.values()):
        parts += plot.line(line, COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)])
    parts += plot.names(lines)
    head = Markup(
        '<svg class="chart {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg" '
        'viewBox="0 0 {:.0f} {:.0f}" fill="currentColor" font-size="12">'
    ).format(kind, title, width, ABOVE + HEIGHT + BELOW)
    return head + Markup("").join(parts) + Markup("</svg>")


@dataclass(frozen=True)
class _Plot:
    """The scales of a chart: sizes (logarithmic) up to the pixel `right`, and scores of 100."""

    sizes: Sequence[float]
    low: float
    high: float
    right: float

    @classmethod
    def of(cls, lines: Lines, right: float, sizes: Sequence[float] = ()) -> _Plot:
        points = [point for line in lines.values() for point in line]
        ends = [end for p in points for end in (p.value, p.low, p.high) if end is not None]
        room = (max(ends) - min(ends) or 0.1) / 12
        low, high = max(0.0, min(ends) - room), min(1.0, max(ends) + room / 4)
        sizes = sizes or sorted({point.labels for point in points})
        return cls(sizes, 100 * low, 100 * high, right)

    def x(self, labels: float) -> float:
        first, last = log(self.sizes[0]), log(self.sizes[-1])
        return round(LEFT + (self.right - LEFT) * (log(labels) - first) / (last - first), 1)

    def y(self, share: float) -> float:
        return round(ABOVE + HEIGHT * (self.high - 100 * share) / (self.high - self.low), 1)

    def axes(self, below: str, beside: str) -> Iterator[Markup]:
        """Yield the axes with their ticks and titles."""
        foot, middle = ABOVE + HEIGHT, (LEFT + self.right) / 2
        for tick in nice_ticks(self.low, self.high):
            at, said = self.y(tick / 100), f"{tick:g}"
            yield _DRAWN["grid"].format(LEFT, at, self.right)
            yield _DRAWN["text"].format(LEFT - 6, at + 4, "end", said)
        for size in spaced(self.sizes, self.x):
            yield _DRAWN["text"].format(self.x(size), foot + 16, "middle", f"{size:,.9g}")
        yield _DRAWN["axis"].format(LEFT, foot, self.right)
        yield _DRAWN["text"].format(middle, foot + 36, "middle", below)
        yield _DRAWN["turned"].format(12, ABOVE + HEIGHT / 2, beside)

    def line(self, line: Sequence[CurvePoint | At], colour: str, dash: str) -> Iterator[Markup]:
        """Yield the line of a candidate, its marks, and its band where all bounds are known."""
        if all(p.low is not None and p.high is not None for p in line):
            tops = [f"{self.x(p.labels)},{self.y(p.high or 0.0)}" for p in line]
            ends = [f"{self.x(p.labels)},{self.y(p.low or 0.0)}" for p in reversed(line)]
            yield _DRAWN["band"].format(" ".join([*tops, *ends]), colour)
        points = [(self.x(p.labels), self.y(p.value)) for p in line]
        if len(line) == 1 and line[0].low is not None and line[0].high is not None:
            points, dash = (
                [(points[0][0], self.y(end)) for end in (line[0].low, line[0].high)],
                "none",
            )
        path = " ".join(f"{x},{y}" for x, y in points)
        yield _DRAWN["line"].format(path, colour, dash)
        for point in line:
            yield _DRAWN["mark"].format(self.x(point.labels), self.y(point.value), colour)

    def names(self, lines: Lines) -> Iterator[Markup]:
        """Yield the name of each line at its right end, moved where names would overlap."""
        ordered = sorted(lines, key=lambda name: self.y(lines[name][-1].value))
        ends = [lines[name][-1] for name in ordered]
        spots = [(self.x(e.labels) + 9, self.y(e.value)) for e in ends]
        heights = apart(spots, [CHARACTER * len(name) for name in ordered])
        lift = max(0.0, max(heights) - ABOVE - HEIGHT)
        for name, (at, _), height in zip(ordered, spots, heights, strict=True):
            yield _DRAWN["text"].format(at, round(height - lift + 4, 1), "start", name)


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


def apart(spots: Sequence[tuple[float, float]], widths: Sequence[float]) -> list[float]:
    """Return the heights of texts, the uppermost first, moved down where they would overlap.

    Args:
        spots: left end and height of each.
        widths: of each, in pixels.
    """
    placed: list[float] = []
    for place, ((left, height), width) in enumerate(zip(spots, widths, strict=True)):
        for (other, _), length, at in zip(spots[:place], widths, placed, strict=False):
            if other < left + width and left < other + length:
                height = max(height, at + LINE)
        placed.append(height)
    return placed


def nice_ticks(low: float, high: float) -> list[float]:
    """Return up to six round figures between two ends."""
    rough = (high - low) / 5
    power = 10.0 ** floor(log10(rough))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= rough)
    return [round(step * i, 6) for i in range(ceil(low / step), floor(high / step) + 1)]


def spaced(sizes: Sequence[float], x: Callable[[float], float]) -> list[float]:
    """Return the sizes whose figures have room: the largest always, then from the left."""
    kept: list[float] = []
    for size in sizes[:-1]:
        clear = x(sizes[-1]) - x(size) >= APART
        if clear and (not kept or x(size) - x(kept[-1]) >= APART):
            kept.append(size)
    return [*kept, sizes[-1]]

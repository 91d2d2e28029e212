"""The paired differences to the chosen candidate: as a chart, and as lines of text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from math import ceil, floor

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from choose.formatting import (
    DASH,
    clean,
    figure,
    in_percent,
    in_points,
    plural,
    signed_points,
)
from choose.report.candidate_order import standings
from choose.report.decision_text import chosen, score_noun, words_in
from choose.report.screen_text import literal, shorten
from choose.report.terminal.candidate_table import Axis, Bar, Scale
from choose.report.terminal.layout import INDENT, Column, bullets, note, split_table
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.score_names import NAMES, is_share, right
from choose.schema.standings import Standing

# Columns of a name in a title.
TITLE_NAME = 24

# One colour a family, in every chart.
FAMILY_COLOURS = {
    "baseline": "cyan",
    "prompting": "magenta",
    "retrieval": "yellow",
    "fine-tuning": "bright_blue",
}

# Shares: the least and the most that the axis reaches to either side.
LEAST, MOST = 0.05, 0.25

# Rows further away than so many times the reach of the undecided ones get an arrow.
BREAK = 2.5

# Steps between ticks, and the most ticks.
STEPS, TICKS = (0.01, 0.02, 0.05, 0.1, 0.2), 6

# Columns of the screen: a name, on a narrow screen, and with its title; the chart; from these
# widths on, more columns are shown.
NAME, SHORT_NAME, LONG_NAME = 16, 12, 46
LEAST_CHART = 15
FAMILIES, TITLES, INTERVALS = 64, 120, 100


def score_name(decision: Decision) -> str:
    """Return what the differences are differences of."""
    metric = (decision.goal.get("measure") or {}).get("metric", "accuracy")
    name = NAMES.get(metric, clean(metric))
    return name[:1].upper() + name[1:] if metric not in ("chrf", "ndcg@10") else name


def chart_title(decision: Decision) -> str:
    """Say what the chart of differences shows, and what its intervals are."""
    reference = shorten(clean(chosen(decision.verdict)), TITLE_NAME)
    return f"{score_name(decision)} against {reference}, points on the same rows (95 % CI)"


def shared_rows(decision: Decision, standing: Standing) -> str:
    """Return the rows of a figure: ``602``, or ``121 of 602`` where not all were answered."""
    if not standing.common:
        return ""
    of = decision.dataset.test_rows
    return f"{standing.common:,}" + (f" of {of:,}" if standing.common < of else "")


def family_name(decision: Decision, standing: Standing) -> str:
    """Return a candidate's family in a reader's words.

    A baseline that never reads the text, such as the most common label, is no classifier; it takes
    no time, so it is never one of those that were not measured.
    """
    families = {family.family: family for family in decision.verdict.families}
    known = families.get(standing.family)
    unmeasured = standing.accuracy is None
    if (
        standing.family == "baseline"
        and known
        and (standing.candidate in known.members or unmeasured)
    ):
        return words_in(decision).baseline
    return clean(standing.family)


def standing_line(decision: Decision, standing: Standing) -> str:
    """Return a candidate in a line of text, for readers and programs without a chart."""
    name, family = clean(standing.candidate), family_name(decision, standing)
    name = name if name == family else f"{name} ({family})"
    if standing.accuracy is None:
        return f"{name}: not measured"
    rows = shared_rows(decision, standing)
    if standing.chosen:
        parts = [f"{right(standing.accuracy, score_noun(decision.goal))} on {rows} rows"]
    elif standing.difference is None:
        parts = ["no row in common with the choice"]
    else:
        parts = [f"{in_points(standing.difference)} on {rows} rows"]
    if standing.ms_per_answer is not None:
        parts.append(f"{figure(standing.ms_per_answer)} ms per answer")
    if standing.usd_per_1k is not None:
        parts.append(f"${figure(standing.usd_per_1k)} per 1,000 answers")
    return f"{name}: {', '.join(parts)}"


def difference_lines(
    decision: Decision, listed: Sequence[Standing], measured: int
) -> Iterator[RenderableType]:
    """Yield some of the measured candidates as text, under a title where there are several."""
    if measured > 1:
        yield note(f"{chart_title(decision)}:")
    yield bullets(standing_line(decision, standing) for standing in listed)
    if more := measured - len(listed):
        yield note(f"and {plural(more, 'more candidate')}")


def titles_line(listed: Iterable[Standing]) -> str:
    """Say what candidates are: ``knn: nearest neighbours · prompt: zero-shot prompt``."""
    named = ((shorten(clean(s.candidate), TITLE_NAME), clean(s.title)) for s in listed)
    return " · ".join(f"{name}: {title}" for name, title in named if title and title != name)


def difference_axis(differences: Iterable[Interval | None]) -> Axis:
    """Choose an axis around zero that shows what is undecided, and what is not far from it."""
    known = [d for d in differences if d is not None]
    undecided = [d for d in known if d.high is None or d.high > 0]
    reach = max((min(_reach(d), MOST) for d in undecided), default=0.0)
    near = [d for d in known if abs(d.value) <= min(BREAK * max(reach, LEAST), MOST)]
    # Where all are far behind, the closest shows by how much; a chart of arrows shows nothing.
    closest = min(known, key=lambda d: abs(d.value), default=None)
    if closest and not near and abs(closest.value) <= MOST:
        near = [closest]
    bounds = [b for d in near for b in (d.low, d.value, d.high) if b is not None]
    low = max(min([*bounds, -LEAST]), -MOST)
    high = min(max([*bounds, LEAST]), MOST)
    step = next((s for s in STEPS if (high - low) / s <= TICKS), STEPS[-1])
    low, high = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
    return Axis(low=round(low, 4), high=round(high, 4), step=step, signed=True)


def _reach(difference: Interval) -> float:
    bounds = (difference.low, difference.value, difference.high)
    return max(abs(bound) for bound in bounds if bound is not None)


class DifferenceBar(Bar):
    """A difference with its interval beside a line at zero."""

    beyond = ("◂", "▸")

    def draw_background(self, cells: list[str]) -> None:
        """Draw the line at zero."""
        cells[self.axis.column(0.0, len(cells))] = "┊"


def difference_chart(decision: Decision, rows: int, width: int) -> Iterator[RenderableType]:
    """Yield the chart with at most `rows` candidates, and say how many are left out."""
    every = standings(decision)
    listed = select_rows(every, rows, [family.best for family in decision.verdict.families])
    known = [s.usd_per_1k is not None for s in listed]
    columns = _columns(decision, listed, width, priced=any(known))
    yield from split_table(columns, width + INDENT)  # it is not indented
    if more := len(every) - len(listed):
        yield Padding(note(f"and {plural(more, 'more candidate')}"), (0, 0, 0, INDENT))


def select_rows(
    every: Sequence[Standing], rows: int, named: Collection[str | None] = ()
) -> tuple[Standing, ...]:
    """Return at most `rows` standings in their order.

    The chosen candidate and the best of each family come before others, then those that sentences
    name as a family's best, which need not be the best of the rows that are shared.
    """
    best: dict[str, Standing] = {}
    for standing in every:
        best.setdefault(standing.family, standing)
    first = [s for s in every if s.chosen] + [s for s in best.values() if not s.chosen]
    first += [s for s in every if s.candidate in named and s not in first]
    rest = [s for s in every if s not in first]
    kept = [*first, *rest][: max(rows, 1)]
    return tuple(s for s in every if s in kept)


def _columns(
    decision: Decision, listed: Sequence[Standing], width: int, priced: bool
) -> list[Column]:
    axis = difference_axis(s.difference for s in listed if not s.chosen)
    styles = [_style(standing) for standing in listed]

    def column(head: str, cells: Iterable[str], figures: bool = True) -> Column:
        shown = [literal(c, s) for c, s in zip(cells, styles, strict=True)]
        return Column(head, shown, figures=figures)

    names = [_name(decision, s, width) for s in listed]
    columns = [Column("  candidate", names, figures=False)]
    if width >= FAMILIES:
        columns.append(column("family", (family_name(decision, s) for s in listed), figures=False))
    if len(listed) > 1:
        bars = [DifferenceBar(axis, _drawn(s), _style(s)) for s in listed]
        columns.append(Column(Scale(axis), bars, figures=False, chart=True, least=LEAST_CHART))
    head = "difference" if width >= INTERVALS else "diff."
    columns.append(column(head, (_figures(s, width, score_noun(decision.goal)) for s in listed)))
    columns.append(column("rows", (shared_rows(decision, s) or DASH for s in listed)))
    columns.append(column("ms", (figure(s.ms_per_answer) for s in listed)))
    if priced:
        columns.append(column("$/1,000", (figure(s.usd_per_1k) for s in listed)))
    return columns


def _style(standing: Standing) -> str:
    colour = FAMILY_COLOURS.get(standing.family, "")
    return f"bold {colour}".strip() if standing.chosen else colour


def _name(decision: Decision, standing: Standing, width: int) -> Text:
    mark = " "
    if standing.chosen:
        mark = "▶" if decision.verdict.recommended else "▷"
    name, style = clean(standing.candidate), _style(standing)
    if standing.title and width >= TITLES:
        shown = shorten(f"{name}: {clean(standing.title)}", LONG_NAME)
    else:
        shown = shorten(name, NAME if width >= INTERVALS else SHORT_NAME)
    return Text.assemble((f"{mark} ", style), (shown, style))


def _drawn(standing: Standing) -> Interval | None:
    """Return what is drawn: the chosen candidate is the point at zero."""
    if standing.chosen:
        return Interval(value=0.0) if standing.accuracy else None
    return standing.difference


def _own_score(standing: Standing, noun: str) -> str:
    """Return the score itself: ``82 %``, or ``0.31`` where it is no percentage."""
    if standing.accuracy is None:
        return DASH
    value = standing.accuracy.value
    return in_percent(value) if is_share(noun) else f"{value:.2f}"


def _figures(standing: Standing, width: int, noun: str) -> str:
    if standing.chosen:
        return _own_score(standing, noun)
    if standing.difference is None:
        return DASH
    if width >= INTERVALS:
        return in_points(standing.difference)
    return signed_points(standing.difference.value)


def chart_heading(decision: Decision) -> Text:
    """Return the title of the chart."""
    mark = "▶ recommended" if decision.verdict.recommended else "▷ use for now"
    return literal(f"{chart_title(decision)}; {mark}", "dim")

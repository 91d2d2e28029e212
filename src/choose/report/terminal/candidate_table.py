"""The table of candidates: accuracy with intervals on one axis, models, time and cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.text import Text

from choose.formatting import DASH, clean, figure, number, percent, short_models, span
from choose.report.candidate_order import fewer_rows, ranked
from choose.report.decision_text import (
    UNEVEN,
    chosen,
    coverage_line,
    fit_notes,
    quantity,
    score_head,
    uneven,
)
from choose.report.screen_text import literal, shorten
from choose.report.terminal.layout import Column, note, section, split_table
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard

# A candidate this far below the best would squeeze all others together on the axis.
FAR = 0.3

# Columns of the screen: one table for everything; a table with bounds; a candidate's name.
ONE_TABLE = 132
NARROW = 72
NAME = 24


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of accuracies or differences with ticks, and the target where one was set."""

    low: float
    high: float
    step: float
    target: float | None = None
    signed: bool = False

    def label(self, tick: float) -> str:
        """Return the label of a tick, out of 100."""
        text = number(100 * tick)
        return f"+{text}" if self.signed and tick > 0 else text

    @property
    def ticks(self) -> list[float]:
        """Return the values of the ticks, ascending."""
        count = round((self.high - self.low) / self.step)
        return [round(self.low + i * self.step, 4) for i in range(count + 1)]

    def column(self, value: float, width: int) -> int:
        """Return the screen column of a value on an axis of `width` columns; may be outside."""
        return round((value - self.low) / (self.high - self.low) * (width - 1))


def axis_for(intervals: Iterable[Interval | None], target: float | None = None) -> Axis:
    """Choose an axis that shows all intervals except those far below the best."""
    known = [i for i in intervals if i is not None]
    best = max((i.value for i in known), default=1.0)
    near = [i for i in known if i.value >= best - FAR]
    values = [v for i in near for v in (i.low, i.value, i.high) if v is not None]
    if target is not None:
        values.append(target)
    low, high = max(0.0, min(values, default=0.0)), min(1.0, max(values, default=1.0))
    step = 0.05 if high - low <= 0.25 else 0.1 if high - low <= 0.5 else 0.2
    low, high = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
    if high - low < step / 2:
        low, high = (low - step, high) if high > step / 2 else (low, high + step)
    return Axis(low=round(low, 4), high=round(high, 4), step=step, target=target)


class FullWidth:
    """A column that takes the whole width, at least 15 columns of the screen."""

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the least and the most columns."""
        return Measurement(min(15, options.max_width), options.max_width)


@dataclass(frozen=True)
class Scale(FullWidth):
    """The tick labels of an axis, out of 100, above a column of intervals."""

    axis: Axis

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Write as many labels as do not overlap, equally far apart and around zero."""
        width = options.max_width
        for stride in range(1, len(self.axis.ticks) + 1):
            cells = self._cells(stride, width)
            if cells is not None:
                yield Text("".join(cells), no_wrap=True)
                return

    def _cells(self, stride: int, width: int) -> list[str] | None:
        cells, free = [" "] * width, 0
        for tick in self.axis.ticks:
            if round(tick / self.axis.step) % stride:
                continue
            label = self.axis.label(tick)
            start = min(max(0, self.axis.column(tick, width) - len(label) // 2), width - len(label))
            if start < free:
                return None
            cells[start : start + len(label)] = label
            free = start + len(label) + 1
        return cells


@dataclass(frozen=True)
class Bar(FullWidth):
    """An interval from low to high with a point at its value; an arrow where it leaves the axis."""

    axis: Axis
    interval: Interval | None
    style: str = ""

    # What is drawn where the interval goes on beyond the left or right edge.
    beyond: ClassVar[tuple[str, str]] = ("─", "─")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the interval over the background."""
        cells = [" "] * options.max_width
        self.draw_background(cells)
        extent = self._draw(cells) if self.interval is not None else (0, 0)
        text = Text("".join(cells), no_wrap=True, style="dim")
        text.stylize(f"not dim {self.style}", *extent)
        yield text

    def draw_background(self, cells: list[str]) -> None:
        """Mark the ticks and the target."""
        for tick in self.axis.ticks:
            cells[self.axis.column(tick, len(cells))] = "·"
        if self.axis.target is not None:
            cells[self.axis.column(self.axis.target, len(cells))] = "┊"

    def _draw(self, cells: list[str]) -> tuple[int, int]:
        assert self.interval is not None
        last, value = len(cells) - 1, self.interval.value
        bounds = (self.interval.low, self.interval.high)
        low, high = (value if bound is None else bound for bound in bounds)
        start, point, stop = (self.axis.column(v, len(cells)) for v in (low, value, high))
        if not 0 <= point <= last:
            at = 0 if point < 0 else last
            cells[at] = "◂" if point < 0 else "▸"
            return at, at + 1
        first, final = max(0, start), min(last, stop)
        cells[first : final + 1] = "─" * (final + 1 - first)
        cells[first] = "├" if start >= 0 else self.beyond[0]
        cells[final] = "┤" if stop <= last else self.beyond[1]
        cells[point] = "●"
        return first, final + 1


@dataclass(frozen=True)
class CandidateRows:
    """The candidates of a decision as rows of tables, the most accurate first, failed ones last."""

    decision: Decision
    include: Callable[[Scorecard], bool] = lambda card: card.accuracy is not None

    @property
    def cards(self) -> list[Scorecard]:
        """Return the scorecards in the order of the rows."""
        return ranked(self.decision, self.include)

    def style(self, card: Scorecard) -> str:
        """Return the style of a candidate's row."""
        return "bold green" if card.candidate == self.decision.verdict.recommended else ""

    def names(self) -> Column:
        """Return the column of names, with a mark before the chosen one."""
        return Column("  candidate", [self._name(card) for card in self.cards], figures=False)

    def column(
        self,
        head: str,
        cell: Callable[[Scorecard], str],
        figures: bool = True,
        width: int = NAME,
    ) -> Column:
        """Return a column with a cell of at most `width` characters for each candidate."""
        return Column(
            head,
            [literal(shorten(clean(cell(card)), width), self.style(card)) for card in self.cards],
            figures=figures,
        )

    def _name(self, card: Scorecard) -> Text:
        verdict = self.decision.verdict
        mark = " "
        if card.candidate == chosen(verdict):
            mark = "▶" if verdict.recommended else "▷"
        name = Text(f"{mark} {shorten(clean(card.candidate), NAME)}", style=self.style(card))
        if few := fewer_rows(self.decision, card):
            name.append(f" ({few})")
        return name


def candidates(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the section on the candidates: one table, or two where one would not fit."""
    rows = CandidateRows(decision, lambda _: True)
    axis = axis_for((card.accuracy for card in rows.cards), quantity(decision.goal, "target"))
    names, measured, facts = rows.names(), _measured(rows, axis, width), _facts(rows)
    if width >= ONE_TABLE:
        tables = [*split_table([names, *facts[:2], *measured, *facts[2:]], width)]
    else:
        tables = [
            *split_table([names, *measured], width),
            Text(),
            *split_table([names, *facts], width),
        ]
    yield section("Candidates", *tables, Text(), *_legend(decision, axis), *_failures(rows))


def _measured(rows: CandidateRows, axis: Axis, width: int) -> list[Column]:
    columns = [
        rows.column(
            score_head(rows.decision.goal).replace("% ", "%\n").replace("x ", "x\n"),
            lambda card: percent(card.accuracy.value) if card.accuracy else DASH,
        ),
        rows.column("95 %\nCI", lambda card: span(card.accuracy)),
        Column(Scale(axis), _bars(rows, axis), figures=False, chart=True),
    ]
    return columns if width >= NARROW else [c for c in columns if c is not columns[-2]]


def _bars(rows: CandidateRows, axis: Axis) -> list[RenderableType]:
    return [Bar(axis, card.accuracy, rows.style(card) or "cyan") for card in rows.cards]


def _facts(rows: CandidateRows) -> list[Column]:
    models = short_models(card.model for card in rows.cards)
    column = rows.column
    macro_f1 = [
        column("macro\nF1", lambda card: percent(card.macro_f1.value) if card.macro_f1 else DASH)
    ]
    if not rows.decision.dataset.labels:
        macro_f1 = []
    facts = [
        column("family", lambda card: card.family, figures=False),
        column("model", lambda card: models[card.model], figures=False),
        *macro_f1,
        column("seeds", lambda card: str(card.repetitions) if card.repetitions else DASH),
        column("ms per\nitem", lambda card: figure(card.cost.ms_per_item)),
        column("training\nseconds", lambda card: figure(card.cost.fit_seconds)),
    ]
    if any(card.cost.usd_per_1k is not None for card in rows.cards):
        facts.append(column("$ per\n1,000", lambda card: figure(card.cost.usd_per_1k)))
    if any(card.format_valid is not None and card.format_valid < 1 for card in rows.cards):
        facts.append(column("%\nusable", lambda card: percent(card.format_valid)))
    return facts


def _legend(decision: Decision, axis: Axis) -> Iterator[RenderableType]:
    verdict = decision.verdict
    marks = ["▶ recommended" if verdict.recommended else "▷ use for now", "├─●─┤ 95 % CI"]
    known = [card.accuracy for card in decision.scorecards if card.accuracy]
    if axis.target is not None:
        marks.append("┊ target")
    if any(accuracy.value < axis.low for accuracy in known):
        marks.append("◂ below the axis")
    yield note("  ".join([*marks, f"{DASH} not measured"]))
    if uneven(decision):
        yield note(UNEVEN)
    if covered := coverage_line(decision):
        yield note(covered)
    for gained in fit_notes(decision, of_search=True):
        yield note(clean(gained))


def _failures(rows: CandidateRows) -> Iterator[RenderableType]:
    for card in rows.cards:
        for error in card.errors:
            yield literal(f"{shorten(clean(card.candidate), NAME)} failed: {clean(error)}", "red")

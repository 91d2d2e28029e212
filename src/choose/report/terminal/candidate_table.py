"""The table of candidates: what each got right, drawn on one axis, and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil, floor

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.text import Text

from choose.formatting import DASH, clean, figure, percent, short_models, span
from choose.report.format import WARNING, literal, quantity, shorten, uneven
from choose.report.terminal.layout import Column, note, section, sheet
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard

# A candidate this far below the best would squeeze all the others together.
FAR = 0.3


@dataclass(frozen=True, slots=True)
class Axis:
    """A stretch of accuracy, with ticks, and the target where one was set."""

    low: float
    high: float
    step: float
    target: float | None = None

    @property
    def ticks(self) -> list[float]:
        """Return the values of the ticks, ascending."""
        count = round((self.high - self.low) / self.step)
        return [round(self.low + i * self.step, 4) for i in range(count + 1)]

    def column(self, value: float, width: int) -> int:
        """Return the column of a value on an axis of `width` columns; may lie outside."""
        return round((value - self.low) / (self.high - self.low) * (width - 1))


def axis_for(intervals: Iterable[Interval | None], target: float | None = None) -> Axis:
    """Choose an axis that shows all intervals but those far below the best."""
    known = [i for i in intervals if i is not None]
    best = max((i.value for i in known), default=1.0)
    near = [i for i in known if i.value >= best - FAR]
    ends = [end for i in near for end in (i.low, i.value, i.high) if end is not None]
    if target is not None:
        ends.append(target)
    low, high = max(0.0, min(ends, default=0.0)), min(1.0, max(ends, default=1.0))
    step = 0.05 if high - low <= 0.25 else 0.1 if high - low <= 0.5 else 0.2
    low, high = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
    if high - low < step / 2:
        low, high = (low - step, high) if high > step / 2 else (low, high + step)
    return Axis(low=round(low, 4), high=round(high, 4), step=step, target=target)


@dataclass(frozen=True, slots=True)
class Scale:
    """The tick labels of an axis, out of 100, as the head of a column of bands."""

    axis: Axis

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Write each label under which its tick fits."""
        width = options.max_width
        cells = [" "] * width
        free = 0
        for tick in self.axis.ticks:
            label = f"{100 * tick:.0f}"
            start = min(max(0, self.axis.column(tick, width) - len(label) // 2), width - len(label))
            if start >= free:
                cells[start : start + len(label)] = label
                free = start + len(label) + 1
        yield Text("".join(cells), no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Take what there is, within reason."""
        return _measure(options)


@dataclass(frozen=True, slots=True)
class Band:
    """One interval, from low to high, with a point at its value."""

    axis: Axis
    interval: Interval | None
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the band over the ticks."""
        width = options.max_width
        cells = [" "] * width
        for tick in self.axis.ticks:
            cells[self.axis.column(tick, width)] = "·"
        if self.axis.target is not None:
            cells[self.axis.column(self.axis.target, width)] = "┊"
        drawn = self._draw(cells) if self.interval is not None else (0, 0)
        text = Text("".join(cells), no_wrap=True, style="dim")
        text.stylize(f"not dim {self.style}", *drawn)
        yield text

    def _draw(self, cells: list[str]) -> tuple[int, int]:
        assert self.interval is not None
        width = len(cells)
        value = self.interval.value
        ends = (self.interval.low, self.interval.high)
        low, high = (value if end is None else end for end in ends)
        start, point, stop = (self.axis.column(v, width) for v in (low, value, high))
        if point < 0:
            cells[0] = "◂"
            return 0, 1
        first, last = max(0, start), min(width - 1, stop)
        for column in range(first, last + 1):
            cells[column] = "─"
        if start >= 0:
            cells[start] = "├"
        if stop < width:
            cells[stop] = "┤"
        cells[min(point, width - 1)] = "●"
        return first, last + 1

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Take what there is, within reason."""
        return _measure(options)


def _measure(options: ConsoleOptions) -> Measurement:
    return Measurement(min(18, options.max_width), options.max_width)


ONE_TABLE = 132


NARROW = 72


NAME = 24


@dataclass(frozen=True)
class Field:
    """The candidates of a decision, the most accurate first and the failed last."""

    decision: Decision
    shown: Callable[[Scorecard], bool] = lambda card: card.accuracy is not None

    @property
    def cards(self) -> list[Scorecard]:
        """Return the scorecards to show."""
        cards = filter(self.shown, self.decision.scorecards)
        return sorted(cards, key=lambda card: -card.accuracy.value if card.accuracy else 1.0)

    def style(self, card: Scorecard) -> str:
        """Return how a candidate's row is set off."""
        return "bold green" if card.candidate == self.decision.verdict.recommended else ""

    def names(self) -> Column:
        """Return the column of names, with a mark before the one to use."""
        return Column("  candidate", [self._name(card) for card in self.cards], figures=False)

    def column(self, head: str, cell: Callable[[Scorecard], str], figures: bool = True) -> Column:
        """Return a column with a cell for each candidate."""
        return Column(
            head,
            [literal(shorten(clean(cell(card)), NAME), self.style(card)) for card in self.cards],
            figures=figures,
        )

    def _name(self, card: Scorecard) -> Text:
        verdict = self.decision.verdict
        mark = " "
        if card.candidate == (verdict.recommended or verdict.use_meanwhile):
            mark = "▶" if verdict.recommended else "▷"
        return Text(f"{mark} {shorten(clean(card.candidate), NAME)}", style=self.style(card))


def candidates(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the section on the candidates: one table, or two where one would not fit."""
    field = Field(decision, lambda _: True)
    axis = axis_for((card.accuracy for card in field.cards), quantity(decision.goal, "target"))
    names, measured, facts = field.names(), _measured(field, axis, width), _facts(field)
    if width >= ONE_TABLE:
        tables = [*sheet([names, *facts[:2], *measured, *facts[2:]], width)]
    else:
        tables = [*sheet([names, *measured], width), Text(), *sheet([names, *facts], width)]
    yield section("Candidates", *tables, Text(), *_legend(decision, axis), *_failures(field))


def _measured(field: Field, axis: Axis, width: int) -> list[Column]:
    columns = [
        *_rows(field),
        field.column(
            "right\nof 100", lambda card: percent(card.accuracy.value) if card.accuracy else DASH
        ),
        field.column("95 %\ninterval", lambda card: span(card.accuracy)),
        Column(Scale(axis), _bands(field, axis), figures=False, drawn=True),
    ]
    return columns if width >= NARROW else [c for c in columns if c is not columns[-2]]


def _rows(field: Field) -> list[Column]:
    """Return the column of rows asked, where candidates answered different ones."""
    if not uneven(field.decision):
        return []
    return [field.column("asked\nrows", lambda card: str(card.rows) if card.rows else DASH)]


def _bands(field: Field, axis: Axis) -> list[RenderableType]:
    return [Band(axis, card.accuracy, field.style(card) or "cyan") for card in field.cards]


def _facts(field: Field) -> list[Column]:
    models = short_models(card.model for card in field.cards)
    column = field.column
    facts = [
        column("family", lambda card: card.family, figures=False),
        column("model", lambda card: models[card.model], figures=False),
        column("macro\nF1", lambda card: percent(card.macro_f1.value) if card.macro_f1 else DASH),
        column("seeds", lambda card: str(card.repetitions) if card.repetitions else DASH),
        column("ms per\nitem", lambda card: figure(card.cost.ms_per_item)),
        column("fit\nseconds", lambda card: figure(card.cost.fit_seconds)),
    ]
    if any(card.cost.usd_per_1k is not None for card in field.cards):
        facts.append(column("$ per\n1,000", lambda card: figure(card.cost.usd_per_1k)))
    if any(card.format_valid is not None and card.format_valid < 1 for card in field.cards):
        facts.append(column("usable\nof 100", lambda card: percent(card.format_valid)))
    return facts


def _legend(decision: Decision, axis: Axis) -> Iterator[RenderableType]:
    verdict = decision.verdict
    marks = ["▶ recommended" if verdict.recommended else "▷ use meanwhile", "├─●─┤ 95 % interval"]
    known = [card.accuracy for card in decision.scorecards if card.accuracy]
    if axis.target is not None:
        marks.append("┊ target")
    if any(accuracy.value < axis.low for accuracy in known):
        marks.append("◂ further left")
    yield note("  ".join([*marks, f"{DASH} not measured"]))
    if uneven(decision):
        yield note(WARNING)
    estimands = {clean(accuracy.estimand) for accuracy in known if accuracy.estimand}
    if estimands:
        yield note(f"Each interval is about: {'; '.join(sorted(estimands))}.")


def _failures(field: Field) -> Iterator[RenderableType]:
    for card in field.cards:
        for error in card.errors:
            yield literal(f"{shorten(clean(card.candidate), NAME)} failed: {clean(error)}", "red")

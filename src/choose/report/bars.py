"""Accuracy intervals drawn on one common axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from choose.judge.record import Interval

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

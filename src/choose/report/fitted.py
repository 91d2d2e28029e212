"""Pages that fit the console that they are printed on, and its encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment

from choose.report.plain import encodable, trimmed


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a function lays out for a width."""

    parts: Callable[[int], Iterable[RenderableType]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out, line by line, without white space at the ends."""
        laid_out = Group(*self.parts(options.max_width))
        for line in console.render_lines(laid_out, options, pad=False):
            yield from encodable(trimmed(line), options.encoding)
            yield Segment.line()

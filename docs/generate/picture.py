"""The picture of the terminal report: the first screens of a finished demo's record."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from choose.report.terminal.decision_page import render
from choose.schema.decision import Decision

# The record of a real run of `choose demo`; `make picture` takes a new one.
RECORD = Path(__file__).parent / "demo.json"
WIDTH = 96
# The section before which the picture ends.
END = "Rejected"


@dataclass(frozen=True)
class FirstScreens:
    """A report up to the section that the picture ends with."""

    decision: Decision

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the report before `END`."""
        for line in console.render_lines(render(self.decision), options, pad=False):
            if "".join(segment.text for segment in line).startswith(END):
                return
            yield from line
            yield Segment.line()


def picture(record: Path = RECORD) -> str:
    """Return the first screens as SVG, the same for the same record."""
    decision = Decision.model_validate_json(record.read_text(encoding="utf-8"))
    console = Console(
        record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(FirstScreens(decision))
    drawn = console.export_svg(title="choose demo", unique_id="demo")
    # The page must load nothing from elsewhere; a monospaced font of the reader's does.
    return re.sub(r"@font-face \{.*?\n    \}", "", drawn, flags=re.DOTALL)

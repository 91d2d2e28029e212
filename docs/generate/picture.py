"""The picture of the terminal report: the first screen of a finished demo's record."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from rich.console import Console

from choose.report.terminal.pages import render
from choose.schema.decision import Decision

# The record of a real run of `choose demo`; `make picture` takes a new one.
RECORD = Path(__file__).parent / "demo.json"
WIDTH, HEIGHT = 80, 40


def picture(record: Path = RECORD) -> str:
    """Return the first screen as SVG, the same for the same record."""
    decision = Decision.model_validate_json(record.read_text(encoding="utf-8"))
    console = Console(
        record=True,
        width=WIDTH,
        height=HEIGHT,
        file=StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(render(decision))
    drawn = console.export_svg(title="choose demo", unique_id="demo")
    # The page must load nothing from elsewhere; a monospaced font of the reader's does.
    return re.sub(r"@font-face \{.*?\n    \}", "", drawn, flags=re.DOTALL)

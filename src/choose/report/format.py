"""Figures and names as a reader meets them; what was not measured is a dash, never a zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from choose.formatting import COUNTED, clean, plural
from choose.schema.decision import DatasetRecord, Decision, Kind, Note

WARNING = (
    "Candidates were asked different numbers of rows, and some rows are harder: compare "
    "them by their differences below, which are taken on common rows."
)


def uneven(decision: Decision) -> bool:
    """Return whether candidates that were measured were asked different numbers of rows."""
    return len({card.rows for card in decision.scorecards if card.accuracy}) > 1


def literal(text: object, style: str | Style = "") -> Text:
    """Return cleaned text as rich text, in which markup is shown and not followed."""
    return Text(clean(text), style=style)


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that needs more than `width` columns of the screen."""
    if cell_len(text) <= width:
        return text
    head = _fitting(text, (width - 1) // 2)
    tail = _fitting(text[::-1], width - 1 - cell_len(head))[::-1]
    return f"{head}…{tail}"


def _fitting(text: str, width: int) -> str:
    for end in range(min(len(text), width), 0, -1):
        if cell_len(text[:end]) <= width:
            return text[:end]
    return ""


KINDS: dict[Kind, str] = {
    "adopt": "Adopt",
    "baseline-is-enough": "A baseline is enough",
    "none-works": "None of these works yet",
    "collect-labels": "Label more first",
    "fix-labels": "Fix the labels first",
    "too-close": "Too close to call",
}


COLOURS: dict[Kind, str] = {
    "adopt": "green",
    "baseline-is-enough": "green",
    "none-works": "red",
    "collect-labels": "yellow",
    "fix-labels": "yellow",
    "too-close": "yellow",
}


def counted_by(goal: Mapping[str, Any]) -> str:
    """Say what "right" means where it is not that each row counts the same; else empty."""
    return COUNTED.get((goal.get("measure") or {}).get("metric", ""), "")


def learnt(data: DatasetRecord) -> str:
    """Say how much of its pool a study learnt from, to be added to a sentence; empty for all."""
    if data.learnt is None or data.pool is None or data.learnt >= data.pool:
        return ""
    return f"; {data.learnt:,} of {data.pool:,} labels of the pool learnt from"


def quantity(facts: Mapping[str, Any], key: str) -> float | None:
    """Return a number among facts of a form that is not ours to know, or None."""
    value = facts.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def noted(note: Note) -> str:
    """Say a note, and how many fits say it where several do."""
    return note.text if note.fits == 1 else f"{note.text} ({plural(note.fits, 'fit')})"

"""Predictions as CSV for people and spreadsheets, or as JSON Lines for programs."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable
from typing import TextIO

from choose.artefact.answering import Prediction
from choose.report.safe import clean

# What a spreadsheet takes for a formula when a cell begins with it; numbers are none.
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")

Write = Callable[[TextIO, Iterable[Prediction], bool], None]


def write_csv(out: TextIO, predictions: Iterable[Prediction], with_text: bool) -> None:
    """Write rows as they come; a cell that could be a formula gets an apostrophe before it.

    Control characters go, and line ends become spaces: one row is one line.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", *(["text"] if with_text else []), "label", "confidence", "status"])
    for p in predictions:
        chance = "" if p.confidence is None else f"{p.confidence:.4f}"
        text = [defused(p.text)] if with_text else []
        writer.writerow([defused(p.id), *text, defused(p.label or ""), chance, p.status])
        out.flush()


def write_jsonl(out: TextIO, predictions: Iterable[Prediction], with_text: bool) -> None:
    """Write one object a line as they come, every label and id exactly as it is."""
    for p in predictions:
        chance = None if p.confidence is None else round(p.confidence, 6)
        text = {"text": p.text} if with_text else {}
        row = {"id": p.id, **text, "label": p.label, "confidence": chance, "status": p.status}
        out.write(json.dumps(row) + "\n")
        out.flush()


def defused(cell: str) -> str:
    """Return a cell on one line that no spreadsheet and no terminal obeys."""
    line = clean(cell)
    risky = _FORMULA.match(cell) or _FORMULA.match(line)
    return f"'{line}" if risky and not _NUMBER.fullmatch(line) else line

"""The rows to look at as CSV, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from choose.check.record import Check
from choose.report.safe import clean

COLUMNS = ("row", "kind", "label", "suggested", "other_row", "says", "text")

# What a spreadsheet takes for the beginning of a formula, full-width forms too.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def render_issues(check: Check, texts: Mapping[str, str]) -> str:
    """Return one line an issue; a row with hints of personal data is named without its text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    hidden = {issue.row for issue in check.issues if issue.kind == "personal"}
    for issue in check.issues:
        text = "" if issue.row in hidden else texts.get(issue.row, "")
        cells = (issue.row, issue.kind, issue.label, issue.suggested, issue.other, issue.says, text)
        writer.writerow([defused(cell or "") for cell in cells])
    return out.getvalue()


def defused(cell: str) -> str:
    """Return a cell on one line that no spreadsheet takes for a formula: an apostrophe stops it."""
    text = clean(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text

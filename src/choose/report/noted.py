"""How what the fits of a candidate noted is told."""

from __future__ import annotations

from choose.judge.record_method import Note
from choose.report.words import plural


def noted(note: Note) -> str:
    """Say a note, and how many fits say it where several do."""
    return note.text if note.fits == 1 else f"{note.text} ({plural(note.fits, 'fit')})"

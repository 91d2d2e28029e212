"""What every form of a report says of reading, and of facts exchanged in the documents."""

from __future__ import annotations

from choose.formatting import clean, percent, plural
from choose.report.reading_text import TextTable, reading_notes, reading_tables, with_span
from choose.report.words import after_changes
from choose.schema.decision import Decision
from choose.schema.reading_documents import (
    DocumentDrill,
)


def drill_table(drill: DocumentDrill) -> TextTable:
    """Return what candidates answer after facts in the documents changed."""
    rows = [
        [
            clean(outcome.candidate),
            percent(outcome.clean.value),
            with_span(outcome.updated),
            with_span(outcome.stale),
        ]
        for outcome in drill.outcomes
    ]
    heads = ["candidate", "score before", "score after", "% old fact"]
    return TextTable("Facts that change in the documents", heads, rows)


def drill_note(drill: DocumentDrill) -> str:
    """Return what the table of changed facts means."""
    return (
        f"{plural(drill.facts, 'fact')} of the documents were exchanged after training; "
        f"{plural(drill.rows, 'row')} on {plural(drill.documents, 'document')} (95 % CI). "
        "Candidates that read no documents answer as before."
    )


def tables_on_reading(decision: Decision) -> list[TextTable]:
    """Return every table on candidates that read documents."""
    drill = decision.document_drill
    return [*reading_tables(decision), *([drill_table(drill)] if drill else [])]


def notes_on_reading(decision: Decision) -> list[str]:
    """Return every sentence on these tables."""
    drill = decision.document_drill
    return [
        *reading_notes(decision),
        *((after_changes(drill), drill_note(drill)) if drill else ()),
    ]

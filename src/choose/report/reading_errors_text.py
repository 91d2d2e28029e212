"""What every form of a report says of wrong answers of a candidate that reads, and of old facts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from choose.corpus import LOOKED
from choose.formatting import DASH, clean, percent, plural
from choose.report.decision_text import PERSONAL
from choose.report.reading_text import TextTable, reading_notes, reading_tables, with_span
from choose.report.screen_text import shorten
from choose.schema.decision import Decision
from choose.schema.reading_documents import (
    DocumentDrill,
    ReadingError,
    ReadingErrors,
    ReadingExample,
    ReadingStep,
)
from choose.schema.text_scores import GivenAnswer

# What the reasons for which a candidate that reads is wrong mean.
REASONS: dict[ReadingStep, str] = {
    "label suspect": "several candidates give another answer",
    "corpus gap": "the answer occurs in no document",
    "retrieval miss": "its evidence was not read",
    "dropped": "its evidence was cut from the prompt",
    "distraction": "right with the right passage alone",
    "format": "unusable, or a part of it is right",
    "needless abstention": "it says that there is no answer",
    "false answer": "an answer where there is none",
    "ungrounded": "its words are not in the evidence",
    "skill": "none of these; the evidence was read",
    "right by prior": "no error: right without the evidence",
}

# Characters of a text in a row of examples.
LONGEST = 300


class WrongRow(NamedTuple):
    """A row that a candidate gets wrong: why, and names with texts for a person to read."""

    id: str
    error: str
    parts: list[tuple[str, str]]


def error_table(decision: Decision) -> TextTable | None:
    """Return why the best candidate that reads is wrong; None where that is not known."""
    found = decision.reading_errors
    if found is None:
        return None
    heads = ["reason", "rows", "% of wrong", "meaning"]
    rows = [row for error in found.errors for row in (_error_row(error), *_parts(found, error))]
    return TextTable("Wrong answers by the first reason", heads, rows, clean(found.candidate))


def _error_row(error: ReadingError) -> list[str]:
    prior = error.name == "right by prior"
    count = DASH if error.count is None else f"{error.count:,}"
    return [error.name, count, DASH if prior else percent(error.share), REASONS[error.name]]


def _parts(found: ReadingErrors, error: ReadingError) -> Iterator[list[str]]:
    """Yield the two kinds of retrieval misses, where the record separates them."""
    if error.name != "retrieval miss" or found.low is None or found.not_found is None:
        return
    for ids, name, meaning in (
        (found.low, "ranked too low", f"in the first {LOOKED}: a better ranker helps"),
        (found.not_found, "not found", f"not in the first {LOOKED}: wording or documents"),
    ):
        share = len(ids) / found.wrong if found.wrong else None
        yield [f"· {name}", f"{len(ids):,}", percent(share), meaning]


def error_notes(decision: Decision) -> Iterator[str]:
    """Yield how many rows are wrong, and what the shares rest on."""
    found = decision.reading_errors
    if found is None:
        return
    yield (
        f"{clean(found.candidate)} scores less than a half on {found.wrong:,} of "
        f"{plural(found.rows, 'test row')}."
    )
    if found.untold:
        yield (
            f"{plural(found.untold, 'wrong row')} whose evidence was read had no answer under "
            "controls; shares take them to be like the others."
        )


def wrong_rows(decision: Decision) -> list[WrongRow]:
    """Return the wrong rows of the record for a person to read; those with personal data bare."""
    found = decision.reading_errors
    return [_wrong_row(decision, row) for row in found.examples] if found is not None else []


def _wrong_row(decision: Decision, row: ReadingExample) -> WrongRow:
    parts = []
    if row.id in decision.personal:
        parts.append(("question", PERSONAL))
    elif row.text is not None:
        parts.append(("question", _cut(row.text)))
    parts.append(("read", ", ".join(map(clean, row.shown)) or "nothing"))
    if row.id not in decision.personal:
        parts += [("passage", _cut(text)) for text in row.passages or ()]
    parts.append(("occurs in", ", ".join(map(clean, row.evidence)) or "no document"))
    if row.target is not None and row.id not in decision.personal:
        parts.append(("right", _cut(row.target)))
        parts += [(clean(answer.candidate), _said(answer)) for answer in row.answers]
    return WrongRow(clean(row.id), row.error, [(name, _cut(text)) for name, text in parts])


def _said(answer: GivenAnswer) -> str:
    if answer.output is None:
        return f"no usable answer: {_cut(answer.raw)}" if answer.raw else "no usable answer"
    if answer.raw is None:
        return f"{_cut(answer.output)} ({answer.score:.2f})"
    return f"{_cut(answer.output)} ({answer.score:.2f}), shortened from: {_cut(answer.raw)}"


def _cut(text: str) -> str:
    return shorten(clean(text), LONGEST)


def example_table(decision: Decision) -> TextTable | None:
    """Return the wrong rows as a table, without their questions; None without any."""
    rows = [
        [row.id, row.error, "; ".join(f"{n}: {t}" for n, t in row.parts if n != "question")]
        for row in wrong_rows(decision)
    ]
    return (
        TextTable("Rows with wrong answers", ["row", "reason", "details"], rows) if rows else None
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
    changed = None if drill is None else drill_table(drill)
    more = (error_table(decision), example_table(decision), changed)
    return [*reading_tables(decision), *(table for table in more if table is not None)]


def notes_on_reading(decision: Decision) -> list[str]:
    """Return every sentence on these tables."""
    drill = decision.document_drill
    return [
        *reading_notes(decision),
        *error_notes(decision),
        *((drill.says, drill_note(drill)) if drill else ()),
    ]

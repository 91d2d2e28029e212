"""What every form of a report says of documents that change, arrive or have errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from choose.corpus import ARRIVED, MISSING, UPDATED, DrillKind, Fault
from choose.formatting import (
    DASH,
    clean,
    difference,
    duration,
    in_percent,
    in_points,
    percent,
    plural,
)
from choose.report.reading_errors_text import error_notes, error_table, example_table
from choose.report.reading_text import TextTable, reading_notes, reading_tables, with_span
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.reading_documents import DocumentDrill, DocumentFault, Paraphrases


def tables_on_reading(decision: Decision) -> list[TextTable]:
    """Return every table on candidates that read documents, and on documents that change."""
    more = (error_table(decision), example_table(decision))
    found = [*reading_tables(decision), *(table for table in more if table is not None)]
    drills = (drill.table for drill in drill_tables(decision))
    return [*found, *drills]


def notes_on_reading(decision: Decision) -> list[str]:
    """Return every sentence on these tables."""
    drills = (text for drill in drill_tables(decision) for text in (drill.says, drill.note))
    return [*reading_notes(decision), *error_notes(decision), *drills]


class DrillTable(NamedTuple):
    """What candidates answer after documents changed: a sentence, a table and what it means."""

    says: str
    table: TextTable
    note: str


def drill_tables(decision: Decision) -> list[DrillTable]:
    """Return what documents that changed do to answers; empty where that was not measured."""
    drills = [
        DrillTable(drill.says, _drill_table(drill), _drill_note(drill))
        for drill in decision.document_drills
    ]
    drills += [_fault_table(decision)] if decision.document_faults else []
    return drills + ([_wordings(decision.paraphrases)] if decision.paraphrases else [])


_DRILL_TITLES: dict[DrillKind, str] = {
    UPDATED: "Facts that change in the documents",
    MISSING: "Evidence that goes missing",
    ARRIVED: "Documents that arrive after training",
}

# What each kind of change shows, as a column and the figure of an outcome.
_DRILL_COLUMNS: dict[DrillKind, dict[str, str]] = {
    UPDATED: {
        "score after": "updated",
        "% new fact": "new",
        "% old fact": "stale",
        "% not answered": "abstained",
        "trained again": "renewed",
        "% new fact then": "renewed_new",
        "time to renew": "seconds",
    },
    MISSING: {"% old fact": "stale", "% not answered": "abstained"},
    ARRIVED: {
        "score after": "updated",
        "% not answered": "abstained",
        "trained again": "renewed",
        "time to renew": "seconds",
    },
}


def _drill_table(drill: DocumentDrill) -> TextTable:
    columns = _DRILL_COLUMNS[drill.kind]
    rows = [
        [
            clean(outcome.candidate),
            percent(outcome.clean.value),
            *(_drill_cell(getattr(outcome, figure)) for figure in columns.values()),
        ]
        for outcome in drill.outcomes
    ]
    return TextTable(_DRILL_TITLES[drill.kind], ["candidate", "score before", *columns], rows)


def _drill_cell(figure: Interval | float | None) -> str:
    if figure is None:
        return DASH
    return with_span(figure) if isinstance(figure, Interval) else duration(figure)


def _drill_note(drill: DocumentDrill) -> str:
    on = f"{plural(drill.rows, 'row')} on {plural(drill.documents, 'document')} (95 % CI)"
    if drill.kind == ARRIVED:
        what = f"{plural(drill.facts, 'document')} arrived after training; {on}."
    else:
        how = "facts were exchanged" if drill.kind == UPDATED else "sentences were taken out"
        what = f"{plural(drill.facts, 'place')} of the documents changed after training ({how}); "
        what += f"{on}."
    note = f"{what} Candidates that read no documents answer as before."
    if drill.kind != MISSING:
        note += (
            " Trained again: the score after training with what changed, where there was time for "
            "it. Time to renew: indexing for candidates that read, training again for others."
        )
        few = [o for o in drill.outcomes if 0 < o.renewed_rows < drill.rows]
        if few:
            parts = ", ".join(f"{clean(o.candidate)} on {o.renewed_rows}" for o in few)
            note += f" Trained again, fewer rows were answered: {parts}."
    return note


# What errors are called in a cell, and in a sentence after "with".
FAULTS: dict[Fault, tuple[str, str]] = {
    "gone": ("gone", "{} gone"),
    "older-version": ("older version", "an older version beside {}"),
    "copy-without-answers": ("copy, no answers", "a copy without answers beside {}"),
    "scanned": ("scanned", "{} scanned"),
}


def _fault_table(decision: Decision) -> DrillTable:
    """Return what errors in documents cost: a row for each candidate and kind of error."""
    faults = decision.document_faults
    rates = sorted({fault.rate for fault in faults})
    found = {(o.candidate, f.kind, f.rate): o for f in faults for o in f.outcomes}
    names = dict.fromkeys(o.candidate for f in faults for o in f.outcomes)
    rows = []
    for name in names:
        for kind in dict.fromkeys(fault.kind for fault in faults):
            own = [found.get((name, kind, rate)) for rate in rates]
            last = next((one for one in own[::-1] if one is not None), None)
            if last is not None:
                changes = (DASH if one is None else difference(one.change) for one in own)
                older = DASH if last.older is None else with_span(last.older)
                rows.append([clean(name), FAULTS[kind][0], *changes, older])
    heads = ["candidate", "error", *(f"{in_percent(rate)} of documents" for rate in rates)]
    title = "Points that errors in documents change"
    table = TextTable(title, [*heads, "% older fact"], rows)
    return DrillTable(_worst(faults), table, _fault_note(faults))


def _worst(faults: Sequence[DocumentFault]) -> str:
    """Say which error costs the best candidate most, at the highest rate."""
    highest = max(fault.rate for fault in faults)
    most = [fault for fault in faults if fault.rate == highest]
    best = most[0].outcomes[0].candidate
    changes = [(f, o.change) for f in most for o in f.outcomes if o.candidate == best]
    fault, change = min(changes, key=lambda one: one[1].value)
    what = FAULTS[fault.kind][1].format(f"{fault.documents:,} of {plural(fault.known, 'document')}")
    said = f"With {what}, the score of {best} changes by {in_points(change)}"
    # The least of several measured changes is lower than it is on other rows.
    kinds = f"; of {len(changes)} kinds of errors, that is the lowest figure"
    return f"{said}{kinds if len(changes) > 1 else ''}."


def _fault_note(faults: Sequence[DocumentFault]) -> str:
    least, most = min(fault.rows for fault in faults), max(fault.rows for fault in faults)
    rows = plural(most, "row") if least == most else f"{least:,} to {plural(most, 'row')}"
    note = (
        f"Errors in documents with the answers of {rows}, "
        f"{plural(max(fault.known for fault in faults), 'document')} in all; right answers stay "
        "the same, and nothing is trained again (95 % CI). Gone: the document is not there. Older "
        "version, and copy without the answers: it is beside the document. Scanned: some words "
        "are misread. "
        "% older fact: answers that give the older fact, of rows with one."
    )
    odd = [f for f in faults if abs(f.documents - f.rate * f.known) > f.rate * f.known / 3]
    if odd:
        parts = (f"{FAULTS[f.kind][0]} {f.documents} of {f.known}" for f in odd)
        note += f" Another share of documents could not be had: {'; '.join(parts)}."
    return note


def _wordings(found: Paraphrases) -> DrillTable:
    """Return whether answers depend on the wording of a question."""
    heads = ["candidate", "score", "% right on both", "% right on one"]
    rows = [
        [clean(o.candidate), percent(o.score.value), with_span(o.both), with_span(o.one)]
        for o in found.outcomes
    ]
    best = found.outcomes[0]
    pair = (
        "wordings of a question"
        if found.stated
        else ("questions with the same answer at the same place")
    )
    says = (
        f"Of two {pair}, {best.candidate} is right on "
        f"both in {in_percent(best.both.value)} and on one alone in {in_percent(best.one.value)}."
    )
    note = (
        f"{plural(found.rows, 'test row')} in {plural(found.groups, 'group')} that "
        f"{'ask the same, as the data say' if found.stated else 'share answer and place'}, on "
        f"{plural(found.documents, 'document')} (95 % CI). An answer is right that scores a half."
    )
    return DrillTable(says, TextTable("Questions in other words", heads, rows), note)

"""Find the column that says where the answers of questions occur, and read its cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from choose.corpus import Corpus
from choose.data.readers.column_guess import column_named, usual
from choose.data.readers.json_and_parquet import ROW
from choose.errors import (
    DataError,
    StudyError,
    did_you_mean,
    quoted,
    quoted_list,
    rows_named,
    told_of,
)
from choose.formatting import plural
from choose.schema.study_sections import DataSection
from choose.tasks.answering import abstains
from choose.tasks.evidence_spans import AnswerPlaces, spans_of
from choose.tasks.ranking import Place, ids_in, read_places, read_scores, relevance_text
from choose.types import Example

# Names of columns of the documents that are relevant to a question, where these are to be ranked;
# those of evidence and of documents come after.
RELEVANT = (
    *("relevant", "relevance", "qrels", "relevant_ids", "relevant_documents", "relevant_docs"),
    *("relevant_passages", "positives", "positive_passages", "positive_ids", "pos"),
)

# Names of columns of evidence; those of documents alone count only if all their cells name some.
EVIDENCE = ("evidence", "gold_passage_ids", "gold_passages", "supporting_facts", "spans")
DOCUMENT = ("doc", "doc_id", "document_id", "document", "passage_id")

_FORMS = (
    "Allowed: the id of a document, a list of ids, or spans of characters such as "
    '[["handbook", 120, 135]].'
)


def reserved(columns: Sequence[str]) -> list[str]:
    """Return the columns of evidence and documents: never a text or a label."""
    about = {*RELEVANT, *EVIDENCE, *DOCUMENT}
    return [name for name in columns if name.strip().lower() in about]


@dataclass(frozen=True, slots=True)
class Part:
    """A table, the name of its file if it has one, and its rows as examples."""

    path: str | None
    table: pl.DataFrame
    rows: Sequence[Example]


@dataclass(frozen=True, slots=True)
class Linked:
    """The rows of all parts with their evidence, and what is to be said of it."""

    rows: list[Example]
    notes: tuple[str, ...]


def check_documents(section: DataSection) -> None:
    if section.documents is None and section.evidence_column is not None:
        raise StudyError(
            "[data] evidence_column is for questions that are answered from "
            "documents. Name these with --documents, or leave it out."
        )


def with_evidence(
    parts: Sequence[Part], corpus: Corpus, section: DataSection, taken: Sequence[str]
) -> Linked:
    """Return the rows of a file, and of a test file, with the places that hold their answers.

    A column names them, or else they are where an answer's text occurs.
    """
    rows = [e for part in parts for e in part.rows]
    column, unread = evidence_column(parts[0].table, section.evidence_column, corpus, taken)
    places = AnswerPlaces(corpus, rows)
    if column is None:
        spans = [places.of(e) for e in rows]
    else:
        cells = [cell for part in parts for cell in _cells_of(part, column, corpus, len(parts) > 1)]
        spans = [spans_of(e, cell, corpus, places) for e, cell in zip(rows, cells, strict=True)]
    every = [replace(e, evidence=found) for e, found in zip(rows, spans, strict=True)]
    return Linked(every, (*filter(None, [unread]), _said(every, column)))


def with_relevance(parts: Sequence[Part], corpus: Corpus, column: str) -> Linked:
    """Return the rows of a file, and of a test file, whose relevant documents all exist."""
    every = [e for part in parts for e in part.rows]
    strange: dict[str, str] = {}
    for place, row in enumerate(every):
        written = read_scores(row.target) if row.target else {}
        if written.keys() <= corpus.by_id.keys():
            continue
        grades: dict[str, float] = {}
        for cell, grade in written.items():
            for id in ids_in(cell, corpus.by_id):
                grades[id] = max(grade, grades.get(id, grade))
                if id not in corpus.by_id:
                    strange[row.id] = id
        every[place] = replace(row, target=relevance_text(grades))
    if strange:
        named, first = rows_named(strange), next(iter(strange.values()))
        unknown = _unknown(first, corpus, "--label-column")
        raise DataError(f"{named[0].upper()}{named[1:]}, column {column!r}: {unknown}")
    said = (
        f"The documents that are relevant to a question are in the column {quoted(column)}: "
        f"{sum(bool(e.target) for e in every):,} of {plural(len(every), 'question')} have some."
    )
    return Linked(every, (said,))


def _unknown(id: str, corpus: Corpus, flag: str) -> str:
    """Say that no document has an id; `flag` names another column."""
    near = did_you_mean(id, corpus.by_id) if len(corpus) < 10_000 else ""
    return (
        f"no document has the id {quoted(id)}.{near} Documents have ids such as "
        f"{quoted_list(list(corpus.by_id)[:3])}; name another column ({flag}), or give the "
        "documents that it is about."
    )


def _cells_of(
    part: Part, column: str, corpus: Corpus, several: bool
) -> Iterator[tuple[Place, ...]]:
    """Yield the places that each cell of a column names; none of an empty one."""
    table = part.table
    with told_of(f"In {part.path!r}: " if several and part.path else ""):
        if column not in table.columns:
            raise DataError(f"There is no column {column!r}, which names evidence elsewhere.")
        for number, cell in zip(table[ROW].to_list(), table[column].to_list(), strict=True):
            try:
                places = tuple(_places(cell, corpus))
                for place in places:
                    _check(place, corpus)
            except ValueError as error:
                raise DataError(f"Row {number}, column {column!r}: {error}") from error
            yield places


def _said(rows: Sequence[Example], column: str | None) -> str:
    asked = [e for e in rows if e.text.strip() and not abstains(e.target)]
    known = sum(bool(e.evidence) for e in asked)
    lacking = len(asked) - known
    of = f"{known:,} of {plural(len(asked), 'question')} with an answer"
    if column is not None:
        return f"Evidence is in the column {quoted(column)}: {of}."
    has = "has an answer that occurs" if lacking == 1 else "have an answer that occurs"
    none = f"; {lacking:,} {has} in no document" if lacking else ""
    return f"Evidence found by the answer's text: {of}{none}."


def evidence_column(
    table: pl.DataFrame, wanted: str | None, corpus: Corpus, taken: Sequence[str]
) -> tuple[str | None, str | None]:
    """Return the column of evidence, if there is one, and a note on one that is not read."""
    columns = [name for name in table.columns if name != ROW]
    if wanted is not None:
        return column_named(columns, wanted, "evidence"), None
    free = [name for name in columns if name not in taken]
    note = None
    for names in (EVIDENCE, DOCUMENT):
        for name in filter(None, (usual(free, [name]) for name in names)):
            known = [_known(cell, corpus) for cell in table[name].to_list() if _filled(cell)]
            if known and (all(known) or (names is EVIDENCE and any(known))):
                return name, None
            if names is EVIDENCE and known:
                note = f"The column {quoted(name)} names no document of these, and is not read."
    return None, note


def _filled(cell: Any) -> bool:
    return bool(cell.strip() not in ("", "[]", "null") if isinstance(cell, str) else cell)


def _known(cell: Any, corpus: Corpus) -> bool:
    try:
        return any(place.document in corpus.by_id for place in _places(cell, corpus))
    except ValueError:
        return False


def _places(cell: Any, corpus: Corpus) -> list[Place]:
    """Return what a cell names; raise ValueError if it has another form."""
    try:
        read = read_places(cell)
    except ValueError as error:
        raise ValueError(f"{error}. {_FORMS}") from error
    found: list[Place] = []
    for place in (place for place, grade in read.items() if grade > 0):
        whole = place.start is None
        found += map(Place, ids_in(place.document, corpus.by_id)) if whole else [place]
    return found


def _check(place: Place, corpus: Corpus) -> None:
    document = corpus.by_id.get(place.document)
    if document is None:
        raise ValueError(_unknown(place.document, corpus, "data.evidence_column"))
    if place.start is not None and place.end is not None:
        length = len(document.text)
        if not 0 <= place.start < place.end <= length:
            raise ValueError(
                f"the characters {place.start} to {place.end} are outside of the document "
                f"{quoted(place.document)}, which has {length:,}."
            )

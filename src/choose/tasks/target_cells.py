"""Targets as users write them: records, accepted answers, and the task that their cells make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, cast, get_args

from choose.errors import DataError, StudyError, did_you_mean, quoted, rows_named
from choose.schema.study_sections import TaskSection
from choose.tasks.answering import NO_ANSWER, Answering, abstains
from choose.tasks.extraction import Extraction, as_text, fields_of, parse
from choose.tasks.graded_task import check_differ
from choose.tasks.values import FieldType, occurs, scalar_text, type_name
from choose.types import Example

# Names of columns that hold what is to be read for an answer.
PASSAGES = ("passage", "context", "paragraph", "passages", "contexts", "document", "article")

# A field is the passage if so large a share of the answers occurs in it, of so many rows.
STANDS, ROWS_READ = 0.5, 500


def answer_cells(values: Sequence[Any], rows: Sequence[int], column: str) -> list[tuple[str, ...]]:
    """Return the accepted answers of each cell; none of a blank text, which is a mistake.

    A cell is a text, a list of texts or JSON of one, or an object with such a list under ``text``,
    as in SQuAD. Null, an empty list and `NO_ANSWER` are questions without an answer.

    Raises:
        DataError: naming the row and the column of a cell that holds something else.
    """
    found = []
    for row, value in zip(rows, values, strict=True):
        given = _texts(_parsed(value) if isinstance(value, str) else value)
        wrong = [one for one in given if isinstance(one, list | dict | bytes)]
        if wrong:
            what = "bytes" if isinstance(wrong[0], bytes) else type_name(wrong[0])
            raise DataError(
                f"Row {row}, column {column!r}: the answer is {what}. Each must be a text, a list "
                'of accepted texts such as ["1912", "in 1912"], or [] where there is no answer.'
            )
        written = (" ".join((scalar_text(one) or "").split()) for one in given)
        texts = [NO_ANSWER if abstains(text) else text for text in written if text]
        # What is accepted besides "no answer" is the main answer.
        texts.sort(key=NO_ANSWER.__eq__)
        found.append(tuple(dict.fromkeys(texts)) if given else (NO_ANSWER,))
    return found


def is_squad(value: Any) -> bool:
    """Return whether a value holds texts with their places, as SQuAD's answers do."""
    if isinstance(value, list):
        return bool(value) and all(is_squad(one) for one in value)
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("text"), list | str)
        and value.keys() <= {"text", "answer_start", "answer_end"}
    )


def _texts(value: Any) -> list[Any]:
    """Return the answers in a cell, of objects with their texts; none of null."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for one in value for text in (_texts(one) if is_squad(one) else [one])]
    return _texts(value["text"]) if is_squad(value) else [value]


def _parsed(text: str) -> Any:
    """Return what a cell holds that is JSON of texts, or of SQuAD's answers; else the text."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    listed = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return found if listed or is_squad(found) else text


def check_answers(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    """Refuse answers that are all the same.

    Raises:
        DataError: saying so.
    """
    check_differ(pool, "questions have the same answer", "answer")


def answering_from(
    pool: Sequence[Example], test: Sequence[Example], section: TaskSection
) -> Answering:
    """Return the task of a pool; the study file may give it an instruction."""
    return Answering(
        instruction=section.instruction,
        unanswerable=any(e.target == NO_ANSWER for e in pool),
        passage=passage_of(pool),
        day_first=section.day_first,
    )


def passage_of(rows: Sequence[Example]) -> str | None:
    """Return the field in which most answers occur, or else one that is called a passage."""
    some = [e for e in rows if not abstains(e.target)]
    some = some[:: max(1, len(some) // ROWS_READ)]
    names = dict.fromkeys(name for e in some for name in e.fields)
    shares = {name: sum(occurs(e.targets, e.fields.get(name, "")) for e in some) for name in names}
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is not None and shares[best] >= STANDS * len(some):
        return best
    return next((name for name in names if name.lower() in PASSAGES), None)


TYPES: tuple[FieldType, ...] = get_args(FieldType)

# With more fields than this, the names of fields are values.
MOST_FIELDS = 300

_EXPECTED = (
    'Each target must be one JSON object with flat values, such as {"day": "2025-01-31", "items": '
    '["2 chairs"]}; {} is a right answer too.'
)


def record_cells(values: Sequence[Any], rows: Sequence[int], column: str) -> list[tuple[str, ...]]:
    """Return the right records of each cell as texts; none of an empty cell.

    A cell is an object or JSON of one; a list of objects holds several right answers.

    Raises:
        DataError: naming the rows and the column, what is wrong and what is expected.
    """
    found: list[tuple[str, ...]] = []
    wrong: dict[int, str] = {}
    for row, value in zip(rows, values, strict=True):
        try:
            found.append(_records(value))
        except ValueError as error:
            wrong[row] = str(error)
    if wrong:
        first, why = next(iter(wrong.items()))
        more = f" {rows_named(list(wrong)[1:]).capitalize()} cannot be read either." * (
            len(wrong) > 1
        )
        raise DataError(
            f"Row {first}, column {column!r}: the target is no record: {why}.{more} {_EXPECTED}"
        )
    return found


def _records(value: Any) -> tuple[str, ...]:
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(_problem(str(value))) from None
    if isinstance(value, list):
        return tuple(dict.fromkeys(_record(one) for one in value))
    return (_record(value),)


def _record(value: Any) -> str:
    """Return the text that represents a record.

    Raises:
        ValueError: saying why it is none.
    """
    if isinstance(value, str) and value.lstrip().startswith(("{", "```")):
        return as_text(parse(value))
    if not isinstance(value, Mapping):
        raise ValueError(f"it is {type_name(value)}, not an object")
    return as_text({str(name): _plain(one) for name, one in value.items()})


def _problem(text: str) -> str:
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return "it is JSON, but no object"


def _plain(value: Any) -> Any:
    """Return a value of a table in memory or of Parquet as JSON has it."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        raise ValueError("a field of it holds bytes")
    return value


def check_records(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    """Refuse records that are all the same, and fields without end.

    Raises:
        DataError: saying what is needed.
    """
    everything = [*pool, *(test or ())]
    check_differ(pool, "rows have the same record", "extract")
    names = {name for e in everything for target in e.targets for name in parse(target)}
    if len(names) > MOST_FIELDS:
        raise DataError(
            f"The records name {len(names):,} different fields, such as "
            f"{quoted(min(names))}; at most {MOST_FIELDS} are allowed. If these names are values, "
            'write them as values: {"name": ..., "value": ...}.'
        )


def extraction_from(
    pool: Sequence[Example], test: Sequence[Example], section: TaskSection
) -> Extraction:
    """Return the task of the pool's records, with the types that the study file gives.

    Raises:
        StudyError: if the study file names a field that no record has, or an unknown type.
    """
    found = fields_of(target for e in pool for target in e.targets)
    known = {*found, *fields_of(target for e in test for target in e.targets)}
    _check_known("fields", section.fields, known)
    _check_known("descriptions", section.descriptions, known)
    return Extraction(
        fields={**found, **_types(section.fields)},
        descriptions=dict(section.descriptions),
        instruction=section.instruction,
        day_first=section.day_first,
    )


def _types(given: Mapping[str, str]) -> dict[str, FieldType]:
    for name, kind in given.items():
        if kind not in TYPES:
            raise StudyError(
                f"[task.fields] gives {name!r} the unknown type {kind!r}."
                f"{did_you_mean(kind, TYPES)} Allowed: {', '.join(TYPES)}."
            )
    return {name: cast("FieldType", kind) for name, kind in given.items()}


def _check_known(where: str, given: Mapping[str, str], known: set[str]) -> None:
    for name, text in given.items():
        if name not in known:
            raise StudyError(
                f"[task.{where}] has a field {name!r} that no record has."
                f"{did_you_mean(name, known)} The fields are {', '.join(sorted(known)[:12])}."
            )
        if not text.strip():
            raise StudyError(
                f"[task.{where}] is empty for the field {name!r}. Write it, or leave it out."
            )

"""Questions and their answers in a table: cells of accepted answers, passages, and the task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from choose.errors import DataError, StudyError, quoted
from choose.schema.sections import TaskSection
from choose.tasks.answering import NO_ANSWER, Answering, abstains
from choose.tasks.values import scalar_text, stands, type_name
from choose.types import Example

# Names of columns that hold what is to be read for an answer.
PASSAGES = ("passage", "context", "paragraph", "passages", "contexts", "document", "article")

# A field is the passage if so large a share of the answers stands in it, of so many rows.
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
    if len({e.targets for e in pool}) == 1:
        raise DataError(
            f"All {len(pool):,} questions have the same answer {quoted(pool[0].target)}: there is "
            "nothing to answer. Name the right column with --label-column."
        )


def answering_from(
    pool: Sequence[Example], test: Sequence[Example], section: TaskSection
) -> Answering:
    """Return the task of a pool; the study file may give it an instruction.

    Raises:
        StudyError: if the study file has names, fields or descriptions.
    """
    for key in ("names", "fields", "descriptions"):
        if getattr(section, key):
            raise StudyError(f"[task.{key}] is not for answers to questions. Leave it out.")
    return Answering(
        instruction=section.instruction,
        unanswerable=any(e.target == NO_ANSWER for e in pool),
        passage=passage_of(pool),
        day_first=section.day_first,
    )


def passage_of(rows: Sequence[Example]) -> str | None:
    """Return the field in which most answers stand, or else one that is called a passage."""
    some = [e for e in rows if not abstains(e.target)]
    some = some[:: max(1, len(some) // ROWS_READ)]
    names = dict.fromkeys(name for e in some for name in e.fields)
    shares = {name: sum(stands(e.targets, e.fields.get(name, "")) for e in some) for name in names}
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is not None and shares[best] >= STANDS * len(some):
        return best
    return next((name for name in names if name.lower() in PASSAGES), None)

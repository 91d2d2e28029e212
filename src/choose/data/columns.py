"""Find the columns of a table by name and turn its rows into examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from choose.data.readers.dates import parse_dates
from choose.data.readers.delimited import ROW
from choose.data.readers.json_and_parquet import scalar_text, type_name
from choose.data.task import check_labels
from choose.errors import DataError, did_you_mean, quoted, quoted_list, rows_named
from choose.schema.sections import DataSection
from choose.types import Example

# In the order of preference; compared without regard to case.
TEXT = ("text", "utterance", "sentence", "query", "input")

LABEL = ("label", "labels", "intent", "target", "category")

TIME = ("timestamp", "time", "date", "created_at", "datetime")

# Authors and users are not here: they often are few, and only the user knows whether they matter.
GROUP = ("group", "group_id", "conversation", "conversation_id", "thread", "thread_id")

ANNOTATOR = ("annotator", "annotator_id")

MAYBE_GROUP = ("author", "author_id", "user", "user_id", "customer", "customer_id", "session_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The columns by role; several text columns are joined with a blank line."""

    text: tuple[str, ...]
    label: str
    time: str | None
    group: str | None
    annotator: str | None
    id: str | None


def roles_of(table: pl.DataFrame, section: DataSection) -> Roles:
    """Find the column of each role.

    Raises:
        DataError: if a column that is needed or named is missing.
    """
    columns = [name for name in table.columns if name != ROW]
    label = _named(columns, section.label_column, "label") or _usual(columns, LABEL)
    text = _text_columns(columns, section.text_column)
    if not text or label is None:
        raise _missing("label", columns, LABEL) if text else _missing("text", columns, TEXT)
    if label in text:
        raise DataError(
            f"The column {label!r} is both the text and the label. Name another --label-column."
        )
    time = _named(columns, section.time_column, "time")
    return Roles(
        text=text,
        label=label,
        time=time or _usual_time(table, columns),
        group=_named(columns, section.group_column, "group") or _usual(columns, GROUP),
        annotator=_named(columns, section.annotator_column, "annotator")
        or _usual(columns, ANNOTATOR),
        id=_usual(columns, ("id",)),
    )


def text_and_id_columns(
    columns: Sequence[str], text_column: str | None
) -> tuple[tuple[str, ...], str | None]:
    """Find the columns of the text and the id, for rows without labels.

    Raises:
        DataError: if there is no text column.
    """
    id = _usual(columns, ("id",))
    text = _text_columns(columns, text_column)
    others = tuple(name for name in columns if name != id)
    if not text and len(others) == 1:
        text = others
    if not text:
        raise _missing("text", columns, TEXT)
    return text, id


def group_hint(table: pl.DataFrame) -> str | None:
    """Return a column that may say which rows belong together, such as an author."""
    return _usual([name for name in table.columns if name != ROW], MAYBE_GROUP)


def _missing(role: str, columns: Sequence[str], usual: Sequence[str]) -> DataError:
    return DataError(
        f"No {role} column: none of the columns {quoted_list(columns)} is called "
        f"{', '.join(usual)}. Name it with --{role}-column."
    )


def _usual(columns: Sequence[str], names: Iterable[str]) -> str | None:
    lower = {column.strip().lower(): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), None)


def _named(columns: Sequence[str], wanted: str | None, role: str) -> str | None:
    if wanted is None:
        return None
    column = wanted if wanted in columns else _usual(columns, [wanted.strip().lower()])
    if column is None:
        raise DataError(
            f"No {role} column {wanted!r}.{did_you_mean(wanted, columns)} "
            f"The columns are {quoted_list(columns)}."
        )
    return column


def _text_columns(columns: Sequence[str], wanted: str | None) -> tuple[str, ...]:
    if wanted is None:
        usual = _usual(columns, TEXT)
        return (usual,) if usual else ()
    if wanted in columns:
        return (wanted,)
    named = [_named(columns, part.strip(), "text") for part in wanted.split(",") if part.strip()]
    return tuple(name for name in named if name is not None)


def _usual_time(table: pl.DataFrame, columns: Sequence[str]) -> str | None:
    """Return the usual time column if at least half of its cells are dates."""
    name = _usual(columns, TIME)
    if name is None or table.schema[name] != pl.String:
        return None
    cells = [cell for cell in table[name] if cell and cell.strip()]
    read = [moment for moment in parse_dates(cells) if moment is not None]
    return name if cells and 2 * len(read) >= len(cells) else None


def examples_from(table: pl.DataFrame, section: DataSection) -> list[Example]:
    """Return every row as an example, those without text or label included.

    Ids come from a column ``id`` with unique cells, or else are row numbers. Labels are stripped,
    texts are not.

    Raises:
        DataError: if a column is missing, or a row holds several labels, nested values, labels of
            mixed type or a date that cannot be read.
    """
    roles = roles_of(table, section)
    rows = [int(number) for number in table[ROW]]
    labels = _labels(table, roles.label, rows)
    check_labels(labels, rows, roles.label)
    times = _times(table, roles.time, rows)
    optional = {
        role: _cells(table, name, rows) if name else [""] * len(rows)
        for role, name in (("group", roles.group), ("annotator", roles.annotator))
    }
    return [
        Example(id=id, text=text, target=label, timestamp=time, group=group, annotator=annotator)
        for id, text, label, time, group, annotator in zip(
            _ids(table, roles.id, rows),
            _texts(table, roles.text, rows),
            labels,
            times,
            (cell.strip() or None for cell in optional["group"]),
            (cell.strip() or None for cell in optional["annotator"]),
            strict=True,
        )
    ]


def _texts(table: pl.DataFrame, names: Sequence[str], rows: Sequence[int]) -> list[str]:
    parts = [_cells(table, name, rows) for name in names]
    if len(parts) == 1:
        return parts[0]
    return ["\n\n".join(p for p in cells if p.strip()) for cells in zip(*parts, strict=True)]


def _labels(table: pl.DataFrame, name: str, rows: Sequence[int]) -> list[str]:
    values = table[name].to_list()
    nested = [row for row, v in zip(rows, values, strict=True) if isinstance(v, list | dict)]
    if nested:
        raise DataError(
            f"The label column {name!r} holds lists or objects ({rows_named(nested)}). Each row "
            "must have one label: choose compares single-label classification."
        )
    kinds: dict[str, int] = {}
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            kinds.setdefault(type_name(value), row)
    if len(kinds) > 1:
        types = " and ".join(f"{kind} (row {row})" for kind, row in kinds.items())
        raise DataError(
            f"The labels in {name!r} are of mixed type: {types}. Write all of them as text."
        )
    return [cell.strip() for cell in _cells(table, name, rows)]


def _cells(table: pl.DataFrame, name: str, rows: Sequence[int]) -> list[str]:
    column = table[name]
    if column.dtype == pl.String:
        return [cell or "" for cell in column]
    return [cell_text(value, name, row) for row, value in zip(rows, column.to_list(), strict=True)]


def cell_text(value: Any, name: str, row: int) -> str:
    """Return a value as text, null as an empty string.

    Raises:
        DataError: if it is not a scalar.
    """
    if isinstance(value, list | dict | bytes):
        what = "bytes" if isinstance(value, bytes) else type_name(value)
        raise DataError(
            f"Row {row} holds {what} in the column {name!r}. It must be plain text: write it out, "
            "or name another column."
        )
    return scalar_text(value) or ""


def _times(table: pl.DataFrame, name: str | None, rows: Sequence[int]) -> list[datetime | None]:
    if name is None:
        return [None] * len(rows)
    cells = _cells(table, name, rows)
    times = parse_dates(cells)
    bad = [i for i, cell in enumerate(cells) if cell.strip() and times[i] is None]
    if bad:
        undated = [rows[i] for i in bad]
        raise DataError(
            f"The column {name!r} holds dates that cannot be read ({rows_named(undated)}), such as "
            f"{quoted(cells[bad[0]])}. Write them like 2026-03-31 or 2026-03-31T14:05:00Z."
        )
    return times


def _ids(table: pl.DataFrame, name: str | None, rows: Sequence[int]) -> list[str]:
    if name is not None:
        cells = [cell.strip() for cell in _cells(table, name, rows)]
        if all(cells) and len(set(cells)) == len(cells):
            return cells
    return [str(row) for row in rows]

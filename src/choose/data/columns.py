"""Turn a table into labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from choose.data.cells import ROW, rows_named, short
from choose.data.dates import parse_dates
from choose.data.labels import check_labels
from choose.data.records import kind_of, plain
from choose.data.roles import Columns, roles_of
from choose.errors import DataError
from choose.types import Example


def examples_from(table: pl.DataFrame, section: Columns) -> list[Example]:
    """Return every row, those without text or label too, as an example.

    Ids come from a column ``id`` whose cells are unique, else they are the row numbers. Labels
    lose the spaces around them, texts stay as they are.

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
            kinds.setdefault(kind_of(value), row)
    if len(kinds) > 1:
        seen = " and ".join(f"{kind} (row {row})" for kind, row in kinds.items())
        raise DataError(
            f"The labels in {name!r} are of mixed type: {seen}. Write all of them as text."
        )
    return [cell.strip() for cell in _cells(table, name, rows)]


def _cells(table: pl.DataFrame, name: str, rows: Sequence[int]) -> list[str]:
    column = table[name]
    if column.dtype == pl.String:
        return [cell or "" for cell in column]
    return [cell_text(value, name, row) for row, value in zip(rows, column.to_list(), strict=True)]


def cell_text(value: Any, name: str, row: int) -> str:
    """Return one value as text, null as an empty one.

    Raises:
        DataError: if it is no scalar.
    """
    if isinstance(value, list | dict | bytes):
        what = "bytes" if isinstance(value, bytes) else kind_of(value)
        raise DataError(
            f"Row {row} holds {what} in the column {name!r}. It must be plain text: write it out, "
            "or name another column."
        )
    return plain(value) or ""


def _times(table: pl.DataFrame, name: str | None, rows: Sequence[int]) -> list[datetime | None]:
    if name is None:
        return [None] * len(rows)
    cells = _cells(table, name, rows)
    times = parse_dates(cells)
    bad = [i for i, cell in enumerate(cells) if cell.strip() and times[i] is None]
    if bad:
        found = [rows[i] for i in bad]
        raise DataError(
            f"The column {name!r} holds dates that cannot be read ({rows_named(found)}), such as "
            f"{short(cells[bad[0]])}. Write them like 2026-03-31 or 2026-03-31T14:05:00Z."
        )
    return times


def _ids(table: pl.DataFrame, name: str | None, rows: Sequence[int]) -> list[str]:
    if name is not None:
        cells = [cell.strip() for cell in _cells(table, name, rows)]
        if all(cells) and len(set(cells)) == len(cells):
            return cells
    return [str(row) for row in rows]

"""Rows that are in memory already: a data frame of either library, or dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from choose.data.records import table_from, table_of_frame
from choose.errors import DataError

# How messages call them.
GIVEN = Path("the rows given")

_ALLOWED = (
    "Give a file's name, a polars or pandas DataFrame, or a list of dictionaries such as "
    '[{"text": "...", "label": "..."}].'
)


def is_rows(data: object) -> bool:
    """Return whether this is rows and not the name of a file."""
    return data is not None and not isinstance(data, str | Path)


def table_of(data: object) -> pl.DataFrame:
    """Return rows as `read_table` returns a file's.

    Raises:
        DataError: if it is nothing that holds rows, or holds none.
    """
    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.DataFrame):
        table = table_of_frame(GIVEN, data)
    elif type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns"):
        table = table_from(GIVEN, enumerate(_pandas_records(data), start=1))
    elif isinstance(data, Iterable) and not isinstance(data, Mapping | bytes):
        table = table_from(GIVEN, enumerate(_dictionaries(data), start=1))
    else:
        raise DataError(f"No labelled rows can be read from {type(data).__name__}. {_ALLOWED}")
    if table.is_empty():
        raise DataError("The rows given are empty. There must be at least one labelled row.")
    return table


def _pandas_records(data: Any) -> list[dict[str, Any]]:
    # Missing values have many forms there (nan, NaT, NA); here they have one.
    whole = data.astype(object).where(data.notna(), None)
    names = [str(name) for name in data.columns]
    return [dict(zip(names, row, strict=True)) for row in whole.itertuples(index=False, name=None)]


def _dictionaries(data: Iterable[Any]) -> Sequence[dict[str, Any]]:
    rows = list(data)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(f"Row {number} of the rows given is no dictionary. {_ALLOWED}")
    return [{str(key): value for key, value in row.items()} for row in rows]

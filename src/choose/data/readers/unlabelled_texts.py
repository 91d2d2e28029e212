"""Read texts without labels, one at a time, from a file of any size or a pipe."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from choose.data.columns import text_and_id_columns
from choose.data.examples import cell_text
from choose.data.readers.delimited import LINE_LIMIT, TOO_LONG, delimited_rows, encoding_of
from choose.data.readers.json_and_parquet import (
    DAMAGED,
    json_records,
    not_parquet,
    plain,
    records_in,
    value_at,
)
from choose.data.readers.table_file import JSON, PARQUET, checked_file
from choose.errors import DataError, did_you_mean, quoted_list
from choose.types import Item

# Rows of a Parquet file held at a time.
CHUNK = 1_000

STDIN = Path("standard input")
Records = Iterator[tuple[int, dict[str, Any]]]


@contextmanager
def file_items(
    name: str, text_column: str | None, fields: Sequence[str] = (), asks: bool = False
) -> Iterator[Iterator[Item]]:
    """Give the rows of a CSV, TSV, JSON, JSONL or Parquet file, or of ``sample:NAME``.

    Ids come from a column ``id``, else they are the row numbers. `fields` are further inputs, and
    `asks` tells whether the texts are questions to documents.
    """
    with checked_file(name) as path:
        suffix = path.suffix.lower()
        if suffix in PARQUET:
            columns, records = _parquet(path)
        elif suffix in JSON:
            columns, records = _peeked(json_records(path, encoding_of(path)), fields)
        else:
            columns, records = _delimited(path)
        yield _items(columns, records, text_column, fields, asks)


def line_items(stream: BinaryIO) -> Iterator[Item]:
    """Yield one item per line, empty lines included, so that answers match the lines."""
    number = 0
    while line := stream.readline(LINE_LIMIT):
        number += 1
        if len(line) == LINE_LIMIT:
            raise DataError(f"Line {number} of standard input {TOO_LONG}")
        bare = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        try:
            text = bare.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise DataError(
                f"Line {number} of standard input is not UTF-8 text. Convert it: "
                "iconv -f WINDOWS-1252 -t UTF-8."
            ) from error
        yield Item(id=str(number), text=text)


def json_items(
    stream: BinaryIO, text_column: str | None, fields: Sequence[str] = (), asks: bool = False
) -> Iterator[Item]:
    """Yield one item per object from a pipe of JSON Lines; arguments as for `file_items`."""
    return _items(*_peeked(records_in(stream, STDIN), fields), text_column, fields, asks)


def _delimited(path: Path) -> tuple[list[str], Records]:
    rows = delimited_rows(path, encoding_of(path))
    _, header = next(rows)
    return header, ((number, dict(zip(header, cells, strict=True))) for number, cells in rows)


def _peeked(records: Records, fields: Sequence[str]) -> tuple[list[str], Records]:
    first = next(records, None)
    if first is None:
        return ["text", *fields], iter(())
    return list(first[1]), chain([first], records)


def _parquet(path: Path) -> tuple[list[str], Records]:
    try:
        columns = list(pl.read_parquet_schema(path))
        rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    except DAMAGED as error:
        raise not_parquet(path, error) from error
    return columns, _parquet_records(path, rows)


def _parquet_records(path: Path, rows: int) -> Records:
    for first in range(0, rows, CHUNK):
        try:
            part = pl.scan_parquet(path, glob=False).slice(first, CHUNK).collect()
        except DAMAGED as error:
            raise not_parquet(path, error) from error
        yield from enumerate(plain(part).iter_rows(named=True), start=first + 1)


def _items(
    columns: Sequence[str],
    records: Records,
    text_column: str | None,
    fields: Sequence[str],
    asks: bool,
) -> Iterator[Item]:
    texts, id = text_and_id_columns(columns, text_column, asks)
    if missing := [name for name in fields if not _holds(columns, name)]:
        raise DataError(
            f"No column {missing[0]!r}, which the model reads beside the text."
            f"{did_you_mean(missing[0], columns)} The columns are {quoted_list(columns)}."
        )
    return (_item(number, record, texts, id, fields) for number, record in records)


def _item(
    number: int, record: dict[str, Any], texts: Sequence[str], id: str | None, fields: Sequence[str]
) -> Item:
    parts = [cell_text(value_at(record, name), name, number) for name in texts]
    # The same join as in `columns`.
    text = parts[0] if len(parts) == 1 else "\n\n".join(part for part in parts if part.strip())
    named = cell_text(record.get(id), id, number).strip() if id else ""
    return Item(id=named or str(number), text=text, fields=fields_of_row(record, fields, number))


def fields_of_row(record: Mapping[str, Any], fields: Sequence[str], number: int) -> dict[str, str]:
    """Return the further inputs of row `number` by name; null is an empty text."""
    for name in fields:
        if not _holds(record, name):
            raise DataError(
                f"Row {number} has no field {name!r}, which the model reads beside the text. Where "
                "it is unknown, give an empty text."
            )
    return {name: cell_text(value_at(record, name), name, number) for name in fields}


def _holds(columns: Collection[str], name: str) -> bool:
    """Return whether a column, or the root of a dotted path, is there."""
    return name in columns or any(name.startswith(f"{column}.") for column in columns)

"""Read texts without labels: from a file, or one at a time from a pipe."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, BinaryIO

from choose.data.columns import text_and_id_columns
from choose.data.examples import cell_text
from choose.data.readers.json_and_parquet import ROW, TOO_LONG, json_record, json_records, value_at
from choose.data.readers.labelled_file import JSON, checked_file, read_source, text_of
from choose.errors import DataError, did_you_mean, quoted_list
from choose.types import Item

# Characters of a line of a pipe.
LINE_LIMIT = 8_000_000


def file_items(
    name: str, text_column: str | None, fields: Sequence[str] = (), asks: bool = False
) -> Iterator[Item]:
    """Return the rows of a CSV, TSV, JSON, JSONL or Parquet file, or of ``sample:NAME``.

    Ids come from a column ``id``, else they are the row numbers. `fields` are further inputs, and
    `asks` tells whether the texts are questions to documents.
    """
    table = read_source(name, least=0).table
    rows = table.drop(ROW)
    records = zip(table[ROW], rows.iter_rows(named=True), strict=True)
    items = _items(rows.columns, records, text_column, fields, asks)
    if fields:
        # Refuse a row of JSON without a further input: in a table its cell would look like null.
        with checked_file(name) as path:
            if path.suffix.lower() in JSON:
                for number, record in json_records(path, text_of(path).text):
                    fields_of_row(record, fields, number)
    return items


def line_items(stream: BinaryIO) -> Iterator[Item]:
    """Yield one item per line, empty lines included, so that answers match the lines."""
    for number, line in _lines(stream):
        yield Item(id=str(number), text=line.removesuffix("\n").removesuffix("\r"))


def json_items(
    stream: BinaryIO, text_column: str | None, fields: Sequence[str] = (), asks: bool = False
) -> Iterator[Item]:
    """Yield one item per object from a pipe of JSON Lines; arguments as for `file_items`."""
    lines = ((number, line) for number, line in _lines(stream) if line.strip())
    records = ((n, json_record(line, f"Line {n} of standard input")) for n, line in lines)
    first = next(records, None)
    if first is None:
        return iter(())
    return _items(list(first[1]), chain([first], records), text_column, fields, asks)


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    number = 0
    while line := stream.readline(LINE_LIMIT):
        number += 1
        if len(line) == LINE_LIMIT:
            raise DataError(f"Line {number} of standard input {TOO_LONG}")
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"Line {number} of standard input is not UTF-8 text. Convert it: "
                "iconv -f WINDOWS-1252 -t UTF-8."
            ) from error


def _items(
    columns: Sequence[str],
    records: Iterator[tuple[int, dict[str, Any]]],
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
    return name in columns or any(name.startswith(f"{column}.") for column in columns)

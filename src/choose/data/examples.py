"""Turn the rows of a table into examples, and tell which of them can be used."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl

from choose.data.columns import Roles, origin, roles_of
from choose.data.readers.column_guess import ANSWER, QUESTION, parse_dates, usual
from choose.data.readers.json_and_parquet import ROW, with_paths
from choose.errors import DataError, quoted, rows_named
from choose.formatting import plural
from choose.schema.study_sections import DataSection
from choose.tasks.answering import PASSAGES
from choose.tasks.kinds import Kind, guess_kind, read_targets
from choose.tasks.value_parsing import scalar_text, type_name
from choose.types import Example

# Training rows; a verdict takes a few hundred.
MINIMUM = 8


def target_values(table: pl.DataFrame, section: DataSection, roles: Roles) -> list[Any]:
    return with_paths(origin(section), table, [roles.label])[roles.label].to_list()


def kind_of(table: pl.DataFrame, section: DataSection, roles: Roles) -> tuple[str, str]:
    """Return the kind of task that the targets of a table make, and why."""
    targets = target_values(table, section, roles)
    questions = bool(usual(roles.text, QUESTION) and usual([roles.label], ANSWER))
    return guess_kind(targets, questions, usual(roles.fields, PASSAGES) is not None)


def examples_from(
    table: pl.DataFrame,
    section: DataSection,
    roles: Roles | None = None,
    kind: str | None = None,
    separator: str | None = None,
) -> list[Example]:
    """Return every row as an example, those without text or target included.

    Dates that cannot be read are refused only in a column that was named. Ids come from a column
    ``id`` with unique cells, or else are row numbers. The `kind`, and the `separator` of labels in
    a cell, are by default those of the targets.
    """
    roles = roles or roles_of(table, section)
    table = with_paths(origin(section), table, roles.named)
    rows = [int(number) for number in table[ROW]]
    kind = kind or kind_of(table, section, roles)[0]
    further = {name: cells_of(table, name, rows) for name in roles.fields}
    columns = (
        _ids(table, roles.id, rows),
        _texts(table, roles.text, rows),
        read_targets(kind, table[roles.label].to_list(), rows, roles.label, separator),
        [{name: cells[i] for name, cells in further.items()} for i in range(len(rows))],
        _times(table, roles.time, rows, strict="time" not in roles.by_content),
        *(_optional(table, name, rows) for name in (roles.group, roles.source, roles.teacher)),
    )
    return [
        Example(
            id=id,
            text=text,
            target=right[0] if right else "",
            fields=fields,
            accepted=right[1:],
            timestamp=time,
            group=group,
            source=source,
            taught=taught,
        )
        for id, text, right, fields, time, group, source, taught in zip(*columns, strict=True)
    ]


def _optional(table: pl.DataFrame, name: str | None, rows: Sequence[int]) -> list[str | None]:
    if name is None:
        return [None] * len(rows)
    return [cell.strip() or None for cell in cells_of(table, name, rows)]


def _texts(table: pl.DataFrame, names: Sequence[str], rows: Sequence[int]) -> list[str]:
    parts = [cells_of(table, name, rows) for name in names]
    if len(parts) == 1:
        return parts[0]
    return ["\n\n".join(p for p in cells if p.strip()) for cells in zip(*parts, strict=True)]


def cells_of(table: pl.DataFrame, name: str, rows: Sequence[int]) -> list[str]:
    """Return the cells of a column as texts; `rows` are their numbers, for messages."""
    column = table[name]
    if column.dtype == pl.String:
        return [cell or "" for cell in column]
    return [cell_text(value, name, row) for row, value in zip(rows, column.to_list(), strict=True)]


def cell_text(value: Any, name: str, row: int) -> str:
    """Return a value as text, null as an empty string."""
    if isinstance(value, list | dict | bytes):
        raise DataError(
            f"Row {row} holds {type_name(value)} in the column {name!r}. It must be plain text: "
            "write it out, or name another column."
        )
    return scalar_text(value) or ""


def _times(
    table: pl.DataFrame, name: str | None, rows: Sequence[int], strict: bool
) -> list[datetime | None]:
    if name is None:
        return [None] * len(rows)
    cells = cells_of(table, name, rows)
    times = parse_dates(cells)
    bad = [i for i, cell in enumerate(cells) if cell.strip() and times[i] is None]
    if bad and strict:
        undated = [rows[i] for i in bad]
        raise DataError(
            f"The column {name!r} holds dates that cannot be read ({rows_named(undated)}), such as "
            f"{quoted(cells[bad[0]])}. Write them like 2026-03-31 or 2026-03-31T14:05:00Z."
        )
    return times


def _ids(table: pl.DataFrame, name: str | None, rows: Sequence[int]) -> list[str]:
    if name is not None:
        cells = [cell.strip() for cell in cells_of(table, name, rows)]
        if all(cells) and len(set(cells)) == len(cells):
            return cells
    return [str(row) for row in rows]


def usable_rows(
    pool: Sequence[Example], test: Sequence[Example] | None
) -> tuple[list[Example], list[Example] | None]:
    """Return the rows with a text and a label, with unique ids."""
    usable, asked = (
        [e for e in rows if e.text.strip() and e.target] for rows in (pool, test or ())
    )
    if not {e.id for e in asked}.isdisjoint(e.id for e in usable):
        asked = [replace(e, id=f"test:{e.id}") for e in asked]
    return usable, None if test is None else asked


def check_filled(kind: Kind, rows: Sequence[Example]) -> None:
    """Refuse rows with a text and no target, where such rows are not simply unlabelled."""
    empty = [e.id for e in rows if e.text.strip() and not e.target]
    if empty and kind.unfilled is not None:
        named = rows_named(empty)
        has, these = ("has", "this row") if len(empty) == 1 else ("have", "these rows")
        raise DataError(
            f"{named[0].upper()}{named[1:]} {has} a text and no {kind.target}: {kind.unfilled}. "
            f"Write it, or leave {these} out."
        )


def check_rows(pool: Sequence[Example], test: Sequence[Example] | None, kind: Kind) -> None:
    ids = Counter(e.id for e in [*pool, *(test or ())])
    if twice := [id for id, n in ids.items() if n > 1]:
        raise DataError(f"More than one row has the id {twice[0]!r}. Ids must be unique.")
    article = "an" if kind.target[0] in "aeiou" else "a"
    for what, rows, least in (("Training", pool, MINIMUM), ("Test", test, 2)):
        if rows is not None and len(rows) < least:
            raise DataError(
                f"{what} rows with a text and {article} {kind.target}: {len(rows)}. At least "
                f"{least} are needed, and a verdict takes a few hundred."
            )


def dropped_rows(pool: Sequence[Example], test: Sequence[Example] | None, kind: Kind) -> list[str]:
    """Count the rows of each file without a text or a target, as sentences."""
    where = "the pool" if test is not None else "the file"
    found = []
    for rows, file in ((pool, where), (test or (), "the test file")):
        untold = [e.id for e in rows if e.text.strip() and not e.target]
        textless = [e.id for e in rows if not e.text.strip()]
        for what, ids in (("text", textless), (kind.target, untold)):
            if ids:
                count = plural(len(ids), "row")
                found.append(f"{count} of {file} without a {what} left out: {rows_named(ids)}.")
    return found

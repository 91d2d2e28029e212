"""Read JSON, JSON Lines and Parquet; keep apart what a column of strings would blur."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from choose.errors import DataError, quoted
from choose.outside_values import check_text
from choose.tasks.value_parsing import scalar_text, type_name

# The number of each row, as a spreadsheet or an editor shows it: the header of a CSV is row 1.
ROW = "__row__"

# Characters of one cell; a page of text has about 3,000.
FIELD_LIMIT = 1_000_000

TOO_LONG = (
    f"holds a cell of more than {FIELD_LIMIT:,} characters. Truncate "
    "the text, or look for a quote that is never closed."
)

# Columns of a table; wide exports have some hundreds.
MOST_COLUMNS = 10_000

# Cells that may be empty because a line lacks a key: so many, and so many times the others.
EMPTY, SPARSE = 10_000_000, 20

# Levels of a value that is read.
DEEPEST = 100

# Levels and number of the paths that are looked for, in so many rows.
LEVELS, MOST_PATHS, PATH_ROWS = 4, 200, 200

# Names of the roles in the formats of OpenAI, ShareGPT and Gemini.
ROLES = {
    "system": {"system", "developer"},
    "user": {"user", "human"},
    "assistant": {"assistant", "gpt", "model", "bot"},
}

_LONE = re.compile("[\ud800-\udfff]")


def check_header(path: Path, names: Sequence[str]) -> list[str]:
    """Return the column names, those without one numbered."""
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{str(path)!r} has {len(names):,} columns; at most {MOST_COLUMNS:,} are read. Keep "
            "those of the text, the label and what else the study needs."
        )
    seen = {ROW}
    named = [name or f"column {i + 1}" for i, name in enumerate(names)]
    for name in named:
        if name in seen:
            raise DataError(
                f"{str(path)!r} has more than one column {quoted(name)}. Give each its own name."
            )
        check_text(name, f"In {str(path)!r} the column name", DataError)
        seen.add(name)
    return named


def json_records(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of a text with the number of its line or item; `path` names the text.

    It is one object a line, one array, or one object with an array of rows.
    """
    start = text.lstrip()[:1]
    if start == "[" or (start == "{" and path.suffix.lower() == ".json"):
        whole = text.rstrip()
        if whole.endswith("]") and (inside := whole[:-1].rstrip()).endswith(","):
            text = f"{inside[:-1]}]"  # a comma after the last item does no harm
        for number, row in enumerate(_rows_within(path, _parsed(text, repr(str(path)))), start=1):
            yield number, _object(row, f"Item {number} of {str(path)!r}")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, json_record(line, f"Line {number} of {str(path)!r}")


def json_record(line: str, where: str) -> dict[str, Any]:
    """Return the object that a line holds; `where` names it in messages."""
    return _object(_parsed(line, where), where)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line, character = f"in line {error.lineno}", f"at character {error.pos + 1}"
        place = line if "\n" in text else character
        raise _not_json(where, f"{error.msg} {place}") from error
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if deep else "a number is too long"
        raise _not_json(where, reason) from error


def _rows_within(path: Path, document: Any) -> list[Any]:
    """Return the items of an array, or the rows of ``{"data": [{...}, ...]}``."""
    if isinstance(document, list):
        return document
    lists = [
        value
        for value in document.values()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
    ]
    if not any(isinstance(value, list | dict) for value in document.values()):
        return [document]
    if len(lists) != 1:
        raise DataError(
            f"{str(path)!r} is one JSON object. Write an array of objects, one for each row: "
            '[{"text": "...", "label": "..."}, ...].'
        )
    return lists[0]


def _object(record: Any, where: str) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise DataError(f'{where} is no JSON object. It must look like {{"text": "...", ...}}.')
    if _deep(record, DEEPEST):
        raise _not_json(where, "it is nested too deeply")
    return record


def _deep(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    return not levels or any(
        _deep(one, levels - 1) for one in inner if isinstance(one, dict | list)
    )


def _not_json(where: str, reason: str) -> DataError:
    return DataError(
        f"{where} is not JSON: {reason}. Each line or item must be one whole object, such as "
        '{"text": "...", "label": "..."}.'
    )


def unit(path: Path) -> str:
    """Return what a row of a file is called in messages."""
    return "Item" if path.suffix.lower() == ".json" else "Line"


def value_at(record: Mapping[str, Any], name: str) -> Any:
    """Return the cell of a key or of a dotted path; None where there is none."""
    if name in record:
        return record[name]
    value: Any = record
    parts = name.split(".")
    for place, part in enumerate(parts):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif place == len(parts) - 1 and (chat := turns(value)):
            return said_by(chat, part)
        else:
            return None
    return value


def turns(value: Any) -> list[tuple[str, str]] | None:
    """Return the turns of a chat as (role, text); None for another value.

    Roles of tools and unknown roles keep their names. A turn without text, such as a call of a
    function, is empty.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return None
    chat = []
    for turn in value:
        if not isinstance(turn, Mapping):
            return None
        role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if not isinstance(role, str):
            return None
        name = next((name for name, names in ROLES.items() if role in names), role)
        chat.append((name, _text(content)))
    return chat


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(part for part in parts if isinstance(part, str))


def said_by(chat: Sequence[tuple[str, str]], role: str) -> str | None:
    """Return what a role says in a chat.

    The answer is the last turn, if it is the assistant's; the user's turns before it are the text.
    The assistant's earlier turns are neither.
    """
    if role == "assistant":
        return chat[-1][1] if chat[-1][0] == role else None
    said = [text for name, text in chat if name == role and text.strip()]
    return "\n\n".join(said) if said else None


def _paths(name: str, value: Any, levels: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if levels and isinstance(key, str):
                yield from _paths(f"{name}.{key}", inner, levels - 1)
    elif chat := turns(value):
        roles = {role for role, _ in chat}
        yield from (f"{name}.{role}" for role in ROLES if role in roles)
    elif value is not None and not isinstance(value, list | bytes):
        yield name


def table_from(path: Path, records: Iterable[tuple[int, dict[str, Any]]]) -> pl.DataFrame:
    """Lay numbered records out as columns of strings; `path` names them in messages."""
    numbers: list[int] = []
    columns: dict[str, tuple[list[int], list[Any]]] = {}
    filled = 0
    for number, record in records:
        for key, value in record.items():
            places, values = columns.setdefault(key, ([], []))
            places.append(len(numbers))
            values.append(value)
        numbers.append(number)
        filled += len(record)
        if len(columns) > MOST_COLUMNS or len(columns) * len(numbers) > EMPTY + SPARSE * filled:
            raise DataError(
                f"{unit(path)} {number} of {str(path)!r}: {len(columns):,} different keys so far, "
                f"most of them in few lines. At most {MOST_COLUMNS:,} are read, if most lines have "
                "most of them. Keep the text, the label and what else the study needs."
            )
    series = [
        series_of(path, name, values, numbers, places)
        for name, (places, values) in zip(
            check_header(path, list(columns)), columns.values(), strict=True
        )
    ]
    return pl.DataFrame([pl.Series(ROW, numbers, dtype=pl.Int64), *series])


def read_parquet(path: Path) -> pl.DataFrame:
    """Read a Parquet file; class labels of Hugging Face data sets become their names."""
    try:
        table = pl.read_parquet(path, glob=False)
        names = _class_names(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is damaged"
        raise DataError(
            f"{str(path)!r} cannot be read as Parquet: {reason}. Write it again, or use CSV."
        ) from error
    return table_of_frame(path, table, names)


def table_of_frame(
    path: Path, table: pl.DataFrame, names: Mapping[str, list[str]] | None = None
) -> pl.DataFrame:
    """Lay a typed table out as columns of strings; `names` are class labels by column."""
    table = plain(table.drop(ROW, strict=False))
    check_header(path, table.columns)
    numbers = list(range(1, table.height + 1))
    columns = [_strings(path, column, (names or {}).get(column.name)) for column in table]
    return pl.DataFrame([pl.Series(ROW, numbers, dtype=pl.Int64), *columns])


# Days and ticks since 1970 that are dates of Python; polars panics on most others.
_DAYS = [(day - date(1970, 1, 1)).days for day in (date.min, date.max)]
_TICKS = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def plain(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose dates, times, durations and decimals are texts, also nested ones."""
    return table.select(
        _plain(pl.nth(place), kind).alias(name)
        for place, (name, kind) in enumerate(table.schema.items())
    )


def _plain(cell: pl.Expr, kind: Any) -> pl.Expr:
    if isinstance(kind, pl.BaseExtension):
        return _plain(cell.ext.storage(), kind.ext_storage())
    if isinstance(kind, pl.Struct):
        fields = [_plain(cell.struct.field(f.name), f.dtype).alias(f.name) for f in kind.fields]
        return pl.when(cell.is_not_null()).then(pl.struct(fields)) if fields else cell
    if isinstance(kind, pl.List | pl.Array):
        cells = cell.cast(pl.List(kind.inner)) if isinstance(kind, pl.Array) else cell
        return cells.list.eval(_plain(pl.element(), kind.inner))
    if isinstance(kind, pl.Duration):
        return cell.dt.to_string("iso")
    if isinstance(kind, pl.Date | pl.Datetime):
        unit = "days" if isinstance(kind, pl.Date) else kind.time_unit
        number, (first, last) = cell.to_physical(), (day * _TICKS.get(unit, 1) for day in _DAYS)
        known = number.is_between(first, last)
        text = pl.when(known).then(number).cast(kind).cast(pl.String)
        return pl.when(known).then(text).otherwise(pl.format(f"{{}} {unit} since 1970", number))
    return cell.cast(pl.String) if kind.is_decimal() or isinstance(kind, pl.Time) else cell


def series_of(
    path: Path, name: str, values: list[Any], numbers: Sequence[int], places: Sequence[int]
) -> pl.Series:
    """Make strings of a column, unless it mixes types or holds nested values.

    `values` are those of the rows at `places`; the cells of the others are empty and not looked at,
    since each row may have a key of its own. `numbers` are those of all rows, for messages.
    """
    for place, value in zip(places, values, strict=True):
        text = value if isinstance(value, str) else ""
        if isinstance(value, list | dict):
            text = json.dumps(value, ensure_ascii=False, default=str)
        if text:
            if len(text) > FIELD_LIMIT:
                raise DataError(f"{unit(path)} {numbers[place]} of {str(path)!r} {TOO_LONG}")
            if not text.isascii() and _LONE.search(text):
                raise DataError(
                    f"{unit(path)} {numbers[place]} of {str(path)!r} holds half of a Unicode "
                    f"character (a lone surrogate) in {name!r}. Write the whole character."
                )
    types = set(map(type, values))
    nested = types & {list, dict} or len({type_name(v) for v in values if v is not None}) > 1
    cells: list[Any] = [None] * len(numbers)
    for place, value in zip(places, values if nested else map(scalar_text, values), strict=True):
        cells[place] = value
    return pl.Series(name, cells, dtype=pl.Object if nested else pl.String)


def nested_paths(table: pl.DataFrame) -> list[str]:
    """Return the dotted paths of the scalars in nested columns, found in a sample of the rows."""
    paths = []
    for column in table:
        if column.dtype == pl.Object or column.dtype.is_nested():
            values = [value for value in column.to_list() if value is not None]
            some = values[:: max(1, len(values) // PATH_ROWS)]
            found = dict.fromkeys(path for v in some for path in _paths(column.name, v, LEVELS))
            paths += list(found)[:MOST_PATHS]
    return [path for path in paths if path not in table.columns]


def with_paths(path: Path, table: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Add the columns of dotted paths to a table; `path` names it in messages."""
    numbers = table[ROW].to_list()
    added = []
    for name in dict.fromkeys(name for name in names if name not in table.columns):
        roots = [column for column in table.columns if name.startswith(f"{column}.")]
        values = [value_at(row, name) for row in table.select(roots).iter_rows(named=True)]
        added.append(series_of(path, name, values, numbers, range(len(numbers))))
    return table.with_columns(added) if added else table


def _strings(path: Path, column: pl.Series, names: list[str] | None) -> pl.Series:
    kind = column.dtype
    if names is not None and kind.is_integer():
        labels = [names[i] if i is not None and 0 <= i < len(names) else None for i in column]
        return pl.Series(column.name, labels, dtype=pl.String)
    if kind.is_nested() or kind in (pl.Object, pl.Binary):
        return column
    if kind.is_float() or kind == pl.Boolean:
        return pl.Series(column.name, [scalar_text(value) for value in column], dtype=pl.String)
    strings = column.cast(pl.String)
    lengths = strings.str.len_chars()
    if (longest := lengths.max()) is not None and int(str(longest)) > FIELD_LIMIT:
        raise DataError(f"Row {(lengths.arg_max() or 0) + 1} of {str(path)!r} {TOO_LONG}")
    return strings


def _class_names(path: Path) -> dict[str, list[str]]:
    try:
        written = json.loads(pl.read_parquet_metadata(path).get("huggingface", "{}"))
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in written.get("info", {}).get("features", {}).items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (ValueError, AttributeError):
        return {}


# The name of rows in memory in messages.
GIVEN = Path("the rows given")

_ALLOWED = (
    "Give a file's name, a DataFrame of pandas or polars, a Hugging Face Dataset, or rows such as "
    '[{"text": "...", "label": "..."}] or [("...", "...")].'
)


def is_rows(data: object) -> bool:
    """Return whether this is a table in memory, not the name of a file."""
    return data is not None and not isinstance(data, str | Path)


def table_of(data: object) -> pl.DataFrame:
    """Return rows in memory as `read_source` returns those of a file."""
    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.DataFrame):
        table = table_of_frame(GIVEN, data)
    elif is_pandas(data):
        # Missing values have many forms there (nan, NaT, NA); here they have one.
        frame: Any = data
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        table = table_from(GIVEN, enumerate(_dictionaries(rows), start=1))
    elif isinstance(data, Mapping):
        table = table_from(GIVEN, enumerate(_columns(data), start=1))
    elif isinstance(data, Iterable) and not isinstance(data, bytes):
        table = table_from(GIVEN, enumerate(_dictionaries(data), start=1))
    else:
        raise DataError(f"No labelled rows can be read from {type(data).__name__}. {_ALLOWED}")
    if table.is_empty():
        raise DataError("The rows given are empty. There must be at least one labelled row.")
    return table


def is_pandas(data: object) -> bool:
    """Return whether this is a DataFrame of pandas, without importing it."""
    return type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns")


def _columns(data: Mapping[Any, Any]) -> list[dict[str, Any]]:
    names = [str(name) for name in data]
    columns = [getattr(column, "tolist", lambda c=column: c)() for column in data.values()]
    if any(hasattr(column, "column_names") for column in columns):
        raise DataError(
            f"These are the splits {', '.join(names)}. Give one of them, and another one as test."
        )
    listed = [c for c in columns if isinstance(c, Iterable) and not isinstance(c, str | Mapping)]
    if len(listed) < len(columns) or len({len(list(column)) for column in listed}) > 1:
        raise DataError(f"The columns of the dictionary are no lists of one length. {_ALLOWED}")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _dictionaries(data: Iterable[Any]) -> Sequence[dict[str, Any]]:
    rows = list(data)
    if rows and all(isinstance(row, list | tuple) and len(row) == 2 for row in rows):
        return [{"text": text, "label": label} for text, label in rows]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            texts = " Texts come with their labels: compare(texts, labels)."
            more = texts if isinstance(row, str) else ""
            raise DataError(f"Row {number} of the rows given is no dictionary. {_ALLOWED}{more}")
    # Hugging Face sets hold labels as numbers, and their names beside them.
    features = getattr(data, "features", None) or {}
    named = {k: f.names for k, f in features.items() if isinstance(getattr(f, "names", 0), list)}
    for row in rows if named else ():
        for key, names in named.items():
            place = row.get(key)  # -1 for a row without a label
            row[key] = names[place] if place is not None and place >= 0 else None
    return [{str(key): value for key, value in row.items()} for row in rows]

"""Read a table of labelled rows from a CSV, TSV, JSON, JSON Lines or Parquet file."""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from errno import ENAMETOOLONG
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

import polars as pl

from choose.data.readers.json_and_parquet import (
    FIELD_LIMIT,
    ROW,
    TOO_LONG,
    check_header,
    json_records,
    read_parquet,
    table_from,
)
from choose.errors import DataError, did_you_mean, quoted
from choose.files import neighbours, read_regular
from choose.outside_values import check_text

# Names of files that say nothing about what is in them; the folder then names the set.
_GENERIC = frozenset({"train", "training", "data", "dataset", "all", "labels", "labelled", "pool"})
_GENERIC |= {"test", "val", "valid", "validation", "dev"}

JSON, PARQUET = (".jsonl", ".ndjson", ".json"), (".parquet", ".pq")

# Excel saves "Unicode text" as .txt: cells between tabs.
_ENDINGS = (".csv", ".tsv", ".tab", *JSON, *PARQUET)

# Bytes; tables are held in memory.
LARGEST = 2_000_000_000

_ALLOWED = "CSV, TSV, JSON, JSONL or Parquet"

_SAVE = "Save it as CSV (UTF-8) and give that file."

_UNPACK = "Unpack it and give the file inside."

_SIGNS = (
    (b"pk\x03\x04", f"an Excel workbook or another ZIP archive. {_SAVE}"),
    (b"\xd0\xcf\x11\xe0", f"an old Excel workbook. {_SAVE}"),
    (b"\x1f\x8b", f"compressed with gzip. {_UNPACK}"),
    (b"bzh", f"compressed with bzip2. {_UNPACK}"),
    (b"\xfd7zxz", f"compressed with xz. {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"compressed with zstd. {_UNPACK}"),
    (b"7z\xbc\xaf", f"a 7z archive. {_UNPACK}"),
    (b"%pdf", f"a PDF. {_SAVE}"),
    (b"sqlite format 3", f"a SQLite database. {_SAVE}"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data. Run git lfs pull."),
    (b"<!doctype html", "a web page, not the data. Download the file itself."),
    (b"<html", "a web page, not the data. Download the file itself."),
)


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a file, and what was remarkable in reading it."""

    table: pl.DataFrame
    notes: tuple[str, ...] = ()


def read_source(path: str | Path, least: int = 1) -> Source:
    """Read a file, or ``sample:NAME``, of so many rows or more as columns of strings, and `ROW`.

    A JSON or Parquet column of nested or mixed values keeps them, since it may not be needed.
    """
    name = str(path)
    with checked_file(name, LARGEST) as file:
        try:
            source = _read(file)
        except OSError as error:
            raise DataError(f"Cannot read {name!r}: {error.strerror or error}.") from error
    if len(source.table) < least:
        raise DataError(f"{name!r} holds no rows below its header. It must hold at least one row.")
    return source


def _read(file: Path) -> Source:
    suffix = file.suffix.lower()
    if suffix in PARQUET:
        return Source(read_parquet(file))
    read = text_of(file)
    if suffix in JSON:
        table = table_from(file, json_records(file, read.text))
    else:
        table = _delimited(file, read.text)
    return Source(table, read.notes)


# Bytes of the head of a file, and those from which Windows-1252 is judged.
_HEAD, _SAMPLE = 4_096, 4_000_000

# Sequences of UTF-8 for two or three bytes, and the share of the bytes beyond ASCII that they may
# be of a file in Windows-1252, where they spell nothing.
_SEQUENCE, _MIXED = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}"), 0.05

# Share of the words with letters beyond ASCII that must also have letters of ASCII.
_WORD, _ASCII, _WESTERN = re.compile(r"[^\W\d_]+"), re.compile("[A-Za-z]"), 0.8


@dataclass(frozen=True, slots=True)
class FileText:
    """The text of a file, and a note on its encoding if that is not UTF-8."""

    text: str
    notes: tuple[str, ...] = ()


def text_of(path: Path) -> FileText:
    """Return the text of a file in UTF-8, UTF-16 with a byte-order mark, or Windows-1252.

    Raises:
        DataError: naming the line that is none of these.
        OSError: if the file cannot be read, or is not a regular one.
    """
    content, name = read_regular(path, LARGEST), str(path)
    if content.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        raise DataError(f"{name!r} is UTF-32 text. Save it again as UTF-8.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return FileText(content.decode("utf-16"), (f"{name!r} was read as UTF-16 text.",))
        except UnicodeDecodeError as error:
            again = "and damaged. Save it again as UTF-8."
            raise DataError(f"{name!r} is UTF-16 text, {again}") from error
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise DataError(
            f"Line {line:,} of {name!r} holds a NUL byte: the file is binary, damaged, or UTF-16 "
            "without a byte-order mark. Save it as UTF-8."
        )
    try:
        return FileText(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        if (read := _western(content, name)) is not None:
            return read
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"Line {line:,} of {name!r} is neither UTF-8 text nor plausible as Windows-1252. Save "
            "the file again as UTF-8 ('CSV UTF-8' in Excel), or convert it: iconv -f ITS-ENCODING "
            "-t UTF-8."
        ) from error


def _western(content: bytes, name: str) -> FileText | None:
    """Return a text in Windows-1252; None where its words are of another encoding.

    Files in UTF-8 with some broken rows, and texts in Cyrillic, Chinese or Japanese encodings, have
    bytes that Windows-1252 reads as well, but as no words.
    """
    from charset_normalizer import from_bytes

    sample = b"\n".join(line for line in content[:_SAMPLE].splitlines() if not line.isascii())
    if sum(map(len, _SEQUENCE.findall(sample))) > _MIXED * sum(byte > 127 for byte in sample):
        return None
    if (found := from_bytes(sample, cp_isolation=["cp1252"]).best()) is None:
        return None
    words = [word for word in _WORD.findall(str(found)) if not word.isascii()]
    western = [word for word in words if _ASCII.search(word)]
    if len(western) < _WESTERN * len(words):
        return None
    word = max(western or [c for c in str(found) if not c.isascii()], key=len)
    note = (
        f"{name!r} is not UTF-8 and was read as Windows-1252, with words such as {quoted(word)}. "
        "If letters look wrong, save it again as UTF-8."
    )
    return FileText(content.decode("cp1252", "replace"), (note,))


def _delimited(path: Path, text: str) -> pl.DataFrame:
    """Lay CSV or TSV out; quoted cells may hold line breaks, the delimiter is detected."""
    first = text[: text.find("\n") + 1 or None]
    delimiter = max(",;\t|", key=first.count)
    if path.suffix.lower() != ".csv" and "\t" in first:
        delimiter = "\t"
    ends = text if "\n" in text else text.replace("\r", "\n")
    lines = (f"{line}\n" for line in ends.split("\n"))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number, numbers, rows = 0, list[int](), list[list[str]]()
    limit = csv.field_size_limit(FIELD_LIMIT)
    try:
        header = check_header(path, [cell.strip() for cell in next(reader)])
        number = 1
        for number, cells in enumerate(reader, start=2):
            if any(cells):
                if len(cells) != len(header):
                    raise DataError(
                        f"Row {number} of {str(path)!r} has {len(cells)} cells, the header has "
                        f"{len(header)}. A cell that holds the delimiter or a line break must be "
                        "in double quotes."
                    )
                numbers.append(number)
                rows.append(cells)
    except csv.Error as error:
        raise DataError(f"Row {number + 1} of {str(path)!r} {_reason(str(error))}") from error
    finally:
        csv.field_size_limit(limit)
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    cells_of = {
        n: pl.Series(list(c), dtype=pl.String) for n, c in zip(header, columns, strict=True)
    }
    return pl.DataFrame({ROW: pl.Series(numbers, dtype=pl.Int64), **cells_of})


def _reason(error: str) -> str:
    if "field larger" in error:
        return TOO_LONG
    if "unexpected end" in error:
        return "opens a quoted cell that is never closed. Close the quote, or write it twice."
    if "expected after" in error:
        return "has text after a closing quote. Inside a quoted cell, write a quote twice."
    return f"cannot be read: {error}."


@contextmanager
def checked_file(name: str, largest: float = float("inf")) -> Iterator[Path]:
    """Give the path of a file after checking its ending, its first bytes and its size."""
    check_text(name, "The file name", DataError)
    bundled = name.startswith("sample:")
    with as_file(_sample(name[7:])) if bundled else nullcontext(Path(name)) as path:
        _check(path, largest)
        yield path


def _check(path: Path, largest: float) -> None:
    name = str(path)
    try:
        if not path.exists():
            raise FileNotFoundError
        if not path.is_file():
            is_now = "a folder" if path.is_dir() else "not a regular file"
            raise DataError(f"{name!r} is {is_now}. Give one {_ALLOWED} file.")
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.errno == ENAMETOOLONG:
            near = did_you_mean(path.name, neighbours(path))
            raise DataError(f"No file {quoted(name, 200)}.{near} Give a {_ALLOWED} file.") from None
        raise DataError(f"Cannot read {name!r}: {error.strerror or error}.") from error
    if size > largest:
        raise DataError(
            f"{name!r} has {size / 1e9:.1f} GB. Files of up to {LARGEST / 1e9:g} GB are read: give "
            "a sample of the rows; more than 100,000 add nothing."
        )
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise DataError(f"{name!r} is empty. It must hold a header and labelled rows.")
    for sign, what in _SIGNS:
        if head.lower().startswith(sign):
            raise DataError(f"{name!r} is {what}")
    _check_ending(path, head)


def _check_ending(path: Path, head: bytes) -> None:
    name, suffix = str(path), path.suffix.lower()
    if suffix not in _ENDINGS and not (suffix == ".txt" and b"\t" in head.split(b"\n")[0]):
        raise DataError(
            f"{name!r} has the ending {suffix!r}, which says nothing about its format. Allowed: "
            f"{', '.join(_ENDINGS)}. Rename it, or export it as CSV."
        )
    is_parquet = suffix in PARQUET
    if head.startswith(b"PAR1") != is_parquet:
        is_now = "is not Parquet" if is_parquet else "is Parquet"
        raise DataError(f"{name!r} {is_now}, contrary to its ending. Rename it.")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if is_parquet or suffix in JSON:
        return
    if start.startswith((b'{"', b"{ ")) and b":" in start[:200]:
        raise DataError(f"{name!r} holds JSON objects. If one a line, rename it to .jsonl.")
    if start.startswith((b"[{", b"[\n", b"[ ", b"[\r")):
        raise DataError(f"{name!r} is a JSON array. Rename it to .json.")


def _sample(name: str) -> Traversable:
    root = files("choose.data").joinpath("samples")
    known = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
    known = [entry for entry in known if entry.isidentifier() and not entry.startswith("_")]
    if name not in known:
        raise DataError(
            f"No bundled sample {name!r}.{did_you_mean(name, known)} "
            f"Bundled: {', '.join(f'sample:{entry}' for entry in known) or 'none'}."
        )
    names = (f"{name}.csv", f"{name}.jsonl", "questions.jsonl")
    named = (root.joinpath(name, file) for file in names)
    return next(file for file in named if file.is_file())


def dataset_name(path: str) -> str:
    """Return the name of a file, or of its folder where the file's name is generic."""
    if path.startswith("sample:"):
        return path.removeprefix("sample:")
    stem = Path(path).stem
    return Path(path).resolve().parent.name or stem if stem.lower() in _GENERIC else stem

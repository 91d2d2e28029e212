"""Read a table of labelled rows from a CSV, TSV, JSON, JSON Lines or Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from errno import ENAMETOOLONG
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

import polars as pl

from choose.data.readers.delimited import encoding_of, read_delimited
from choose.data.readers.json_and_parquet import read_json, read_parquet
from choose.errors import DataError, did_you_mean, quoted
from choose.files import neighbours
from choose.untrusted import check_text

# Names of files that say nothing about what is in them; the folder then names the set.
_GENERIC = frozenset({"train", "training", "data", "dataset", "all", "labels", "labelled", "pool"})
_GENERIC |= {"test", "val", "valid", "validation", "dev"}

JSON, PARQUET = (".jsonl", ".ndjson", ".json"), (".parquet", ".pq")

# Excel saves "Unicode text" as .txt: cells between tabs.
_ENDINGS = (".csv", ".tsv", ".tab", *JSON, *PARQUET)

# The rows of a bundled sample with documents.
_QUESTIONS = "questions.jsonl"

# Bytes; tables are held in memory.
LARGEST = 2_000_000_000

_ALLOWED = "CSV, TSV, JSON, JSONL or Parquet"

_SAVE = "Save it as CSV (UTF-8) and give that file."

_UNPACK = "Unpack it and give the file inside."

_SIGNS = (
    (b"PK\x03\x04", f"an Excel workbook or another ZIP archive. {_SAVE}"),
    (b"\xd0\xcf\x11\xe0", f"an old Excel workbook. {_SAVE}"),
    (b"\x1f\x8b", f"compressed with gzip. {_UNPACK}"),
    (b"BZh", f"compressed with bzip2. {_UNPACK}"),
    (b"\xfd7zXZ", f"compressed with xz. {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"compressed with zstd. {_UNPACK}"),
    (b"7z\xbc\xaf", f"a 7z archive. {_UNPACK}"),
    (b"%PDF", f"a PDF. {_SAVE}"),
    (b"SQLite format 3", f"a SQLite database. {_SAVE}"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data. Run git lfs pull."),
    (b"<!doctype html", "a web page, not the data. Download the file itself."),
    (b"<html", "a web page, not the data. Download the file itself."),
)


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a file, and what was remarkable in reading it."""

    table: pl.DataFrame
    notes: tuple[str, ...] = ()


def read_table(path: str | Path) -> pl.DataFrame:
    """Read a file, or ``sample:NAME``, as columns of strings, and `ROW`.

    A JSON or Parquet column of nested or mixed values keeps them, since it may not be needed.
    """
    return read_source(path).table


def read_source(path: str | Path) -> Source:
    """Read a file as `read_table` does, with notes such as its encoding."""
    name = str(path)
    with checked_file(name, LARGEST) as file:
        try:
            source = _read(file)
        except OSError as error:
            raise DataError(f"Cannot read {name!r}: {error.strerror or error}.") from error
    if source.table.is_empty():
        raise DataError(
            f"{name!r} holds no rows below its header. It must hold at least one labelled row."
        )
    return source


def _read(file: Path) -> Source:
    suffix = file.suffix.lower()
    if suffix in PARQUET:
        return Source(read_parquet(file))
    encoding = encoding_of(file)
    notes = () if encoding.note is None else (encoding.note,)
    read = read_json if suffix in JSON else read_delimited
    return Source(read(file, encoding), notes)


@contextmanager
def checked_file(name: str, largest: float = float("inf")) -> Iterator[Path]:
    """Give the path of a file after checking its ending, its first bytes and its size."""
    check_text(name, "The file name", DataError)
    bundled = name.startswith("sample:")
    with as_file(_sample(name[7:])) if bundled else nullcontext(Path(name)) as path:
        _check_suffix(path)
        _check_content(path, largest)
        yield path


def _check_suffix(path: Path) -> None:
    if not _exists(path):
        near = did_you_mean(path.name, neighbours(path))
        raise DataError(f"No file {quoted(str(path), 200)}.{near} Give a {_ALLOWED} file.")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not a regular file"
        raise DataError(f"{str(path)!r} is {what}. Give one {_ALLOWED} file.")
    suffix = path.suffix.lower()
    if suffix not in _ENDINGS and not (suffix == ".txt" and _has_tabs(path)):
        _check_content(path)
        raise DataError(
            f"{str(path)!r} has the ending {suffix!r}, which says nothing about its format. "
            f"Allowed: {', '.join(_ENDINGS)}. Rename it, or export it as CSV."
        )


def _has_tabs(path: Path) -> bool:
    """Return whether the first line has cells between tabs, as Excel writes "Unicode text"."""
    try:
        with path.open("rb") as file:
            return b"\t" in file.readline(100_000)
    except OSError:
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            return False
        raise DataError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from error


def _check_content(path: Path, largest: float = LARGEST) -> None:
    """Refuse a file that is too large or whose first bytes contradict its ending."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise DataError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from error
    if size > largest:
        raise DataError(
            f"{str(path)!r} has {size / 1e9:.1f} GB. Files of up to {LARGEST / 1e9:g} GB are read: "
            "give a sample of the rows; more than 100,000 add nothing."
        )
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise DataError(f"{str(path)!r} is empty. It must hold a header and labelled rows.")
    for sign, what in _SIGNS:
        if head.lower().startswith(sign.lower()):
            raise DataError(f"{str(path)!r} is {what}")
    is_parquet = path.suffix.lower() in PARQUET
    if head.startswith(b"PAR1") != is_parquet:
        is_now = "is not Parquet" if is_parquet else "is Parquet"
        raise DataError(f"{str(path)!r} {is_now}, contrary to its ending. Rename it.")
    if not is_parquet and path.suffix.lower() not in JSON:
        _check_not_json(path, head.removeprefix(b"\xef\xbb\xbf").lstrip())


def _check_not_json(path: Path, head: bytes) -> None:
    if head.startswith((b'{"', b"{ ")) and b":" in head[:200]:
        raise DataError(
            f"{str(path)!r} holds JSON objects. If there is one per line, rename it to .jsonl."
        )
    if head.startswith((b"[{", b"[\n", b"[ ", b"[\r")):
        raise DataError(f"{str(path)!r} is a JSON array. Rename it to .json.")


def _sample(name: str) -> Traversable:
    root = files("choose.data").joinpath("samples")
    known = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
    known = [entry for entry in known if entry.isidentifier() and not entry.startswith("_")]
    if name not in known:
        raise DataError(
            f"No bundled sample {name!r}.{did_you_mean(name, known)} "
            f"Bundled: {', '.join(f'sample:{entry}' for entry in known) or 'none'}."
        )
    named = (root.joinpath(name, file) for file in (f"{name}.csv", f"{name}.jsonl", _QUESTIONS))
    return next(file for file in named if file.is_file())


def dataset_name(path: str) -> str:
    """Return the name of a file, or of its folder where the file's name is generic."""
    if path.startswith("sample:"):
        return path.removeprefix("sample:")
    stem = Path(path).stem
    return Path(path).resolve().parent.name or stem if stem.lower() in _GENERIC else stem

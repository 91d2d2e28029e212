"""Read a table of labelled rows from a CSV, TSV, JSONL or Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from errno import ENAMETOOLONG
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

import polars as pl

from choose.data.readers.delimited import read_delimited
from choose.data.readers.json_and_parquet import read_jsonl, read_parquet
from choose.errors import DataError, did_you_mean, quoted
from choose.untrusted import check_text

_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".tab": read_delimited,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
    ".pq": read_parquet,
}

# Bytes; tables are held in memory.
LARGEST = 2_000_000_000

_ALLOWED = "CSV, TSV, JSONL or Parquet"

_SAVE = "Save it as CSV (UTF-8) and give that file."

_UNPACK = "Unpack it and give the file inside."
_UTF16 = "UTF-16 text. Save it again as UTF-8 ('CSV UTF-8' in Excel)."

_SIGNS = (
    (b"PK\x03\x04", f"an Excel workbook or another ZIP archive. {_SAVE}"),
    (b"\xd0\xcf\x11\xe0", f"an old Excel workbook. {_SAVE}"),
    (b"\x1f\x8b", f"compressed with gzip. {_UNPACK}"),
    (b"BZh", f"compressed with bzip2. {_UNPACK}"),
    (b"\xfd7zXZ", f"compressed with xz. {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"compressed with zstd. {_UNPACK}"),
    (b"7z\xbc\xaf", f"a 7z archive. {_UNPACK}"),
    (b"\xff\xfe", _UTF16),
    (b"\xfe\xff", _UTF16),
    (b"%PDF", f"a PDF. {_SAVE}"),
    (b"SQLite format 3", f"a SQLite database. {_SAVE}"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data. Run git lfs pull."),
    (b"<!doctype html", "a web page, not the data. Download the file itself."),
    (b"<html", "a web page, not the data. Download the file itself."),
)


def read_table(path: str | Path) -> pl.DataFrame:
    """Read CSV, TSV, JSONL, Parquet or ``sample:NAME`` as columns of strings, and `ROW`.

    A JSONL or Parquet column of nested or mixed values keeps them, since it may not be needed.

    Raises:
        DataError: if the file cannot be read, naming the row if there is one.
    """
    name = str(path)
    with checked_file(name, LARGEST) as file:
        try:
            table = _READERS[file.suffix.lower()](file)
        except OSError as error:
            raise DataError(f"Cannot read {name!r}: {error.strerror or error}.") from error
    if table.is_empty():
        raise DataError(
            f"{name!r} holds no rows below its header. It must hold at least one labelled row."
        )
    return table


@contextmanager
def checked_file(name: str, largest: float = float("inf")) -> Iterator[Path]:
    """Give the path of a file after checking its ending, its first bytes and its size.

    Raises:
        DataError: if they do not fit, or if it has more than `largest` bytes.
    """
    check_text(name, "The file name", DataError)
    if name.startswith("hf:"):
        raise DataError(
            f"{name!r} cannot be read: data sets on the Hugging Face hub need an extra that is not "
            "built yet. Export it, for example with load_dataset(...).to_parquet('train.parquet'), "
            "and give that file."
        )
    bundled = name.startswith("sample:")
    with as_file(_sample(name[7:])) if bundled else nullcontext(Path(name)) as path:
        _check_suffix(path)
        _check_content(path, largest)
        yield path


def _check_suffix(path: Path) -> str:
    if not _exists(path):
        near = did_you_mean(path.name, _neighbours(path))
        raise DataError(f"No file {quoted(str(path), 200)}.{near} Give a {_ALLOWED} file.")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not a regular file"
        raise DataError(f"{str(path)!r} is {what}. Give one {_ALLOWED} file.")
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        _check_content(path)
        raise DataError(
            f"{str(path)!r} has the ending {suffix!r}, which says nothing about its format. "
            f"Allowed: {', '.join(_READERS)}. Rename it, or export it as CSV."
        )
    return suffix


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            return False
        raise DataError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from error


def _neighbours(path: Path) -> list[str]:
    try:
        return [other.name for other in path.parent.iterdir()]
    except OSError:
        return []


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
    is_parquet = path.suffix.lower() in {".parquet", ".pq"}
    if head.startswith(b"PAR1") != is_parquet:
        is_now = "is not Parquet" if is_parquet else "is Parquet"
        raise DataError(f"{str(path)!r} {is_now}, contrary to its ending. Rename it.")
    if not is_parquet and path.suffix.lower() not in {".jsonl", ".ndjson"}:
        _check_not_json(path, head.removeprefix(b"\xef\xbb\xbf").lstrip())


def _check_not_json(path: Path, head: bytes) -> None:
    if head.startswith((b'{"', b"{ ")) and b":" in head[:200]:
        raise DataError(
            f"{str(path)!r} holds JSON objects. If there is one per line, rename it to .jsonl."
        )
    if head.startswith((b"[{", b"[\n", b"[ ", b"[\r")):
        raise DataError(
            f"{str(path)!r} is one JSON array. Write one object per line and name the file .jsonl."
        )


def _sample(name: str) -> Traversable:
    root = files("choose.data").joinpath("samples")
    known = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
    known = [entry for entry in known if entry.isidentifier() and not entry.startswith("_")]
    if name not in known:
        raise DataError(
            f"No bundled sample {name!r}.{did_you_mean(name, known)} "
            f"Bundled: {', '.join(f'sample:{entry}' for entry in known) or 'none'}."
        )
    return root.joinpath(name, f"{name}.csv")

"""Digests, reads of regular files only, atomic writes, and cells of CSV files."""

import errno
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from choose.errors import StoreError
from choose.formatting import clean, harmless_json


def digest(value: Any) -> str:
    """Return 32 hex digits of SHA-256 over the canonical JSON of `value`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# `json.dumps` makes an encoder for each call that has options.
_ROW = json.JSONEncoder(ensure_ascii=False)


def digest_rows(rows: Iterable[tuple[str | None, ...]]) -> str:
    """Return 32 hex digits of SHA-256 over rows of strings; order and row boundaries count."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(_ROW.encode(row).encode("utf-8", "surrogatepass") + b"\n")
    return sha.hexdigest()[:32]


# Bytes of the largest JSON, TOML or text file that is read whole.
LARGEST_TEXT = 256_000_000


class NotRegularError(OSError):
    """A folder, pipe or device, or too large a file; reading it might never end."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EINVAL, why, str(path))

    def __str__(self) -> str:
        return str(self.strerror)


def check_regular(path: Path, limit: float = float("inf")) -> None:
    """Refuse what is no regular file of at most `limit` bytes; links are followed.

    Raises:
        NotRegularError: with the reason.
        OSError: if it does not exist or cannot be reached.
    """
    _check_status(path, os.stat(path), limit)


def _check_status(path: Path, status: os.stat_result, limit: float) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise NotRegularError(path, "it is a folder, move it away")
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError(path, "it is a pipe or device, not a regular file")
    if status.st_size > limit:
        raise NotRegularError(path, f"it has more than {limit:,.0f} bytes")


def read_regular(path: Path, limit: int = LARGEST_TEXT) -> bytes:
    """Return the content of a regular file, without ever waiting for a pipe or device.

    Raises:
        NotRegularError: if it is none, or has more than `limit` bytes.
        OSError: if it cannot be read.
    """
    check_regular(path, limit)  # before it is opened, since opening can move a device
    with open(path, "rb", opener=_open_nonblocking) as file:
        status = os.fstat(file.fileno())
        _check_status(path, status, limit)
        return file.read(status.st_size)


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_text(path: Path, limit: int = LARGEST_TEXT) -> str:
    """Return the UTF-8 text of a regular file; raise as `read_regular`, or UnicodeDecodeError."""
    return read_regular(path, limit).decode("utf-8")


# Temporary names of files being written, which no other program makes, and the age in seconds after
# which they are abandoned.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.choose-tmp")
ABANDONED_AFTER = 60.0


def temporary_name(path: Path) -> Path:
    """Return a new name next to `path` for a file or folder while it is written."""
    return path.with_name(f".{path.name[:80]}.{uuid4().hex[:8]}.choose-tmp")


def neighbours(path: Path) -> list[str]:
    """Return the names in the folder of a path; none if it cannot be read."""
    try:
        return [other.name for other in path.parent.iterdir()]
    except OSError:
        return []


@contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system in a block that writes `path` into ones that say what to do."""
    try:
        yield
    except Exception as error:
        if (reason := system_reason(error)) is None:
            raise
        raise StoreError(
            f"Cannot write {str(path)!r}: {reason}. Free some space or choose another place."
        ) from error


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` create a temporary file next to `path`, then rename it to `path`.

    Raises:
        StoreError: if the folder cannot be written or the disk is full; `path` is unchanged.
    """
    temporary = temporary_name(path)
    try:
        with explained_errors(path):
            if path.is_dir():
                raise StoreError(f"Cannot write {str(path)!r}: it is a folder. Move it away.")
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_table(path: Path, table: Any) -> None:
    """Write a table of polars as Parquet atomically.

    It is made in memory, since polars' own errors on a full disk do not all name the disk.
    """
    content = BytesIO()
    table.write_parquet(content)
    write_atomic(path, lambda temporary: temporary.write_bytes(content.getbuffer()))


def remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        why = f"Cannot remove {str(path)!r}: {system_reason(error)}."
        raise StoreError(f"{why} Make the folder writable.") from error


def is_temporary(path: Path) -> bool:
    return _TEMPORARY.fullmatch(path.name) is not None


# How libraries written in Rust (polars, safetensors) quote an error of the system.
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def system_reason(error: Exception) -> str | None:
    """Return why the system refused to read or write, or None for an error of another kind."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    quoted = _SYSTEM_ERROR.search(str(error))
    return os.strerror(int(quoted[1])) if quoted else None


def remove_temporary_files(folder: Path) -> None:
    """Remove our temporary files in a folder, not below, whose writers were killed.

    Files younger than a minute stay: another process may be writing them.
    """
    for temporary in folder.glob(".*.choose-tmp"):
        with suppress(OSError):
            age = time.time() - temporary.lstat().st_mtime
            if is_temporary(temporary) and age > ABANDONED_AFTER:
                temporary.unlink()


def write_text(path: Path, text: str) -> None:
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; raise ValueError for NaN, since missing values are null."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, harmless_json(text) + "\n")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file; raise as `read_regular`."""
    check_regular(path)
    with open(path, "rb", opener=_open_nonblocking) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Cells of CSV files.

# Beginnings of a cell that spreadsheets take for a formula, full-width forms included.
_FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")


def csv_cell(text: str) -> str:
    """Return a cell on one line; an apostrophe keeps a spreadsheet from running it as a formula."""
    line = clean(text)
    formula = _FORMULA.match(text) or _FORMULA.match(line)
    return f"'{line}" if formula and not _NUMBER.fullmatch(line) else line

"""Digests, and atomic writes of files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from choose.errors import StoreError
from choose.formatting import harmless_json


def digest(value: Any) -> str:
    """Return 32 hex digits of SHA-256 over the canonical JSON of `value`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def digest_rows(rows: Iterable[tuple[str | None, ...]]) -> str:
    """Return 32 hex digits of SHA-256 over rows of strings; order and row boundaries count."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return sha.hexdigest()[:32]


# Temporary names of files being written, which no other program makes, and the age in seconds after
# which they are abandoned.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.choose-tmp")
ABANDONED_AFTER = 60.0


def temporary_name(path: Path) -> Path:
    """Return a new name next to `path` for a file or folder while it is written."""
    return path.with_name(f".{path.name[:80]}.{uuid4().hex[:8]}.choose-tmp")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` create a temporary file next to `path`, then rename it to `path`.

    Raises:
        StoreError: if the folder cannot be written or the disk is full; `path` is unchanged.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except Exception as error:
        if (reason := system_reason(error)) is None:
            raise
        raise StoreError(
            f"Cannot write {str(path)!r}: {reason}. Free some space or choose another place."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Return whether a file has a name that only our temporary files have."""
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
    """Write UTF-8 text atomically."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; raise ValueError for NaN, since missing values are null."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, harmless_json(text) + "\n")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""Write files whole or not at all."""

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


def digest(value: Any) -> str:
    """Return 32 hex digits of SHA-256 over the canonical JSON of `value`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def digest_rows(rows: Iterable[tuple[str | None, ...]]) -> str:
    """Return 32 hex digits of SHA-256 over rows of strings, order and boundaries included."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return sha.hexdigest()[:32]


# Names of files that are being written, and seconds after which nobody is writing them any more.
_LEFT = re.compile(r"\..+\.[0-9a-f]{8}")


YOUNG = 60.0


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then rename it into place.

    Raises:
        StoreError: if the folder cannot be written or the disk is full; nothing is left behind.
    """
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        os.replace(beside, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"Cannot write {str(path)!r}: {reason}. Free some space or choose another place."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writers left below a folder that were killed between writing and renaming.

    Another process may be writing right now, so that what is younger than a minute stays.
    """
    for beside in folder.rglob(".*"):
        with suppress(OSError):
            if _LEFT.fullmatch(beside.name) and time.time() - beside.stat().st_mtime > YOUNG:
                beside.unlink()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, whole or not at all; NaN is refused, since a gap is null."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

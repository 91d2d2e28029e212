"""Where results may be written: never over an input, inside a store or where it cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from choose.errors import StudyError
from choose.files import temporary_name
from choose.untrusted import check_text

# Written first into a new store; the study with its rule follows.
MARK, STUDY = ".choose-study", "study.toml"

Sources = Iterable[str | Path | None]


def is_store(folder: Path) -> bool:
    """Return whether a study was begun in a folder."""
    try:
        return (folder / MARK).is_file()
    except OSError:
        return False


def check_destination(
    path: Path,
    inputs: Sources = (),
    flag: str = "-o",
    stores: Iterable[Path | None] = (),
) -> None:
    """Refuse a file that may not or cannot be written; `flag` names it in messages.

    `inputs` are files and folders that the command reads, `stores` folders that will be stores.

    Raises:
        StudyError: before anything is run or written.
    """
    _check_place(path, inputs, flag, stores)
    folder = path.parent
    if not folder.is_dir():
        raise StudyError(
            f"{flag} {str(path)!r} cannot be written: there is no folder {str(folder)!r}. "
            "Make it, or name another file."
        )
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "not a regular file"
        raise StudyError(f"{flag} {str(path)!r} is {what}. Name another file.")
    _check_writable(folder, path, flag)


def check_folder(
    path: Path,
    inputs: Sources = (),
    flag: str = "--out",
    stores: Iterable[Path | None] = (),
) -> None:
    """Refuse a folder, new or not, that may not or cannot be written; as `check_destination`.

    Raises:
        StudyError: before anything is run or written.
    """
    _check_place(path, inputs, flag, stores)
    place = _real(path)
    for source in (source for source in inputs if source):
        if Path(source).is_file() and place in _real(source).parents and is_store(path):
            raise StudyError(
                f"{flag} {str(path)!r} is a study and holds the input {str(source)!r}, which would "
                "be overwritten. Copy that file elsewhere, or name another folder."
            )
    folder = next(parent for parent in (place, *place.parents) if parent.exists())
    if not folder.is_dir():
        raise StudyError(f"{flag} {str(path)!r}: {str(folder)!r} is a file. Name a folder.")
    _check_writable(folder, path, flag)


def _check_place(path: Path, inputs: Sources, flag: str, stores: Iterable[Path | None]) -> None:
    name = repr(check_text(str(path), flag))
    # Both the location of a link and its target.
    places = {_real(path), _real(path.parent) / path.name}
    for source in (source for source in inputs if source):
        inside = {_real(source)} & {parent for place in places for parent in place.parents}
        if _same(path, source) or _real(source) in places or inside:
            raise StudyError(
                f"{flag} {name} is the input {str(source)!r}{' or lies in it' if inside else ''}, "
                "which is never overwritten. Name another place."
            )
    begun = {_real(store) for store in stores if store is not None}
    for folder in (parent for place in places for parent in place.parents):
        if folder in begun or is_store(folder):
            raise StudyError(
                f"{flag} {name} lies inside the study {str(folder)!r}, whose files choose alone "
                "writes. Name a place outside."
            )


def _check_writable(folder: Path, path: Path, flag: str) -> None:
    probe = temporary_name(folder / path.name)
    try:
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise StudyError(
            f"{flag} {str(path)!r} cannot be written: {reason}. Name another place."
        ) from error


def _same(path: Path, source: str | Path) -> bool:
    """Return whether two names are one file, by links of any kind."""
    try:
        return path.samefile(source)
    except OSError:
        return False


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))

"""Where results may be written: never over an input, inside a store or where it cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from choose.errors import StudyError
from choose.files import temporary_name
from choose.untrusted import check_text

# Written first into a new store; the study follows.
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
    stores: Sources = (),
    folder: bool = False,
) -> None:
    """Refuse a file or a folder that may not or cannot be written; `flag` names it in messages.

    `inputs` are files and folders that the command reads, `stores` folders that will be stores.

    Raises:
        StudyError: before anything is run or written.
    """
    name = f"{flag} {check_text(str(path), flag)!r}"
    _check_place(name, path, inputs, stores)
    if folder:
        place = next(place for place in (_real(path), *_real(path).parents) if place.exists())
    elif path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "not a regular file"
        raise StudyError(f"{name} is {what}. Name another file.")
    else:
        place = path.parent
    if not place.is_dir():
        raise StudyError(f"{name} cannot be written: {str(place)!r} is no folder. Name another.")
    probe = temporary_name(place / path.name)
    try:
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise StudyError(f"{name} cannot be written: {reason}. Name another place.") from error


def _check_place(name: str, path: Path, inputs: Sources, stores: Sources) -> None:
    """Refuse a place that is an input, or lies in one or in a study."""
    # Both the location of a link and its target.
    places = {_real(path), _real(path.parent) / path.name}
    above = {parent for place in places for parent in place.parents}
    for source in (source for source in inputs if source):
        if _real(source) in places | above or _same(path, source):
            raise StudyError(
                f"{name} is the input {str(source)!r}, or lies in it, which is never overwritten. "
                "Name another place."
            )
    begun = {_real(store) for store in stores if store}
    for parent in above:
        if parent in begun or is_store(parent):
            raise StudyError(
                f"{name} lies inside the study {str(parent)!r}, whose files choose alone writes. "
                "Name a place outside."
            )


def _same(path: Path, source: str | Path) -> bool:
    """Return whether two names are one file, by links of any kind."""
    try:
        return path.samefile(source)
    except OSError:
        return False


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))

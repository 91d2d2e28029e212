"""Where results may be written: never over an input, inside a store or where it cannot be."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w

from choose.errors import StoreError, StudyError
from choose.files import check_regular, read_regular, read_text, temporary_name
from choose.store.tables import UNREADABLE
from choose.untrusted import check_text

# Written first into a new store; the study with its rule follows.
MARK, STUDY = ".choose-study", "study.toml"

# Files of stores of earlier versions, which had no mark, with keys that only we write.
_WITHOUT_MARK = {
    "data.json": {"fingerprint", "division", "folds"},
    "grid.json": {"candidates", "trials"},
}

Sources = Iterable[str | Path | None]


def is_store(folder: Path) -> bool:
    """Return whether a study was begun in a folder, by this version or an earlier one."""
    try:
        if (folder / MARK).is_file():
            return True
        if any(folder.glob("trials/*/trial.json")) and (folder / STUDY).is_file():
            return True
        return any(keys <= _keys(folder / name) for name, keys in _WITHOUT_MARK.items())
    except OSError:
        return False


def check_own_files(folder: Path) -> None:
    """Refuse a store without our mark whose study or rows we did not write.

    A file of nothing but zeros is lost anyway; a run writes it anew.

    Raises:
        StoreError: before anything is replaced.
    """
    if (folder / MARK).is_file():
        return
    for name, is_ours in ((STUDY, _is_resolved_study), ("data.parquet", _is_table)):
        file = folder / name
        if file.exists() and not is_ours(file) and not _is_blank(file):
            raise StoreError(
                f"{str(file)!r} is not as choose writes it, and would be replaced. Move it away, "
                "or name an empty or new folder with --out."
            )


def _is_resolved_study(file: Path) -> bool:
    """Return whether a study file is as a store keeps it: with the rule, without comments."""
    try:
        text = read_text(file).replace("\r\n", "\n")
        study = tomllib.loads(text)
        return "rule" in study and tomli_w.dumps(study) == text
    except (OSError, ValueError, RecursionError):
        return False


def _is_table(file: Path) -> bool:
    """Return whether a Parquet file has the columns that every version of a store wrote."""
    try:
        check_regular(file)
        return {"id", "text", "target", "fold"} <= pl.read_parquet_schema(file).keys()
    except UNREADABLE:
        return False


def _is_blank(file: Path) -> bool:
    try:
        return not read_regular(file, 1_000_000).strip(b"\0 \n")
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


def _keys(file: Path) -> set[Any]:
    """Return the keys of a JSON object in a file; none where it holds no object."""
    try:
        value = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError):
        return set()
    return set(value) if isinstance(value, dict) else set()

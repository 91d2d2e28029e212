"""A folder that exists whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from choose.artefact.manifest import NAME
from choose.errors import StoreError


@contextmanager
def whole_folder(folder: Path, force: bool) -> Iterator[Path]:
    """Give a new folder beside `folder` to be filled, and rename it into place at the end.

    Raises:
        StoreError: if there is something that may not be replaced, or no folder can be made.
    """
    place = folder.resolve()
    check_free(place, folder, force)
    beside = place.with_name(f".{place.name}.{uuid4().hex[:8]}")
    try:
        try:
            beside.mkdir(parents=True)
            yield beside
            _put(beside, place)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(
                f"Cannot write {str(folder)!r}: {reason}. Free some space or choose another place."
            ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_free(place: Path, named: Path, force: bool) -> None:
    """Refuse a folder with something in it; with `force`, one with anything but an export.

    Raises:
        StoreError: before anything is computed.
    """
    if not place.exists():
        return
    if not place.is_dir():
        raise StoreError(f"{str(named)!r} is a file. Name a new folder.")
    if not any(place.iterdir()):
        return
    if not (place / NAME).is_file():
        raise StoreError(
            f"{str(named)!r} holds files that are no export, so it is left alone. "
            "Name a new folder."
        )
    if not force:
        raise StoreError(
            f"{str(named)!r} holds an export already. "
            "Name a new folder, or replace it with --force."
        )


def _put(beside: Path, place: Path) -> None:
    if not place.exists():
        os.replace(beside, place)
        return
    old = place.with_name(f"{beside.name}.old")
    os.replace(place, old)
    try:
        os.replace(beside, place)
    except OSError:
        os.replace(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)

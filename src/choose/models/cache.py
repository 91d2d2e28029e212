"""Where fetched weights and paid answers lie, and which weights are there."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from choose.models.specs import Wheel


def cache_dir() -> Path:
    """Return the user's cache; CHOOSE_CACHE overrides where it is."""
    override = os.environ.get("CHOOSE_CACHE")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("choose", appauthor=False))


def cached(wheel: Wheel) -> Path | None:
    """Return the folder of a wheel's model if it has been fetched before."""
    target = place_of(wheel)
    return target if target.is_dir() else None


def place_of(wheel: Wheel) -> Path:
    """Return the folder that a wheel's model has, or would have."""
    return cache_dir() / "models" / _slot(wheel)


def _slot(wheel: Wheel) -> str:
    # The member is part of the name, so that two specs never share a folder.
    where = hashlib.sha256(wheel.member.encode()).hexdigest()[:6]
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", f"{wheel.package}-{wheel.version}")
    return f"{readable}-{wheel.pin.sha256[:12]}-{where}"

"""Where weights and paid answers are kept for all studies of a user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the user's cache; CHOOSE_CACHE overrides where it is."""
    override = os.environ.get("CHOOSE_CACHE")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("choose", appauthor=False))

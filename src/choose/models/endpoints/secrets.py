"""Keys: read from the environment or ``.env``, and kept out of every text."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from choose.errors import ModelError
from choose.models.endpoints.settings import KEYLIKE, Endpoint

HIDDEN = "[key]"


def key_of(name: str, endpoint: Endpoint) -> str | None:
    """Return an endpoint's key, or None where it needs none.

    Raises:
        ModelError: if the variable is not set or holds what no header could carry.
    """
    variable = endpoint.api_key_env
    if variable is None:
        return None
    key = (os.environ.get(variable) or _dotenv().get(variable) or "").strip()
    if not key:
        raise ModelError(
            f"The endpoint {name!r} takes its key from {variable}, which is not set, neither in "
            f"the environment nor in .env. Set it: export {variable}=…"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelError(
            f"What {variable} holds cannot be a key: it has spaces, line ends or characters "
            "beyond ASCII in it. Copy the key again."
        )
    return key


def scrubbed(text: str, keys: Iterable[str]) -> str:
    """Return a text without any key in it, on one line and not too long to be read."""
    for key in keys:
        text = text.replace(key, HIDDEN)
    text = KEYLIKE.sub(lambda m: f"{m[1] or ''}{HIDDEN}", text)
    return " ".join(text.split())[:300]


def _dotenv() -> dict[str, str | None]:
    path = Path(".env")
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"Cannot read .env: {type(error).__name__}.") from None

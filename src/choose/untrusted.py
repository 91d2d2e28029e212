"""Numbers and dates from outside: NaN, infinity, overflow and absurd sizes never pass."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

# The largest figure that anything here measures: larger ones are mistakes or attacks.
LARGEST = 1e12

# More characters than any number needs.
_LONGEST = 40


def finite(value: Any, low: float = -LARGEST, high: float = LARGEST) -> float | None:
    """Return a number, or the number that a text spells, if it lies between the bounds; else None.

    Never raises. Booleans are no numbers.
    """
    if isinstance(value, str) and len(value) > _LONGEST:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and low <= number <= high else None


def count(value: Any, high: int = 1 << 40) -> int | None:
    """Return a whole number from 0 to `high`, given as an integer; else None."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high
    return int(value) if whole else None


def http_date(text: str) -> datetime | None:
    """Return the moment that an HTTP or e-mail date names, in UTC; None if it is no date.

    Years, hours and zones beyond all calendars are no dates.
    """
    if len(text) > 2 * _LONGEST:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

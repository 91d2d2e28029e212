"""Read a column of dates in whatever common form it is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMERIC = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[ ,T]+(\d{1,2}):(\d\d)(?::(\d\d))?)?")


_DAYS = ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%Y/%m/%d")


_TIMES = ("", " %H:%M", " %H:%M:%S")


_WRITTEN = (*(day + time for day in _DAYS for time in _TIMES), "%a %b %d %H:%M:%S %z %Y")


def parse_dates(cells: Sequence[str]) -> list[datetime | None]:
    """Return the moments in UTC, times without a zone read as UTC; None where none can be read.

    ISO 8601, seconds or milliseconds since 1970, e-mail and written-out dates, and day-month-year
    or month-day-year where some cell of the column shows which of the two it is.
    """
    day_first = _day_first(cells)
    return [_parse(cell.strip(), day_first) for cell in cells]


def _parse(cell: str, day_first: bool | None) -> datetime | None:
    if numeric := _NUMERIC.fullmatch(cell):
        return _from_numbers(numeric, day_first)
    for parser in (_iso, _epoch, _written, _mail):
        if (moment := parser(cell)) is not None:
            return _in_utc(moment)
    return None


def _in_utc(moment: datetime) -> datetime | None:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None


def _day_first(cells: Sequence[str]) -> bool | None:
    """Tell from the whole column whether days come first; None where it cannot be told."""
    matches = [m for cell in cells if (m := _NUMERIC.fullmatch(cell.strip()))]
    days = any(int(m[1]) > 12 or "." in m[0].split(" ")[0] for m in matches)
    months = any(int(m[2]) > 12 for m in matches)
    return None if days == months else days


def _from_numbers(match: re.Match[str], day_first: bool | None) -> datetime | None:
    if day_first is None:
        return None
    day, month = (1, 2) if day_first else (2, 1)
    hour, minute, second = (int(match[i] or 0) for i in (4, 5, 6))
    try:
        return datetime(
            int(match[3]), int(match[month]), int(match[day]), hour, minute, second, tzinfo=UTC
        )
    except ValueError:
        return None


def _iso(cell: str) -> datetime | None:
    # "20210304" is ISO, other bare numbers are not; "... UTC" is common and is not ISO.
    if cell.isdigit() and len(cell) != 8:
        return None
    try:
        return datetime.fromisoformat(re.sub(r" ?(?:UTC|GMT)$", "+00:00", cell))
    except ValueError:
        return None


def _epoch(cell: str) -> datetime | None:
    if not re.fullmatch(r"\d{9,10}(?:\.\d+)?|\d{12,13}", cell):
        return None
    seconds = float(cell)
    return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)


def _written(cell: str) -> datetime | None:
    plain = re.sub(r"\s+", " ", cell.replace(",", " ")).replace(". ", " ").strip()
    for form in _WRITTEN:
        try:
            return datetime.strptime(plain, form)
        except ValueError:
            continue
    return None


def _mail(cell: str) -> datetime | None:
    try:
        return parsedate_to_datetime(cell) if re.match(r"[A-Za-z]{3}, \d", cell) else None
    except (ValueError, IndexError, TypeError):
        return None

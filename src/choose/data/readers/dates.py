"""Read a column of dates in the common ways of writing them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

_NUMERIC = re.compile(
    r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[ ,T]+(\d{1,2}):(\d\d)(?::(\d\d))?(?: ?([AP])M)?)?",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"\d{9,10}(?:\.\d+)?|\d{12,13}")
_BARE = re.compile(r"\d+(?:\.\d+)?")
_YEAR_FIRST = re.compile(r"(\d{4})/(\d\d?)/(\d\d?)")
_MONTH = re.compile(r"(?<![a-z])(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)
# Characters of the longest date, with the names of its day and zone.
LONGEST = 80
_TIME = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s*[+-]\d\d:?\d\d)?")

# Hours from UTC of the zones that RFC 5322 names; `dateutil` would take other names for UTC.
_ZONES = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}


def parse_dates(cells: Sequence[str]) -> list[datetime | None]:
    """Return times in UTC, None for a cell that is no complete date; a time without a zone is UTC.

    Accepts ISO 8601, seconds or milliseconds since 1970, dates with the month in English letters,
    and day-month-year or month-day-year where some cell of the column shows which of the two it is.
    """
    day_first = _day_first(cells)
    stripped = (cell.strip() for cell in cells)
    return [_parse(cell, day_first) if len(cell) <= LONGEST else None for cell in stripped]


def _day_first(cells: Sequence[str]) -> bool | None:
    """Return whether days come first in the whole column; None where no cell decides it."""
    matches = [m for cell in cells if (m := _NUMERIC.fullmatch(cell.strip()))]
    days = any(int(m[1]) > 12 or "." in m[0].split(" ")[0] for m in matches)
    months = any(int(m[2]) > 12 for m in matches)
    return None if days == months else days


def _parse(cell: str, day_first: bool | None) -> datetime | None:
    try:
        if numeric := _NUMERIC.fullmatch(cell):
            moment = _from_numbers(numeric, day_first)
        elif _EPOCH.fullmatch(cell):
            seconds = float(cell)
            moment = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        else:
            moment = _written(cell) if _MONTH.search(cell) else _iso(cell)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, ArithmeticError):  # years and zones beyond all calendars
        return None


def _from_numbers(match: re.Match[str], day_first: bool | None) -> datetime:
    if day_first is None:
        raise ValueError("days and months cannot be distinguished")
    day, month = (match[1], match[2]) if day_first else (match[2], match[1])
    hour = int(match[4] or 0)
    if match[7]:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a 12-hour clock")
        hour = hour % 12 + (12 if match[7] in "Pp" else 0)
    minute, second = int(match[5] or 0), int(match[6] or 0)
    return datetime(int(match[3]), int(month), int(day), hour, minute, second)


def _iso(cell: str) -> datetime:
    if cell.isdigit() and len(cell) != 8:
        raise ValueError("of bare numbers, only YYYYMMDD is a date")
    cell = _YEAR_FIRST.sub(lambda m: f"{m[1]}-{m[2]:0>2}-{m[3]:0>2}", cell)
    # "... UTC" is common and not ISO.
    return datetime.fromisoformat(re.sub(r" ?(?:UTC|GMT)$", "+00:00", cell))


def _written(cell: str) -> datetime:
    """Parse a date whose month is a word; a four-digit year and a day must be there."""
    from dateutil import parser

    numbers = re.findall(r"\d+", _TIME.sub("", cell))
    if sorted(min(len(number), 3) for number in numbers) not in ([1, 3], [2, 3]):
        raise ValueError("no complete date")
    moment: datetime = parser.parse(cell, tzinfos=_zone)
    return moment


def _zone(name: str | None, offset: int | None) -> timezone | None:
    if name is None and offset is None:
        return None
    if offset is None and name not in _ZONES:
        raise ValueError(f"unknown time zone {name}")
    shift = timedelta(hours=_ZONES[name or ""]) if offset is None else timedelta(seconds=offset)
    return timezone(shift)


def date_like(cell: str) -> bool:
    """Return whether a cell is written as a date, though its day and month may be ambiguous.

    Bare digits, which may be seconds since 1970, are as likely a number.
    """
    cell = cell.strip()
    if len(cell) > LONGEST or _BARE.fullmatch(cell):
        return False
    if match := _NUMERIC.fullmatch(cell):
        return 1 <= int(match[1]) <= 31 and 1 <= int(match[2]) <= 31
    return _parse(cell, None) is not None

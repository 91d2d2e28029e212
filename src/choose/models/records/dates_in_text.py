"""Dates in texts as people write them in English: 14/1, 14 January, tomorrow, next Tuesday."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

_COUNTS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}

# Words around a date that change nothing.
_AROUND = re.compile(r"^(?:by|on|for|before|from|the|coming)\s+|,")

_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")

_NUMBERS = re.compile(r"(\d{1,2})[/.-](\d{1,2})(?:[/.-](\d{2}|\d{4}))?")

_NAMED = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?(?: of)? ([a-z]{3,9})(?: (\d{4}))?")

_MONTH_FIRST = re.compile(r"([a-z]{3,9}) (\d{1,2})(?:st|nd|rd|th)?(?: (\d{4}))?")

_IN = re.compile(r"(?:in )?(\d{1,2}|[a-z]+) (day|week)s?(?: (?:time|today|from today|from now))?")

_ORDINAL = re.compile(r"(\d{1,2})(?:st|nd|rd|th)")


def date_in(text: str, reference: date | None, day_first: bool = True) -> date | None:
    """Return the date that a whole text means on the day of `reference`, or None.

    A date without a year, or without a month, is the next one; "Tuesday" is the next Tuesday,
    "next Tuesday" that of the following calendar week. Without a reference only complete dates
    are read.
    """
    words = " ".join(_AROUND.sub(" ", " ".join(text.casefold().split())).split())
    while (shorter := _AROUND.sub("", words)) != words:
        words = shorter.strip()
    parts = words.split()
    # "Thursday 14 January": the number says more than the day of the week.
    if len(parts) > 1 and weekday_of(parts[0]) is not None and any(c.isdigit() for c in words):
        words = " ".join(parts[1:]).removeprefix("the ")
    return _complete(words, reference, day_first) or (
        _relative(words, reference) if reference is not None else None
    )


@lru_cache(maxsize=100_000)
def part_of_date(word: str) -> bool:
    """Return whether a text without such a word means no day: it is in all that `date_in` reads."""
    lower = word.casefold()
    return (
        any(c.isdigit() for c in lower)
        or weekday_of(lower) is not None
        or lower.startswith(("today", "tonight", "tomor", "tommor", "tmrw", "day", "week"))
    )


def _complete(words: str, reference: date | None, day_first: bool) -> date | None:
    if match := _ISO.fullmatch(words):
        return _date(match[1], int(match[2]), match[3], reference)
    if match := _NUMBERS.fullmatch(words):
        day, month = (match[1], match[2]) if day_first else (match[2], match[1])
        return _date(match[3], int(month), day, reference)
    if (match := _NAMED.fullmatch(words)) and (month_number := month_of(match[2])):
        return _date(match[3], month_number, match[1], reference)
    if (match := _MONTH_FIRST.fullmatch(words)) and (month_number := month_of(match[1])):
        return _date(match[3], month_number, match[2], reference)
    return None


def _relative(words: str, today: date) -> date | None:
    monday = today - timedelta(days=today.weekday())
    if words in ("today", "tonight", "tomorrow", "tmrw", "tommorow", "tomorow"):
        return today + timedelta(days=words.startswith(("tom", "tm")))
    words = words.replace("of the ", "of ")
    if words in ("day after tomorrow", "end of week", "end of this week", "end of next week"):
        ends = monday + timedelta(days=4 + 7 * ("next" in words))
        return today + timedelta(days=2) if words.startswith("day") else ends
    if match := _ORDINAL.fullmatch(words):
        month = today.month + (int(match[1]) < today.day)
        return _date(str(today.year + (month > 12)), (month - 1) % 12 + 1, match[1], today)
    which, _, name = words.rpartition(" ")
    if (weekday := weekday_of(name)) is not None and which in ("", "next", "this"):
        if which:
            return monday + timedelta(days=weekday + 7 * (which == "next"))
        return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)
    first, _, rest = words.partition(" ")
    if (weekday := weekday_of(first)) is not None and rest in ("week", "next week", "of next week"):
        if rest == "week":
            return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 8)
        return monday + timedelta(days=weekday + 7)
    if match := _IN.fullmatch(words):
        count = int(match[1]) if match[1].isdigit() else _COUNTS.get(match[1])
        return today + timedelta(days=count * (7 if match[2] == "week" else 1)) if count else None
    return None


def _date(year: str | None, month: int, day: str, reference: date | None) -> date | None:
    try:
        if year is not None:
            return date(int(year) + (2000 if len(year) == 2 else 0), month, int(day))
        if reference is None:
            return None
        found = date(reference.year, month, int(day))
        return found if found >= reference else date(reference.year + 1, month, int(day))
    except ValueError:
        return None


def month_of(word: str) -> int | None:
    """Return the number of the month that a word, perhaps shortened, names."""
    return next((n for n, name in enumerate(_MONTHS, 1) if name.startswith(word)), None)


def weekday_of(word: str) -> int | None:
    """Return the day of the week, Monday 0, that a word, perhaps shortened, names."""
    if len(word) < 3:
        return None
    found = (
        n for n, name in enumerate(_DAYS) if name.startswith(word.rstrip(".").removesuffix("s"))
    )
    return next(found, None)

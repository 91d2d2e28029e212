"""Tell what a column holds from its cells: text, categories, numbers, dates, ids, links and so on.

Only shapes are looked at: lengths, repetitions, digits and signs. A sample of the cells is read, so
that 100,000 rows take no longer than 1,000; how often cells repeat is counted over all rows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from statistics import fmean
from typing import Literal

import polars as pl

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


# text: phrases and sentences, mostly different. category: few short values that repeat.
# code: few whole numbers that repeat, such as stars and 0/1. words: short and mostly different.
Kind = Literal[
    "text", "category", "code", "words", "number", "date", "link", "e-mail", "id", "nested",
    "constant", "empty",
]  # fmt: skip

# Cells that are looked at; and the share of them that must have a shape.
SAMPLE, MOST = 500, 0.9

# Words of a text, on average. Scripts without spaces count two characters as a word.
TEXT_WORDS, LONG_WORDS = 2.5, 8.0

# A value of a category or code occurs at least so often on average, and has at most so many
# characters; a code has at most so many values.
REPEATS, LONGEST_LABEL, CODES = 2.0, 120, 30

# Share of different cells from which they identify their rows.
UNIQUE = 0.98

_NUMBER = re.compile(r"[-+]?[$€£¥]?\s?\d[\d.,'\s]*(?:[eE][-+]?\d{1,3})?\s?[%$€£¥]?")
_WHOLE = re.compile(r"[-+]?\d{1,9}(?:\.0)?")
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d)?(?: ?[AP]M)?", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_MAIL = re.compile(r"[^@\s]{1,100}@[^@\s]{1,100}\.[^@\s.]{1,30}")
_ID = re.compile(r"(?=\S*\d)[\w#:./-]{1,80}", re.ASCII)
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
# Longer cells have none of these shapes, and need not be searched.
_SHORT = 200


SHAPES: dict[Kind, Callable[[str], object]] = {
    "link": _LINK.fullmatch,
    "e-mail": _MAIL.fullmatch,
    "date": date_like,
    "number": lambda cell: _NUMBER.fullmatch(cell) or _CLOCK.fullmatch(cell),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a column holds.

    Attributes:
        kind: the kind of its cells.
        filled: cells that are not blank.
        distinct: different cells among them.
        words: mean number of words in a cell.
        repeats: whether few short values occur again and again, as labels do.
    """

    name: str
    kind: Kind
    filled: int
    distinct: int
    words: float
    repeats: bool


def column_of(series: pl.Series) -> Column:
    """Return what a column holds; it must be of strings, or of nested or mixed values."""
    if series.dtype != pl.String:
        return _column(series.name, "nested", len(series) - series.null_count(), 0, 0.0, False)
    cells = series.drop_nulls().str.strip_chars()
    cells = cells.filter(cells != "")
    filled, distinct = len(cells), cells.n_unique()
    sample = cells.gather_every(max(1, filled // SAMPLE)).to_list()
    if distinct < 2:
        kind: Kind = "constant" if filled > 1 else "text" if filled else "empty"
        return _column(series.name, kind, filled, distinct, _mean_words(sample), False)
    longest = max(map(len, cells.unique().head(1_000).to_list()))
    words = _mean_words(sample)
    repeats = filled >= REPEATS * distinct and longest <= LONGEST_LABEL and words < LONG_WORDS
    kind = _kind(sample, filled, distinct, words, repeats)
    return _column(series.name, kind, filled, distinct, words, repeats)


def _column(
    name: str, kind: Kind, filled: int, distinct: int, words: float, repeats: bool
) -> Column:
    return Column(
        name=name, kind=kind, filled=filled, distinct=distinct, words=words, repeats=repeats
    )


def _kind(sample: Sequence[str], filled: int, distinct: int, words: float, repeats: bool) -> Kind:
    if _most(sample, _WHOLE.fullmatch) and repeats and distinct <= CODES:
        return "code"
    for kind, matches in SHAPES.items():
        if _most(sample, matches):
            unique_numbers = kind == "number" and distinct >= UNIQUE * filled
            return "id" if unique_numbers and _most(sample, str.isdigit) else kind
    if distinct >= UNIQUE * filled and _most(sample, _ID.fullmatch):
        return "id"
    if repeats and (words < TEXT_WORDS or filled >= 4 * distinct):
        return "category"
    return "text" if words >= TEXT_WORDS else "words"


def _most(sample: Sequence[str], matches: Callable[[str], object]) -> bool:
    fitting = sum(len(cell) <= _SHORT and bool(matches(cell)) for cell in sample)
    return fitting >= MOST * len(sample)


def _mean_words(sample: Sequence[str]) -> float:
    """Return the mean number of words of the cells, each read up to some characters."""
    if not sample:
        return 0.0
    return fmean(_words(unicodedata.normalize("NFC", cell[:2_000])) for cell in sample)


def _words(cell: str) -> float:
    spaceless = len(_SPACELESS.findall(cell))
    return len(_SPACELESS.sub(" ", cell).split()) + spaceless / 2

"""Tell what a column holds from its cells: text, categories, numbers, dates, ids, links and so on.

Only shapes are looked at: lengths, repetitions, digits and signs. A sample of the cells is read, so
that 100,000 rows take no longer than 1,000; how often cells repeat is counted over all rows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import polars as pl

from choose.data.readers.dates import date_like

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

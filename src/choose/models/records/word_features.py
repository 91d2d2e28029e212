"""Features of words for a linear tagger: a word, its form and kind, and those of its neighbours.

A feature is known by the hash of its parts: a fitted tagger holds no word of the pool.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from choose.models.records.dates_in_text import month_of, weekday_of
from choose.models.records.values_in_text import NUMBER_WORDS, Word
from choose.progress import report_progress

Codes = npt.NDArray[np.int64]

# Words on either side that are features of a word.
REACH = 5

# What is known of a word by itself, in the order of `_forms`. The class of a number, a day or a
# capitalised word is its kind, that of another word is the word.
WORD, SHAPE, KIND, CLASS, START_2, START_3, START_4, END_1, END_2, END_3, END_4 = range(11)

# Features of a word, each a form of one or several words at a distance from it.
_TEMPLATES: tuple[tuple[tuple[int, int], ...], ...] = (
    *(((form, 0),) for form in range(11)),
    *(((form, at),) for form in (WORD, KIND) for at in (-2, -1, 1, 2)),
    *(((form, at),) for form in (SHAPE, END_3) for at in (-1, 1)),
    ((WORD, -2), (WORD, -1)),
    ((WORD, -1), (WORD, 0)),
    ((WORD, 0), (WORD, 1)),
    ((WORD, 1), (WORD, 2)),
    ((WORD, -1), (SHAPE, 0)),
    ((SHAPE, 0), (WORD, 1)),
    ((CLASS, -1), (CLASS, 0)),
    ((CLASS, 0), (CLASS, 1)),
    ((CLASS, -2), (CLASS, -1), (CLASS, 0)),
    ((CLASS, -1), (CLASS, 0), (CLASS, 1)),
    ((SHAPE, -1), (SHAPE, 0), (SHAPE, 1)),
    ((KIND, -1), (KIND, 0), (KIND, 1)),
)

_NUMBERS = frozenset(NUMBER_WORDS) | {
    "half", "quarter", "couple", "dozen", "thirteen", "fourteen", "sixteen", "seventeen",
    "eighteen", "nineteen", "sixty", "seventy", "eighty", "ninety",
}  # fmt: skip

_DAYS = frozenset({"today", "tonight", "tomorrow", "yesterday"})

_TIME = re.compile(r"\d{1,2}[:.]\d\d(?:[ap]\.?m)?|\d{1,2}[ap]\.?m")

_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)")


def feature_codes(
    texts: Sequence[Sequence[Word]], contexts: Sequence[Sequence[str]]
) -> list[Codes]:
    """Return codes of features, each array with one for every word of all texts.

    `contexts` are features of a whole text, such as its further fields; a text without one has the
    code 0 in its place.
    """
    forms, at = _forms_of_words(texts)
    kinds, columns = forms[at, KIND], list[Codes]()
    for name, template in enumerate(_TEMPLATES):
        columns.append(_mixed(name, [forms[at + far, form] for form, far in template]))
    for far in range(1, REACH + 1):
        # The same feature at every distance: a word somewhere before, or after, one of this kind.
        columns.append(_mixed(100, [forms[at - far, CLASS], kinds]))
        columns.append(_mixed(101, [forms[at + far, CLASS], kinds]))
    sizes = np.array([len(words) for words in texts], dtype=np.int64)
    place = _places(sizes)
    columns += [_mixed(102, [place]), _mixed(103, [np.zeros_like(place)])]
    for number in range(max(map(len, contexts), default=0)):
        own = [_code(row[number]) if number < len(row) else 0 for row in contexts]
        context = np.repeat(np.array(own, dtype=np.int64), sizes)
        parts = [[], [forms[at, WORD]], [forms[at, SHAPE]], [kinds], [kinds, place]]
        for name, others in enumerate(parts, 104):
            columns.append(np.where(context == 0, 0, _mixed(name, [context, *others])))
    return columns


def _forms_of_words(texts: Sequence[Sequence[Word]]) -> tuple[Codes, Codes]:
    """Return (places, forms) codes, with room between texts, and the places of their words."""
    rows: dict[str, int] = {"": 0}
    order, at = [0] * REACH, list[int]()
    for number, words in enumerate(texts):
        if number % 100 == 0:
            report_progress(number, len(texts), "reading words")
        for word in words:
            if word.breaks:  # the break is a neighbour too: lists and addresses have a line each
                order.append(rows.setdefault("\n", len(rows)))
            at.append(len(order))
            order.append(rows.setdefault(word.text, len(rows)))
        order += [0] * REACH
    known = np.array([_forms(word) for word in rows], dtype=np.int64)
    return known[order], np.array(at, dtype=np.int64)


def _places(sizes: Codes) -> Codes:
    """Return a number for each word: whether it is the first, second, third or a later one.

    And whether its text has one, two, three or more words.
    """
    ends = np.cumsum(sizes)
    place = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
    places: Codes = np.minimum(place, 3) * 5 + np.minimum(np.repeat(sizes, sizes), 4)
    return places


def _mixed(name: int, parts: Sequence[Codes]) -> Codes:
    """Return codes of the features of a name with these parts, never 0."""
    mixed = np.full(np.shape(parts[0]), name + 1, dtype=np.uint64)
    for part in parts:
        # The steps of splitmix64 (Steele, Lea and Flood 2014), which wrap round.
        mixed = (mixed ^ part.astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(1)).astype(np.int64) | 1


@lru_cache(maxsize=200_000)
def _forms(word: str) -> tuple[int, ...]:
    lower, shape = word.casefold(), _shape(word)
    named = _kind(lower.rstrip("."))
    kind = named or re.sub(r"(.)\1+", r"\1", shape)
    classed = kind if named or "9" in kind or kind.startswith("A") else lower
    pieces = [lower[:2], lower[:3], lower[:4], lower[-1:], lower[-2:], lower[-3:], lower[-4:]]
    return tuple(_code(text) for text in (lower, shape, kind, classed, *pieces))


def _code(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _kind(word: str) -> str:
    """Return the kind of a word that is known without its neighbours: a number, a day, ..."""
    if word in _NUMBERS:
        return "number"
    if word in _DAYS or weekday_of(word) is not None:
        return "day"
    if len(word) > 2 and month_of(word) is not None:
        return "month"
    if word in ("am", "pm", "a.m", "p.m"):
        return "half of day"
    if _ORDINAL.fullmatch(word):
        return "ordinal"
    return "time" if _TIME.fullmatch(word) else ""


def _shape(word: str) -> str:
    """Return the kind of a word: digits as 9, letters as a or A, runs of them shortened."""
    drawn = "".join(
        "9" if c.isdigit() else "A" if c.isupper() else "a" if c.isalpha() else c for c in word
    )
    return re.sub(r"(.)\1{2,}", r"\1\1\1", drawn)

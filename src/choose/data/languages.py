"""Which languages the texts are in, by their scripts and their small words.

A light method with limits: a script is certain, a language is a guess that takes three small words
or more, and texts with fewer are counted as too short to tell. Languages of one script that has no
list here are named by the script; texts that mix languages count under the most common one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from choose.data.function_words import FUNCTION_WORDS
from choose.types import Example

UNKNOWN = "too short to tell"
NO_LETTERS = "no letters"

# Small words that a language must have, in all and of all words; code and lists have few.
_CLEAR, _SHARE = 3, 0.15
# Characters of a text that are looked at.
_HEAD = 2_000
# As Unicode's names of characters begin; scripts that are written without spaces come first.
UNSPACED = ("Han", "Japanese", "Thai", "Lao", "Khmer", "Myanmar")
_NAMED = {"CJK": "Han", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}
_KANA = "Japanese"


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The rows of one language, or of one script where the language is not told."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Languages:
    """Languages by rows, the most common first, and the rows that are too short to tell."""

    found: tuple[Language, ...]
    unknown: int

    @property
    def unspaced(self) -> bool:
        """Return whether most rows whose script is told are written without spaces."""
        told = sum(language.rows for language in self.found)
        return 2 * sum(x.rows for x in self.found if x.name in UNSPACED) > told


def languages_of(rows: Sequence[Example]) -> Languages:
    """Guess the language of every text and count."""
    counts = Counter(language_of(e.text) for e in rows)
    unknown = counts.pop(UNKNOWN, 0) + counts.pop(NO_LETTERS, 0)
    order = sorted(counts.items(), key=lambda c: (-c[1], c[0]))
    return Languages(
        found=tuple(Language(name=name, rows=count) for name, count in order), unknown=unknown
    )


def language_of(text: str) -> str:
    """Return a language, a script, `UNKNOWN` or `NO_LETTERS`."""
    head = text[:_HEAD]
    scripts = _scripts(head)
    if not scripts:
        return NO_LETTERS
    if scripts["Han"] and scripts[_KANA]:
        scripts[_KANA] += scripts.pop("Han")
    script, letters = scripts.most_common(1)[0]
    if script != "Latin":
        return script if letters > 1 else UNKNOWN
    words = Counter(re.findall(r"[^\W\d_]+", head.casefold()))
    hits = {
        language: sum(n for word, n in words.items() if word in small)
        for language, small in FUNCTION_WORDS.items()
    }
    (best, most), (_, second) = Counter(hits).most_common(2)
    enough = most >= max(_CLEAR, _SHARE * words.total())
    return best if enough and most > second else UNKNOWN


def _scripts(text: str) -> Counter[str]:
    latin = len(re.findall(r"[A-Za-z]", text))
    counts = Counter(_script(c) for c in text if not c.isascii() and c.isalpha())
    counts["Latin"] += latin
    return Counter({script: n for script, n in counts.items() if n})


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    first = unicodedata.name(char, "OTHER").split()[0].split("-")[0]
    return _NAMED.get(first, first.capitalize())

"""Identify the languages of texts, by their script and by `py3langid`."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from choose.schema.check import SAMPLE, Count, Languages
from choose.types import Example

UNKNOWN = "too short to tell"
NO_LETTERS = "no letters"

# By script, the languages that are identified, by ISO 639 code. Languages that short texts cannot
# separate share a name. The text of every other script is named by its script.
NAMES: Mapping[str, Mapping[str, str]] = {
    "Latin": {
        "af": "Afrikaans",
        "ca": "Catalan",
        "cs": "Czech or Slovak",
        "da": "Danish or Norwegian",
        "de": "German",
        "en": "English",
        "es": "Spanish",
        "et": "Estonian",
        "fi": "Finnish",
        "fr": "French",
        "hr": "Croatian",
        "hu": "Hungarian",
        "id": "Indonesian or Malay",
        "it": "Italian",
        "lt": "Lithuanian",
        "lv": "Latvian",
        "ms": "Indonesian or Malay",
        "nl": "Dutch",
        "no": "Danish or Norwegian",
        "pl": "Polish",
        "pt": "Portuguese",
        "ro": "Romanian",
        "sk": "Czech or Slovak",
        "sl": "Slovenian",
        "sv": "Swedish",
        "sw": "Swahili",
        "tl": "Tagalog",
        "tr": "Turkish",
        "vi": "Vietnamese",
    },
    "Cyrillic": {
        "bg": "Bulgarian",
        "kk": "Kazakh",
        "ru": "Russian",
        "sr": "Serbian",
        "uk": "Ukrainian",
    },
    "Arabic": {"ar": "Arabic", "fa": "Persian", "ur": "Urdu"},
    "Devanagari": {"hi": "Hindi", "mr": "Marathi", "ne": "Nepali"},
}

# The probability among the languages of its script from which a language is named.
SURE = 0.7

# Characters of a text that are read, and texts that are read to warn of a language.
HEAD, WARNED = 400, 200

# Unicode's names of characters begin with these words in scripts that have another name.
_SCRIPTS = {"CJK": "Han", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}


def languages_of(rows: Sequence[Example]) -> Languages:
    """Count the rows of each language; of more than `SAMPLE` rows, extrapolate from a sample."""
    sample = rows[:: -(-len(rows) // SAMPLE) or 1]
    counts = Counter(language_of(e.text) for e in sample)
    unknown = counts.pop(UNKNOWN, 0) + counts.pop(NO_LETTERS, 0)
    scale = len(rows) / max(len(sample), 1)
    return Languages(
        found=tuple(
            Count(name=name, rows=round(scale * count))
            for name, count in sorted(counts.items(), key=lambda c: (-c[1], c[0]))
        ),
        unknown=round(scale * unknown),
    )


def foreign_texts(rows: Sequence[Example]) -> Iterator[str]:
    """Say that the default encoder does not know the language of many texts."""
    if others := languages_of(rows[:: -(-len(rows) // WARNED) or 1]).foreign:
        yield f"Many texts are in {others[0].name}, which the default encoder lacks."


def language_of(text: str) -> str:
    """Return the language of a text, or else its script, `UNKNOWN` or `NO_LETTERS`.

    A text in several languages counts under the most probable one. Without `py3langid`, only
    scripts are named.
    """
    head = text[:HEAD]
    scripts = _scripts(head)
    if not scripts:
        return NO_LETTERS
    if scripts["Han"] and scripts["Japanese"]:
        scripts["Japanese"] += scripts.pop("Han")
    script, letters = scripts.most_common(1)[0]
    # The identifier unpacks its model to a temporary file, which a full disk refuses.
    with suppress(OSError):
        if script in NAMES and (identifier := _identifier()):
            return _identify(identifier, head, script)
    return script if script != "Latin" and letters > 1 else UNKNOWN


@lru_cache(maxsize=2 * SAMPLE)
def _identify(identifier: Any, text: str, script: str) -> str:
    """Return the most probable language of the script, `UNKNOWN` where none is sure enough."""
    # The model's class "zxx" is text in no language, such as code.
    names = {**NAMES[script], "zxx": UNKNOWN}
    chances: Counter[str] = Counter()
    for code, chance in identifier.rank(text):
        if code in names:
            chances[names[code]] += chance
    name, chance = chances.most_common(1)[0]
    return name if chance >= SURE * chances.total() else UNKNOWN


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """Load the model, which takes a second; None where the package is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _scripts(text: str) -> Counter[str]:
    counts = Counter(_script(c) for c in text if not c.isascii() and c.isalpha())
    counts["Latin"] += len(re.findall(r"[A-Za-z]", text))
    return Counter({script: n for script, n in counts.items() if n})


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    first = unicodedata.name(char, "OTHER").split()[0].split("-")[0]
    return _SCRIPTS.get(first, first.capitalize())

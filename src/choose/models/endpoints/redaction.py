"""API keys in what a server sends are replaced before anything is kept or shown.

Found are the key itself, in any case, escaped for URLs, and with blanks between its characters. A
server that wants to hide the key it was sent can: no list of spellings is complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

HIDDEN = "[key]"

# What looks like an API key or an authorisation header.
KEYLIKE = re.compile(r"(?i)(bearer\s+)[^\s\"',;]+|\b(sk|pk|gsk|hf|xai|key)[-_][A-Za-z0-9*_\-.]{6,}")

# Shorter keys, such as EMPTY for a local server, are words that answers may hold: only the exact
# key is replaced.
_SHORTEST = 8

# Longest text that is searched for keys; far more than is shown or kept.
_LONGEST = 64_000

# Characters at the end of a longer text that are dropped, since they may begin a key.
_TAIL = 4_000


def redact(text: str, keys: Iterable[str]) -> str:
    """Return an error on one line of at most 300 characters, with API keys replaced."""
    text = text[: _LONGEST + 1].encode("utf-8", "replace").decode("utf-8")
    text = KEYLIKE.sub(lambda m: f"{m[1] or ''}{HIDDEN}", hide_keys_cut(text, keys, _LONGEST))
    return " ".join(text.split())[:300]


def hide_keys_cut(text: str, keys: Iterable[str], most: int) -> str:
    """Return at most `most` characters of a text of any length, cut after keys are replaced."""
    hidden = hide_keys(text[:_LONGEST], keys)
    end = len(hidden) - _TAIL if len(text) > _LONGEST else most
    return hidden[: max(0, min(most, end))]


def hide_keys(text: str, keys: Iterable[str]) -> str:
    """Return a text with API keys replaced: in any case, escaped for URLs, or with blanks."""
    for key in keys:
        if len(key) >= _SHORTEST:
            text = _pattern(key).sub(HIDDEN, text)
        elif len(key) > 1:
            text = text.replace(key, HIDDEN)
    return text


@lru_cache(16)
def _pattern(key: str) -> re.Pattern[str]:
    one = (f"(?:{re.escape(c)}|{''.join(f'%{b:02x}' for b in c.encode())})" for c in key)
    return re.compile(r"\s{0,3}".join(one), re.IGNORECASE)

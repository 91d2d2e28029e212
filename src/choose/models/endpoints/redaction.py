"""API keys in what a server sends: found in any spelling, replaced before anything is kept."""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

HIDDEN = "[key]"

# What looks like an API key or an authorisation header.
KEYLIKE = re.compile(r"(?i)(bearer\s+)[^\s\"',;]+|\b(sk|pk|gsk|hf|xai|key)[-_][A-Za-z0-9*_\-.]{6,}")

# Shorter keys, such as EMPTY for a local server, are words that answers may hold.
_SHORTEST = 8

# Longest text of an error that is looked at; far more than is shown.
_LONGEST_ERROR = 20_000

# Rounds of unescaping, for servers that escape what is escaped.
_ROUNDS = 3

_ESCAPE = re.compile(
    r"%([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|&#[xX]([0-9A-Fa-f]{1,6});"
    r"|&#([0-9]{1,7});"
)
_OTHER = re.compile(r"[^a-z0-9]+")
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]*")


def redact(text: str, keys: Iterable[str]) -> str:
    """Return an error on one line of at most 300 characters, with API keys replaced."""
    text = text[:_LONGEST_ERROR].encode("utf-8", "replace").decode("utf-8")
    text = KEYLIKE.sub(lambda m: f"{m[1] or ''}{HIDDEN}", hide_keys(text, keys))
    return " ".join(text.split())[:300]


def hide_keys(text: str, keys: Iterable[str]) -> str:
    """Return a text with API keys replaced, however they are spelled.

    Found are keys in any case, with other characters between theirs, escaped, backwards, in base64
    or in hexadecimal. Keys of fewer than 8 letters and digits are only found as they are.
    """
    for key in keys:
        needles = _needles(key)
        if needles:
            text = _hide(text, needles)
        elif key and key in text and len(key) > 1:
            text = text.replace(key, HIDDEN)
    return text


def _hide(text: str, needles: Sequence[str]) -> str:
    squeezed = _squeezed(text)
    if not any(needle in squeezed for needle in needles):
        return text
    chars = _letters(text)
    squeezed = "".join(char for char, _, _ in chars)
    spans = []
    for needle in needles:
        place = squeezed.find(needle)
        while place >= 0:
            start, end = chars[place][1], chars[place + len(needle) - 1][2]
            spans.append(_widened(text, start, end))
            place = squeezed.find(needle, place + 1)
    kept, at = [], 0
    for start, end in sorted(spans):
        if end > at:
            kept.append(text[at : max(start, at)] + (HIDDEN if start >= at else ""))
            at = end
    return "".join([*kept, text[at:]])


def _widened(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span with the rest of the word, which encodes the first and last bytes of a key."""
    before = _ENCODED.match(text[:start][::-1])
    after = _ENCODED.match(text, end)
    return start - (before.end() if before else 0), after.end() if after else end


@lru_cache(16)
def _needles(key: str) -> tuple[str, ...]:
    """Return the letters and digits of a key in each encoding; empty if the key is too short."""
    plain = _squeezed(key)
    if len(plain) < _SHORTEST:
        return ()
    forms = {plain}
    for data in (key.encode(), key[::-1].encode()):
        forms |= {_squeezed(form) for form in _encodings(data)}
    both = forms | {form[::-1] for form in forms}
    return tuple(sorted((form for form in both if len(form) >= _SHORTEST), key=len, reverse=True))


def _encodings(data: bytes) -> Iterator[str]:
    for shift in range(3):  # of the key in the text that was encoded
        encoded = b64encode(b"\0" * shift + data).decode()
        yield encoded[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]
    yield data.hex()
    yield "".join(f"0x{byte:02x}" for byte in data)
    yield " ".join(map(str, data))


def _squeezed(text: str) -> str:
    """Return the letters and digits of a text in lower case, escapes resolved."""
    for _ in range(_ROUNDS):
        if not _ESCAPE.search(text):
            break
        text = _ESCAPE.sub(_meant, text)
    return _OTHER.sub("", unicodedata.normalize("NFKC", text).casefold())


def _letters(text: str) -> list[tuple[str, int, int]]:
    """Return what `_squeezed` returns as characters, each with its span in the text."""
    chars, spans = text, [(at, at + 1) for at in range(len(text))]
    for _ in range(_ROUNDS):
        parts, places, at = [], [], 0
        for match in _ESCAPE.finditer(chars):
            start, end = match.span()
            parts += [chars[at:start], _meant(match)]
            places += [*spans[at:start], (spans[start][0], spans[end - 1][1])]
            at = end
        chars, spans = "".join([*parts, chars[at:]]), [*places, *spans[at:]]
    return [
        (letter, *span)
        for char, span in zip(chars, spans, strict=True)
        for letter in _OTHER.sub("", unicodedata.normalize("NFKC", char).casefold())
    ]


def _meant(match: re.Match[str]) -> str:
    number = int(match[5]) if match[5] else int(next(filter(None, match.groups())), 16)
    return chr(number) if number < 0x110000 else " "

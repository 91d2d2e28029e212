"""API keys in what a server sends: found in any spelling, replaced before anything is kept."""

from __future__ import annotations

import re
import unicodedata
from base64 import b32encode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from html.entities import html5

HIDDEN = "[key]"

# What looks like an API key or an authorisation header.
KEYLIKE = re.compile(r"(?i)(bearer\s+)[^\s\"',;]+|\b(sk|pk|gsk|hf|xai|key)[-_][A-Za-z0-9*_\-.]{6,}")

# Shorter keys, such as EMPTY for a local server, are words that answers may hold.
_SHORTEST = 8

# Longest text that is searched for keys; far more than is shown or kept.
_LONGEST = 64_000

# Characters at the end of a longer text that are dropped, since they may begin a key.
_TAIL = 4_000

# Rounds of unescaping, for servers that escape what is escaped.
_ROUNDS = 3

# Groups by meaning: code points in hexadecimal, decimal and octal, named entities.
_ESCAPE = re.compile(
    r"(?:%|\\x)(?P<byte>[0-9A-Fa-f]{2})|\\u(?P<unit>[0-9A-Fa-f]{4})|\\U(?P<long>[0-9A-Fa-f]{8})"
    r"|(?:\\[ux]\{(?P<brace>[0-9A-Fa-f]{1,8})\}|&#[xX](?P<hex>[0-9A-Fa-f]{1,8});)"
    r"|&#(?P<decimal>[0-9]{1,9});|\\(?P<octal>[0-3][0-7]{2})"
    r"|&(?P<name>[A-Za-z]{2,31};)"
)
_OTHER = re.compile(r"[^a-z0-9]+")
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]*")


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
    """Return a text with API keys replaced, however they are spelled.

    Matches keys in any case, with other characters or combining marks between theirs, escaped,
    backwards, in base32, base64 or hexadecimal, also of UTF-16. Keys of fewer than 8 letters and
    digits match only literally.
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
        place, covered = squeezed.find(needle), 0
        while place >= 0:
            start, end = chars[place][1], chars[place + len(needle) - 1][2]
            if end > covered:  # otherwise the word before holds this match too
                spans.append(_widened(text, start, end))
                covered = spans[-1][1]
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
        wide = b"\0".join(data[at : at + 1] for at in range(len(data)))  # in both UTF-16 orders
        forms |= {_squeezed(form) for each in (data, wide) for form in _encodings(each)}
    both = forms | {form[::-1] for form in forms}
    return tuple(sorted((form for form in both if len(form) >= _SHORTEST), key=len, reverse=True))


def _encodings(data: bytes) -> Iterator[str]:
    for shift in range(3):  # of the key in the text that was encoded
        encoded = b64encode(b"\0" * shift + data).decode()
        yield encoded[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]
    for shift in range(5):
        encoded = b32encode(b"\0" * shift + data).decode()
        yield encoded[-(-8 * shift // 5) : 8 * (shift + len(data)) // 5]
    yield data.hex()
    yield "".join(f"0x{byte:02x}" for byte in data)
    yield " ".join(map(str, data))


def _squeezed(text: str) -> str:
    """Return the letters and digits of a text in lower case, escapes resolved."""
    for _ in range(_ROUNDS):
        if not _ESCAPE.search(text):
            break
        text = _ESCAPE.sub(_meant, text)
    return _plain(text)


def _plain(text: str) -> str:
    """Return letters and digits without marks; the same for a text and for its characters."""
    return _OTHER.sub("", unicodedata.normalize("NFKD", text).casefold())


def _letters(text: str) -> list[tuple[str, int, int]]:
    """Return what `_squeezed` returns as characters, each with its span in the text."""
    chars, spans = text, [(at, at + 1) for at in range(len(text))]
    for _ in range(_ROUNDS):
        parts, places, at = [], [], 0
        for match in _ESCAPE.finditer(chars):
            start, end = match.span()
            meant = _meant(match)
            parts += [chars[at:start], meant]
            places += [*spans[at:start], *[(spans[start][0], spans[end - 1][1])] * len(meant)]
            at = end
        chars, spans = "".join([*parts, chars[at:]]), [*places, *spans[at:]]
    return [
        (letter, *span) for char, span in zip(chars, spans, strict=True) for letter in _plain(char)
    ]


def _meant(match: re.Match[str]) -> str:
    kind, value = match.lastgroup, match[match.lastgroup or 0]
    if kind == "name":
        return html5.get(value, value)
    number = int(value, {"decimal": 10, "octal": 8}.get(str(kind), 16))
    return chr(number) if number < 0x110000 else " "

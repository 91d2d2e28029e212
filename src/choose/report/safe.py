"""Make text from data, labels, models and errors harmless in a terminal."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

# Joiners are invisible, but words of several scripts and emoji need them.
_KEPT = {"\u200c", "\u200d"}


def clean(text: object) -> str:
    """Return text as one line without anything that a terminal could obey or hide.

    White space of any kind becomes a space; control and formatting characters (C0, C1, bidi
    overrides, tags) go; a lone surrogate, which could not be printed, becomes U+FFFD.
    """
    return "".join(map(_harmless, str(text))).strip()


def literal(text: object, style: str | Style = "") -> Text:
    """Return cleaned text as rich text, in which markup is shown and not followed."""
    return Text(clean(text), style=style)


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that needs more than `width` columns of the screen."""
    if cell_len(text) <= width:
        return text
    head = _fitting(text, (width - 1) // 2)
    tail = _fitting(text[::-1], width - 1 - cell_len(head))[::-1]
    return f"{head}…{tail}"


def _fitting(text: str, width: int) -> str:
    for end in range(min(len(text), width), 0, -1):
        if cell_len(text[:end]) <= width:
            return text[:end]
    return ""


def _harmless(char: str) -> str:
    if char.isascii() and char.isprintable():
        return char
    category = unicodedata.category(char)
    if char.isspace() or category in ("Zl", "Zp", "Zs"):
        return " "
    if category == "Cs":
        return "\ufffd"
    if category == "Cc" or (category == "Cf" and char not in _KEPT):
        return ""
    return char

"""Text for a screen: harmless, as rich text, and cut to a width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from textwrap import wrap

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from choose.formatting import clean


def literal(text: object, style: str | Style = "") -> Text:
    """Return cleaned text as rich text, in which markup is shown and not followed."""
    return Text(clean(text), style=style)


def fold(text: str, width: int, style: str = "") -> Text:
    """Break a text into lines of at most `width` columns, never between a figure and its ``%``."""
    glued = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", clean(text))
    lines = wrap(glued, max(width, 1), break_on_hyphens=False)
    return Text("\n".join(lines).replace("\N{NO-BREAK SPACE}%", " %"), style)


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that needs more than `width` columns of the screen."""
    if cell_len(text) <= width:
        return text
    start = _longest_prefix(text, (width - 1) // 2)
    end = _longest_prefix(text[::-1], width - 1 - cell_len(start))[::-1]
    return f"{start}…{end}"


def clip(text: str, width: int) -> str:
    """Cut a sentence at a word so that it takes at most `width` columns of the screen."""
    cleaned = clean(text)
    if cell_len(cleaned) <= width:
        return cleaned
    kept = _longest_prefix(cleaned, width - 1)
    start = kept.rpartition(" ")[0] or kept
    return f"{start.rstrip(' .,;:(')}…"


def command_lines(parts: Sequence[str], width: int) -> str:
    """Break a command between its parts, with backslashes, so that it can be copied as shown."""
    first, *others = map(clean, parts)
    if cell_len(" ".join((first, *others))) <= width:
        return " ".join((first, *others))
    lines = [first]
    # A value that is too long for a line beside its flag stands alone.
    fitting = ([p] if cell_len(f"  {p} \\") <= width else p.split(" ", 1) for p in others)
    for part in chain.from_iterable(fitting):
        if cell_len(f"{lines[-1]} {part} \\") <= width:
            lines[-1] = f"{lines[-1]} {part}"
        else:
            lines.append(f"  {part}")
    return " \\\n".join(lines)


def _longest_prefix(text: str, width: int) -> str:
    for end in range(min(len(text), width), 0, -1):
        if cell_len(text[:end]) <= width:
            return text[:end]
    return ""

"""Text for a screen: harmless, as rich text, and cut to a width."""

from __future__ import annotations

import re
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


# A word of a shell's command, with its quotes.
_WORD = re.compile(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+""")


def command_lines(command: str, width: int) -> str:
    """Break a command between arguments, with backslashes, so that it can be copied as it is shown.

    A flag and its value stay together where they fit. A call in Python is not broken.
    """
    cleaned = clean(command)
    if cell_len(cleaned) <= width or cleaned.startswith("choose."):
        return cleaned
    words, parts = _WORD.findall(cleaned), list[str]()
    if " ".join(words) != cleaned:  # no command of a shell
        return cleaned
    for word in words:
        flag = parts[-1] if parts else ""
        value = flag.startswith("-") and " " not in flag and not word.startswith("-")
        if value and cell_len(f"  {flag} {word} \\") <= width:
            parts[-1] = f"{flag} {word}"
        else:
            parts.append(word)
    lines = parts[:1]
    for part in parts[1:]:
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

"""Print on consoles that cannot show every character."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

# One column each, so that what was laid out stays aligned.
_ASCII = str.maketrans(
    {
        "\u2013": "-",
        "\u2212": "-",
        "—": "-",
        "\u00d7": "x",
        "“": '"',
        "”": '"',
        "\u2018": "'",
        "\u2019": "'",
        "·": ".",
        "•": "*",
        "…": "~",
        "├": "|",
        "┤": "|",
        "─": "-",
        "┊": ":",
        "●": "o",
        "◂": "<",
        "▶": ">",
        "▷": ">",
        "✓": "+",
        "✗": "x",
    }
)


def encodable(segments: Iterable[Segment], encoding: str) -> Iterator[Segment]:
    """Replace, column by column, what `encoding` cannot express."""
    for text, style, control in segments:
        yield Segment(text if control else _fit(text, encoding), style, control)


def trimmed(line: Sequence[Segment]) -> list[Segment]:
    """Drop the white space that a line ends in."""
    kept = list(line)
    while kept and not kept[-1].control:
        text, style, control = kept.pop()
        if text := text.rstrip(" "):
            return [*kept, Segment(text, style, control)]
    return kept


def _fit(text: str, encoding: str) -> str:
    if text.isascii() or encoding.startswith("utf"):
        return text
    return "".join(_replace(char, encoding) for char in text)


def _replace(char: str, encoding: str) -> str:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        known = char.translate(_ASCII)
        return known if known.isascii() else "?" * cell_len(char)
    return char


@dataclass(frozen=True, slots=True)
class Plain:
    """Anything rich can print, with what the console cannot show replaced."""

    what: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render and replace."""
        yield from encodable(console.render(self.what, options), options.encoding)

"""Blocks as Markdown, and an audit; text from data is escaped."""

import re
from collections.abc import Iterable, Iterator

from choose.formatting import clean, plural
from choose.report.blocks import (
    Answer,
    Block,
    Bullets,
    Chart,
    Facts,
    Heading,
    Listing,
    Paragraph,
    Steps,
    Table,
)

# The most rows of a table with texts that Markdown shows.
ROWS = 10

# Characters with a meaning in Markdown, or in HTML inside it; others have one only where a line
# begins.
_ACTIVE = re.compile(r"([\\`*_\[\]<>#|~&@]|^[-+](?=\s)|^=|(?<=^\d)[.)](?=\s))")

_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}

# What GitHub links without any markup: www.a.b, http://a.b, a@b.c, @user, #1, GH-1. Words are
# searched one by one: a pattern of whole words takes the square of their length.
_WORD = re.compile(r"[^\s|]+")
_LINKED = re.compile(r"www\.|://|@|#\w|\bGH-\d|(?:mailto|xmpp):", re.IGNORECASE)


def sentence(text: object) -> str:
    """Return text that Markdown shows and does not follow: no link, no mention, no HTML.

    A backslash does not keep GitHub from linking what it finds in the rendered text, so names of
    hosts, addresses and mentions are code spans.
    """
    text, shown, last = clean(text), "", 0
    for word in _WORD.finditer(text):
        if _LINKED.search(word[0]):
            shown += _inactive(text[last : word.start()]) + code(word[0])
            last = word.end()
    return shown + _inactive(text[last:])


def _inactive(text: str) -> str:
    return _ACTIVE.sub(lambda match: _ENTITIES.get(match[1], f"\\{match[1]}"), text)


def code(text: object) -> str:
    """Return text as it is, in a code span that text cannot close: its fence is the longest run."""
    shown = clean(text)
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence, space = "`" * (longest + 1), " " * (longest > 0)
    return f"{fence}{space}{shown}{space}{fence}"


def markdown_page(blocks: Iterable[Block]) -> str:
    return "\n\n".join(filter(None, ("\n".join(_lines(block)) for block in blocks))) + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Answer(question, data, size, text, sure):
            yield f"## {sentence(text)}"
            yield from ("", f"**{sentence(sure)}**") if sure else ()
            about = f"{sentence(question)} {sentence(data)}?" if question else f"{sentence(data)}:"
            yield from ("", f"{about} {sentence(size)}.")
        case Heading(text, level=level):
            yield f"{'#' * (level + 1)} {sentence(text)}"
        case Paragraph(text):
            yield sentence(text)
        case Bullets(items):
            yield from (f"- {sentence(text)}" for text in items)
        case Steps(items):
            for place, step in enumerate(items, 1):
                command = f" {code(' '.join(step.command))}" if step.command else ""
                yield f"{place}. {sentence(step.text)}{command}"
        case Facts(items):
            for name, text, status in items:
                yield f"- {f'{status}: ' * bool(status)}{sentence(name)}: {sentence(text)}"
        case Table():
            yield from _table(block)
        case Chart(caption=caption):
            yield from (*_table(block.as_table), "", sentence(caption))
        case Listing(text, title):
            yield from (f"{sentence(title)}:", "") if title else ()
            yield from (f"    {clean(line)}" for line in text.split("\n"))


def _table(block: Table) -> Iterator[str]:
    yield from (f"**{sentence(block.caption)}**", "") if block.caption else ()
    yield f"| {' | '.join(map(sentence, block.heads))} |"
    yield f"| {' | '.join('---:' if right else '---' for right in block.figures)} |"
    for row in block.rows[: ROWS if block.shown else None]:
        first, *cells = map(sentence, row)
        first = f"**{first}**" if row[0] == block.mark else first
        yield f"| {' | '.join((first, *cells))} |"
    if block.shown and (more := len(block.rows) - ROWS) > 0:
        yield from ("", f"{plural(more, 'more row')}.")

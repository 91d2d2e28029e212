"""Two studies side by side, as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from choose.judge.versus import Versus
from choose.report.markdown import literal, sentence, table
from choose.report.safe import clean, shorten
from choose.report.versus import words
from choose.report.words import DASH

LONGEST = 200


def render_versus_markdown(versus: Versus) -> str:
    """Return the comparison as GitHub-flavoured Markdown; text from data is escaped."""
    return "\n".join(_lines(versus)).rstrip() + "\n"


def _lines(versus: Versus) -> Iterator[str]:
    yield f"## {sentence(words.headline(versus))}"
    yield ""
    for name, side in (("Before", versus.before), ("Now", versus.after)):
        data = f"{literal(side.name)}, data {literal(side.fingerprint)}"
        yield f"- {name}: {literal(words.verdict(side))}, confidence {side.confidence} ({data})"
    rows = [[literal(cell) for cell in words.cells(shift)] for shift in versus.shifts]
    yield from _section("Candidates on the common rows", table(words.HEADS, rows) if rows else [])
    yield from ("", sentence(words.about(versus)))
    yield from _list("Why", versus.why)
    yield from _list("Rows", list(words.rows(versus.rows)))
    yield from _list("In one study only", list(words.others(versus)))
    changed = [[literal(_cut(v)) for v in (c.what, c.before, c.after)] for c in versus.changes]
    yield from _section("What changed", table(words.CHANGE_HEADS, changed) if changed else [])


def _cut(value: str | None) -> str:
    return DASH if value is None else shorten(clean(value), LONGEST)


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    yield from _section(title, [f"- {sentence(text)}" for text in sentences])


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ("", f"### {title}", "", *lines)

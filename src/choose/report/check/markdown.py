"""The audit as Markdown, for a pull request or a ticket."""

from __future__ import annotations

from collections.abc import Iterator

from choose.check.record import Check
from choose.judge.words import number, points
from choose.report.check.words import DIVISIONS, LIMITS
from choose.report.markdown import literal, sentence
from choose.report.words import plural

_STATUS = {"good": "good", "look": "**look**", "unknown": "not measured"}
SUSPECTS = 20


def render_check_markdown(check: Check) -> str:
    """Return GitHub-flavoured Markdown; text from data is escaped."""
    return "\n".join(_lines(check)).rstrip() + "\n"


def _lines(check: Check) -> Iterator[str]:
    yield f"## {sentence(check.headline)}"
    yield ""
    yield (
        f"{literal(check.name)}: {plural(check.rows, 'row')}, "
        f"{plural(len(check.balance.counts), 'label')}; {DIVISIONS[check.division]}."
    )
    if check.first:
        yield from ("", "### Do first", "")
        yield from (f"{i}. {sentence(step.says)}" for i, step in enumerate(check.first, 1))
    yield from ("", "### What was looked at", "", "| | | |", "| --- | --- | --- |")
    for line in check.lines:
        yield f"| {sentence(line.topic)} | {_STATUS[line.status]} | {sentence(line.says)} |"
    yield from _suspects(check)
    yield from _needed(check)
    yield from ("", sentence(LIMITS), "", f"choose {check.choose}, data `{check.fingerprint}`.")


def _suspects(check: Check) -> Iterator[str]:
    if not check.audit or not check.audit.suspected:
        return
    yield from ("", "### Labels to look at first", "")
    yield from ("| row | label as given | rather |", "| --- | --- | --- |")
    for s in check.audit.suspects[: min(SUSPECTS, check.audit.suspected)]:
        yield f"| {literal(s.id)} | {literal(s.label)} | {literal(s.suggested)} |"


def _needed(check: Check) -> Iterator[str]:
    heads = [f"differ on {number(100 * d)} of 100" for d in check.reach.discordances]
    yield from ("", "### Rows that a gain takes", "")
    yield f"| gain | {' | '.join(heads)} |"
    yield "| --- | ---: | ---: | ---: |"
    for row in check.reach.needed:
        yield f"| {points(row.gain)} | {' | '.join(f'{n:,}' for n in row.rows)} |"

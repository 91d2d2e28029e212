"""An audit for the terminal: what to do first, then a line for each check."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import RenderableType
from rich.text import Text

from choose.formatting import clean, duration, plural
from choose.report import check_words as words
from choose.report.decision_text import DIVISIONS, LABEL_WIDTH, LIMITS
from choose.report.screen_text import literal, shorten
from choose.report.terminal.layout import Column, Page, note, pairs, section, split_table
from choose.schema.check import Check, Status
from choose.schema.diagnosis import Suspect

MARKS: dict[Status, tuple[str, str]] = {
    "look": ("!", "yellow"),
    "good": ("✓", "green"),
    "unknown": ("?", "dim"),
}

# The most doubted rows to list.
SUSPECTS = 5


def check_page(
    check: Check, issues: str = "-o issues.csv", said: Callable[[str], str] = str
) -> Page:
    """Return the audit as a page.

    `issues` is what lists all rows that need a look; `said` writes commands in sentences as the
    reader types them.
    """
    return Page(lambda width: _parts(check, width, issues, said))


def _parts(
    check: Check, width: int, issues: str, said: Callable[[str], str]
) -> Iterator[RenderableType]:
    yield literal(words.headline(check), style="bold")
    yield literal(
        f"{clean(check.name)}: {plural(check.rows, 'row')}, {check.answers}; "
        f"{DIVISIONS[check.division]}",
        "dim",
    )
    yield from (literal(left, "yellow") for left in check.dropped)
    for title, urgent in (("Do first", True), ("Can wait", False)):
        says = [said(words.step(check, s)) for s in check.first if s.first is urgent]
        if says:
            yield section(title, pairs(((f"{i}.", text) for i, text in enumerate(says, 1)), gap=1))
    yield section("Checks", pairs(_lines(check, said)))
    if check.audit and check.audit.doubted:
        suspects = check.audit.doubted[:SUSPECTS]
        yield section("Labels to check first", *split_table(_suspects(suspects), width))
    yield Text()
    yield note(_closing(check, issues))


def _suspects(suspects: tuple[Suspect, ...]) -> list[Column]:
    """Return doubted rows with the label as given and the one suggested."""
    cells = {
        "row": [s.id for s in suspects],
        "given label": [s.label for s in suspects],
        "suggested label": [s.suggested for s in suspects],
    }
    return [
        Column(head, [literal(shorten(clean(v), LABEL_WIDTH)) for v in values], figures=False)
        for head, values in cells.items()
    ]


def _lines(check: Check, said: Callable[[str], str]) -> Iterator[tuple[Text, Text]]:
    # Findings come first; otherwise the order stays.
    for line in sorted(check.lines, key=lambda line: list(MARKS).index(line.status)):
        mark, style = MARKS[line.status]
        topic = literal(f"{mark} {words.topic(line)}", style)
        says = said(words.line(check, line))
        yield topic, literal(says, "" if line.status != "unknown" else "dim")


def _closing(check: Check, issues: str) -> str:
    listed = (
        f" {issues[0].upper()}{issues[1:]} lists {plural(len(check.issues), 'row')} with issues."
        if check.issues
        else ""
    )
    return f"{LIMITS}{listed} Took {duration(check.seconds)}; no model was loaded."

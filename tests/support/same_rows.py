"""Whether figures that are beside each other in a sentence or a column are of the same rows.

The record names the rows of its figures (`Interval.row_set`). A sentence is read for shares and
differences, each is looked up among the figures of the candidates that the sentence names, and no
set of rows may be left that explains them all. A column of a table is explained by a field of the
record that has the value shown for every candidate; its rows must be all test rows, unless the
table or the line below it marks them as in "121 of 602".
"""

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import Any, NamedTuple

from choose.formatting import MINUS
from choose.report.html.page import render_html
from choose.report.markdown import render_markdown
from choose.schema.base import Interval, Record
from choose.schema.decision import Decision

# Shares and differences in a sentence; bounds occur in parentheses beside what they bound. A
# paired difference that states the rows that both sides share needs no rows of its neighbours.
SHARE = re.compile(r"(\d+(?:\.\d+)?)(?: %| of 100)")
SHARED = re.compile(r"[\d.]+ points?[^.;:()]*(?:\([^()]*\))?,? on ([\d,]+) shared rows?")
NUMBER = re.compile(rf"[+{MINUS}-]?(\d[\d,]*(?:\.\d+)?)")
MARK = re.compile(r"(\d[\d,]*) of (\d[\d,]*)")

# Fields whose values tell entries of a list apart.
KEYS = ("view", "kind", "rate", "labels", "setting", "cut", "examples", "label", "name")
OWNERS = ("candidate", "a", "b", "cheap", "strong", "chosen", "best", "supervised")


class Figure(NamedTuple):
    """A figure of the record: where it occurs, whose it is, and of which rows."""

    path: str
    owners: frozenset[str]
    value: float
    row_set: str


def figures(decision: Decision) -> list[Figure]:
    """Return every figure of a decision whose rows are known."""
    names = {card.candidate for card in decision.scorecards}
    pick = decision.verdict.recommended or decision.verdict.use_meanwhile
    found: list[Figure] = []
    for standing in decision.standings:
        found += _figures(standing, "standing", {standing.candidate, pick}, names)
        found += _figures(standing.accuracy, "standing.accuracy", {standing.candidate}, names)
    for family in decision.verdict.families:
        found += _figures(family, "family", {pick}, names)
    parts = (*decision.scorecards, *decision.pairs, decision.overlap)
    for part in parts:
        found += _figures(part, type(part).__name__.lower(), set(), names)
    return found


def _figures(node: Any, path: str, owners: set[str], names: set[str]) -> Iterator[Figure]:
    if isinstance(node, Interval):
        if node.row_set:
            for end in ("value", "low", "high"):
                if (value := getattr(node, end)) is not None:
                    at = path if end == "value" else f"{path}.{end}"
                    yield Figure(at, frozenset(owners), value, node.row_set)
    elif isinstance(node, Record):
        own = {str(getattr(node, key, None)) for key in OWNERS} & names
        own = own if getattr(node, "candidate", None) in names else own | owners
        change = getattr(node, "change", None)
        rows = getattr(node, "row_set", None) or (change.row_set if change else None)
        for name in type(node).model_fields:
            value = getattr(node, name)
            if isinstance(value, float) and rows:
                yield Figure(f"{path}.{name}", frozenset(own), value, rows)
            elif isinstance(value, Record | tuple):
                yield from _figures(value, f"{path}.{name}", own, names)
    elif isinstance(node, tuple):
        for entry in node:
            keys = [str(getattr(entry, key)) for key in KEYS if hasattr(entry, key)]
            yield from _figures(entry, f"{path}[{'/'.join(keys)}]", owners, names)


def _reads(value: float, figure: str) -> bool:
    """Return whether a share is written so in percent or points, whatever its sign."""
    text = figure.replace(",", "")
    half = 0.5 * 10 ** -len(text.partition(".")[2]) + 1e-9
    return abs(100 * abs(value) - float(text)) <= half


Table = list[list[str]]


def _says(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def unlike_columns(decision: Decision) -> list[str]:
    """Return the columns of a decision's reports with figures of unlike rows, unmarked."""
    known, found = figures(decision), []
    for table in (*_markdown(decision), *_html(decision)):
        found += unlike_in_table(decision, table, known)
    return found


def unlike_in_table(
    decision: Decision, table: Table, known: Sequence[Figure] | None = None
) -> list[str]:
    """Return the columns of one table (rows of cells) with figures of unlike rows, unmarked.

    `known` are the figures of the decision; they are looked up unless given.
    """
    known, found = known or figures(decision), []
    names = [card.candidate for card in decision.scorecards]
    lines = [cells for cells in table if not any(_says(cells[0], n) for n in names if cells)]
    whole = (decision.dataset.test_rows, [cell for cells in lines for cell in cells])
    for rows in _by_candidate(decision, table):
        columns = range(1, max(map(len, rows.values())))
        faults = [(fault, c) for c in columns if (fault := _fault(c, rows, known, *whole))]
        found += [f"{fault} in column {column} of {rows}" for fault, column in faults]
    return found


def _by_candidate(decision: Decision, table: Table) -> list[dict[str, list[str]]]:
    """Return the rows by candidate; where one has several rows, by those and their next cells."""
    names = sorted({c.candidate for c in decision.scorecards}, key=len, reverse=True)
    rows = [(n, cells) for cells in table if cells for n in names if _says(cells[0], n)]
    first = {id(cells): name for name, cells in reversed(rows)}
    kept = [(first[id(cells)], cells) for cells in table if id(cells) in first]
    for keys in range(3):
        groups: dict[tuple[str, ...], dict[str, list[str]]] = {}
        for name, cells in kept:
            groups.setdefault(tuple(cells[1 : 1 + keys]), {}).setdefault(name, cells)
        if sum(map(len, groups.values())) == len(kept):
            break
    return list(groups.values())


def _fault(
    column: int,
    rows: dict[str, list[str]],
    known: Sequence[Figure],
    total: int,
    notes: list[str],
) -> str:
    shown = {
        who: match[1]
        for who, cells in rows.items()
        if column < len(cells) and (match := NUMBER.match(cells[column].strip()))
    }
    if len(shown) < 2:
        return ""
    by_path: dict[str, dict[str, str]] = {}
    for path, owners, value, row_set in known:
        for who in owners & set(shown):
            if _reads(value, shown[who]) and (len(owners) == 1 or path.startswith("standing")):
                by_path.setdefault(path, {})[who] = row_set
    faults = []
    for path, sets in by_path.items():
        if set(sets) != set(shown):
            continue
        strange = [
            w
            for w, s in sets.items()
            if int(s.partition(":")[0]) < total and not _marked([*rows[w], *notes], s)
        ]
        faults.append(f"{path} of {strange}" if strange else "")
    # Where one field explains the column with common rows, that is the one that it shows.
    return "" if not faults or "" in faults else faults[0]


def _marked(cells: list[str], row_set: str) -> bool:
    count = row_set.partition(":")[0]
    marks = [mark for cell in cells for mark in MARK.findall(cell)]
    return any(few.replace(",", "") == count for few, _ in marks)


def _markdown(decision: Decision) -> Iterator[Table]:
    table: Table = []
    for line in render_markdown(decision).splitlines():
        if line.startswith("|"):
            table.append([cell.strip().replace("\\", "") for cell in line.strip("|").split("|")])
        else:
            yield table
            table = []


class _Tables(HTMLParser):
    """Collects the cells of every table of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.tables[-1][-1][-1] += data


def _html(decision: Decision) -> list[Table]:
    page = _Tables()
    page.feed(render_html(decision))
    return page.tables

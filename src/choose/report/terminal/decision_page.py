"""A decision for the terminal: the answer first, then the evidence for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from choose.formatting import clean, plural
from choose.report.decision_text import (
    COLOURS,
    KINDS,
    chance_line,
    division_line,
    goal_line,
    looks_line,
    noted,
)
from choose.report.screen_text import literal
from choose.report.terminal.candidate_table import candidates
from choose.report.terminal.cost_tables import costs, endpoints
from choose.report.terminal.details import (
    curves,
    differences,
    failures,
    labels,
    scenarios,
    shared,
    stability,
    weakest,
)
from choose.report.terminal.layout import bullets, encodable, note, pairs, section, trimmed
from choose.schema.decision import Decision, Gate, Verdict

# A longer list would hide the sections after it.
MOST = 12

Fact = tuple[str, Text]

GATES = {"pass": ("✓ pass", "green"), "fail": ("✗ fail", "red"), "unknown": ("? unknown", "yellow")}


def render(decision: Decision, store: Path | None = None) -> RenderableType:
    """Return the report, laid out for the width and encoding of the console that prints it."""
    return Report(decision, store)


@dataclass(frozen=True, slots=True)
class Report:
    """A decision and the folder of its study."""

    decision: Decision
    store: Path | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the report out; repeat the verdict at the end if it would scroll off the screen."""
        parts = list(_parts(self.decision, self.store, options.max_width))
        lines = console.render_lines(Group(*parts), options, pad=False)
        if console.is_terminal and len(lines) >= options.size.height:
            closing = Group(Text(), _head(self.decision))
            lines += console.render_lines(closing, options, pad=False)
        for line in lines:
            yield from encodable(trimmed(line), options.encoding)
            yield Segment.line()


def _parts(decision: Decision, store: Path | None, width: int) -> Iterator[RenderableType]:
    verdict = decision.verdict
    yield _head(decision, *_context(decision))
    yield from candidates(decision, width)
    yield from _list("Why", verdict.reasons)
    if verdict.rejected:
        yield section("Rejected", pairs((r.candidate, r.why) for r in verdict.rejected))
    yield from _list("What would change this", verdict.flips)
    yield from _list("What to do next", verdict.next)
    if decision.gates:
        yield section("Checks", pairs(map(_gate, decision.gates)))
    for detail in (
        weakest,
        labels,
        failures,
        shared,
        stability,
        scenarios,
        curves,
        differences,
        costs,
        endpoints,
    ):
        yield from detail(decision, width)
    yield from _list("Left out", decision.left_out)
    yield from _list("About the data", decision.dataset.findings)
    notes = decision.method.notes if decision.method else ()
    yield from _list("Notes from training", tuple(f"{n.candidate}: {noted(n)}" for n in notes))
    yield section("Files", *_files(decision, store))


def _head(decision: Decision, *more: Fact) -> RenderableType:
    headline = literal(decision.verdict.headline, style="bold")
    return Group(headline, pairs([*_answer(decision.verdict), *more]))


def _answer(verdict: Verdict) -> Iterator[Fact]:
    implied = verdict.family is None or verdict.kind == "baseline-is-enough"
    family = "" if implied else f" ({clean(verdict.family)})"
    which = f": {clean(verdict.recommended)}{family}" if verdict.recommended else ""
    kind = Text(KINDS[verdict.kind] + which, style=COLOURS[verdict.kind])
    yield "Verdict", kind.append(f"; confidence {verdict.confidence}", style="default")
    if verdict.use_meanwhile != verdict.recommended:
        yield "Until then", literal(f"use {clean(verdict.use_meanwhile)}")
    if verdict.next:
        yield "Next", literal(verdict.next[0])


def _context(decision: Decision) -> Iterator[Fact]:
    data = decision.dataset
    if chance := chance_line(decision.verdict):
        yield "Chance", literal(chance, "dim")
    yield (
        "Data",
        literal(
            f"{clean(data.name)}, {plural(data.rows, 'row')}, "
            f"{plural(len(data.labels), 'label')}; {division_line(data)}",
            "dim",
        ),
    )
    if goal := goal_line(decision.goal):
        yield "Goal", literal(goal, "dim")
    if decision.looks > 1:
        yield "Test rows", literal(looks_line(decision), "yellow")


def _list(title: str, sentences: tuple[str, ...]) -> Iterator[RenderableType]:
    if sentences:
        more = len(sentences) - MOST
        rest = [note(f"{more:,} more in decision.json.")] if more > 0 else []
        yield section(title, bullets(sentences[:MOST]), *rest)


def _gate(gate: Gate) -> tuple[Text, str]:
    mark, style = GATES[gate.status]
    return Text(mark, style=style), f"{gate.name}: {gate.evidence}"


def _files(decision: Decision, store: Path | None) -> Iterator[RenderableType]:
    if store is not None:
        folder = clean(shlex.quote(str(store)))
        yield pairs(
            [
                ("files", f"{folder} (decision.json, study.toml, trials/)"),
                ("show again", f"choose report {folder}"),
                ("as JSON", f"choose report {folder} --json"),
            ]
        )
    yield note(
        f"choose {clean(decision.choose)} · rule {clean(decision.rule)} · "
        f"data {clean(decision.dataset.fingerprint)}"
    )

"""The decision for a terminal: the answer first, then all that stands behind it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from choose.formatting import clean, per_cent, plural
from choose.report.cost_notes import margin_of
from choose.report.format import COLOURS, KINDS, counted_by, learnt, literal, noted, quantity
from choose.report.terminal import details as failures
from choose.report.terminal.candidate_table import candidates
from choose.report.terminal.cost_tables import costs
from choose.report.terminal.details import (
    curves,
    differences,
    labels,
    scenes,
    services,
    steadiness,
    weakest,
)
from choose.report.terminal.layout import bullets, encodable, note, pairs, section, trimmed
from choose.schema.decision import DatasetRecord, Decision, Gate, Verdict

# A list longer than this hides the sections behind it.
MOST = 12


Fact = tuple[str, Text]


GATES = {"pass": ("✓ pass", "green"), "fail": ("✗ fail", "red"), "unknown": ("? unknown", "yellow")}


def render(decision: Decision, store: Path | None = None) -> RenderableType:
    """Return the report; it fits the console that it is printed on, and its encoding."""
    return Report(decision, store)


@dataclass(frozen=True, slots=True)
class Report:
    """A decision and the folder that its files are in."""

    decision: Decision
    store: Path | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the report out for the console's width; repeat the verdict if it scrolls away."""
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
    yield _head(decision, *_frame(decision))
    yield from candidates(decision, width)
    yield from _list("Why", verdict.reasons)
    if verdict.rejected:
        yield section("Rejected", pairs((r.candidate, r.why) for r in verdict.rejected))
    yield from _list("What would change this", verdict.flips)
    yield from _list("Where the next hour buys most", verdict.next)
    if decision.gates:
        yield section("Checks", pairs(map(_gate, decision.gates)))
    for detail in (
        weakest,
        labels,
        failures.failures,
        failures.overlap,
        steadiness,
        scenes,
        curves,
        differences,
        costs,
        services,
    ):
        yield from detail(decision, width)
    yield from _list("Left out", decision.left_out)
    yield from _list("About the data", decision.dataset.findings)
    notes = decision.method.notes if decision.method else ()
    yield from _list("What the fits noted", tuple(f"{n.candidate}: {noted(n)}" for n in notes))
    yield section("Files", *_replay(decision, store))


def _head(decision: Decision, *more: Fact) -> RenderableType:
    headline = literal(decision.verdict.headline, style="bold")
    return Group(headline, pairs([*_answer(decision.verdict), *more]))


def _answer(verdict: Verdict) -> Iterator[Fact]:
    told = verdict.family is None or verdict.kind == "baseline-is-enough"
    family = "" if told else f" ({clean(verdict.family)})"
    which = f": {clean(verdict.recommended)}{family}" if verdict.recommended else ""
    kind = Text(KINDS[verdict.kind] + which, style=COLOURS[verdict.kind])
    yield "Verdict", kind.append(f"; confidence {verdict.confidence}", style="default")
    if verdict.use_meanwhile != verdict.recommended:
        yield "Meanwhile", literal(f"use {clean(verdict.use_meanwhile)}")
    if verdict.next:
        yield "Next", literal(verdict.next[0])


def _frame(decision: Decision) -> Iterator[Fact]:
    data = decision.dataset
    if odds := _odds(decision.verdict):
        yield "Odds", literal(odds, "dim")
    yield (
        "Data",
        literal(
            f"{clean(data.name)}, {plural(data.rows, 'row')}, "
            f"{plural(len(data.labels), 'label')}; {_division(data)}",
            "dim",
        ),
    )
    if goal := _goal(decision.goal):
        yield "Goal", literal(goal, "dim")
    if decision.looks > 1:
        yield (
            "Looks",
            literal(
                f"these rows have been judged {decision.looks} times, each time on "
                "another grid or for another goal: a lucky winner grows likelier with each",
                "yellow",
            ),
        )


def _goal(goal: Mapping[str, Any]) -> str:
    parts = []
    if (target := quantity(goal, "target")) is not None:
        parts.append(f"at least {per_cent(target)} of 100 right")
    if derived := margin_of(goal):
        parts.append(f"a gain matters {derived}")
    elif (margin := quantity(goal, "margin")) is not None:
        parts.append(f"a gain matters from {per_cent(margin)} points on")
    said = "; ".join(parts)
    return f"{said}. {counted}" if (counted := counted_by(goal)) else said


def _odds(verdict: Verdict) -> str:
    pick = clean(verdict.recommended or verdict.use_meanwhile)
    parts = []
    if verdict.probability_best is not None:
        parts.append(f"{verdict.probability_best:.2f} that {pick} is the best of these")
    if verdict.expected_regret is not None:
        parts.append(
            f"using it costs {per_cent(verdict.expected_regret)} points against the best on average"
        )
    return "; ".join(parts)


def _division(data: DatasetRecord) -> str:
    asked = f"{data.test_rows:,} answered"
    if data.division == "cross-fit":
        return f"{asked}, each by a fit that never saw it (cross-fit){learnt(data)}"
    return f"{asked}, none learnt from ({clean(data.division)}){learnt(data)}"


def _list(title: str, sentences: tuple[str, ...]) -> Iterator[RenderableType]:
    if sentences:
        more = len(sentences) - MOST
        rest = [note(f"{more:,} more in decision.json.")] if more > 0 else []
        yield section(title, bullets(sentences[:MOST]), *rest)


def _gate(gate: Gate) -> tuple[Text, str]:
    mark, style = GATES[gate.status]
    return Text(mark, style=style), f"{gate.name}: {gate.evidence}"


def _replay(decision: Decision, store: Path | None) -> Iterator[RenderableType]:
    if store is not None:
        folder = clean(shlex.quote(str(store)))
        yield pairs(
            [
                ("files", f"{folder} (decision.json, study.toml, trials/)"),
                ("judge again", f"choose report {folder}"),
                ("as JSON", f"choose report {folder} --json"),
            ]
        )
    yield note(
        f"choose {clean(decision.choose)} · rule {clean(decision.rule)} · "
        f"data {clean(decision.dataset.fingerprint)}"
    )

"""A decision for the terminal: one screen, one section or everything; and what changed since."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from choose.formatting import DASH, clean, plural
from choose.report import study_comparison_text as comparison_text
from choose.report import words
from choose.report.decision_text import (
    division_line,
    fit_notes,
    goal_line,
    looks_line,
)
from choose.report.screen_text import command_lines, literal, shorten
from choose.report.study_comparison_text import (
    COMPARISON_HEADS,
    about,
    cells,
    headline,
    others,
)
from choose.report.terminal.candidate_table import NAME, candidates
from choose.report.terminal.changing_conditions import scenarios, stability
from choose.report.terminal.cost_tables import costs, endpoints
from choose.report.terminal.decision_sections import (
    curves,
    differences,
    differing,
    failures,
    labels,
    shared,
    weakest,
)
from choose.report.terminal.first_screen import FirstScreen, step_text, steps
from choose.report.terminal.layout import (
    Column,
    Page,
    bullets,
    encodable,
    note,
    pairs,
    section,
    split_table,
    trimmed,
)
from choose.report.terminal.text_sections import (
    changed_documents,
    fields,
    other_metrics,
    side_by_side,
    suspect_values,
    what_is_lost,
    why_wrong,
    wrong_values,
)
from choose.schema.decision import Decision, Gate
from choose.schema.standings import Step
from choose.schema.study_changes import Versus

# Columns before a command: the section, the number of its step and a space.
COMMAND_INDENT = 6

# A longer list would hide the sections after it.
MOST = 12

GATES = {"pass": ("✓ pass", "green"), "fail": ("✗ fail", "red"), "unknown": ("? unknown", "yellow")}

Part = Callable[[Decision, int], Iterable[RenderableType]]


def why(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the reasons, why other candidates were not chosen, and what would change this."""
    verdict = decision.verdict
    yield from _list("Why", verdict.reasons)
    if verdict.rejected:
        others = pairs((r.candidate, r.why) for r in verdict.rejected)
        yield section("Other candidates", others)
    yield from _list("What would change this", verdict.flips)


def next_steps(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield everything that may be done next, with its question, value and command."""
    every = steps(decision.verdict)
    if every:
        rows = ((f"{place}.", _step(step, width)) for place, step in enumerate(every, 1))
        yield section("What to do next", pairs(rows, gap=1))


def _step(step: Step, width: int) -> Text:
    text = literal(step_text(step))
    if step.question:
        text.append(f"\nQuestion: {clean(step.question)}", "dim")
    if step.command:
        text.append(f"\n{command_lines(step.command, width - COMMAND_INDENT)}", "cyan")
    return text


def checks(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the conditions of the verdict with their figures."""
    if decision.gates:
        yield section("Checks", pairs(map(_gate, decision.gates)))


def _gate(gate: Gate) -> tuple[Text, str]:
    mark, style = GATES[gate.status]
    return Text(mark, style=style), f"{gate.name}: {gate.evidence}"


def rare(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield how often rare labels are found."""
    yield from _list("Rare labels", tuple(map(words.rare_sentence, decision.verdict.rare)))


def data(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the data, the goal, what was left out and what the training runs noted."""
    yield section("Data", pairs(_context(decision)))
    yield from _list("Left out", tuple(one.sentence for one in decision.left_out))
    yield from _list("About the data", decision.dataset.findings)
    yield from _list("Notes from training", fit_notes(decision, of_search=False))


def _context(decision: Decision) -> Iterator[tuple[str, Text]]:
    about = decision.dataset
    labels = f", {plural(len(about.labels), 'label')}" if about.labels else ""
    size = f"{plural(about.rows, 'row')}{labels}"
    yield "Data", literal(f"{clean(about.name)}, {size}; {division_line(about)}")
    if goal := goal_line(decision.goal):
        yield "Goal", literal(goal)
    if decision.looks > 1:
        yield "Test rows", literal(looks_line(decision), "yellow")


# The sections by the name that `choose report STORE SECTION` takes, in the order of the page.
SECTIONS: dict[str, tuple[Part, ...]] = {
    "candidates": (candidates, other_metrics),
    "why": (why,),
    "next": (next_steps,),
    "checks": (checks,),
    "labels": (rare, weakest, labels, suspect_values),
    "reading": (what_is_lost, why_wrong),
    "rows": (side_by_side, differing),
    "errors": (failures, shared, fields, wrong_values),
    "noise": (stability,),
    "change": (scenarios, changed_documents),
    "curves": (curves,),
    "differences": (differences,),
    "cost": (costs, endpoints),
    "data": (data,),
}


def render(decision: Decision, store: Path | None = None) -> RenderableType:
    """Return the first screen, laid out for the console that prints it."""
    return FirstScreen(typed_here(decision, store), store)


def render_full(decision: Decision, store: Path | None = None) -> RenderableType:
    """Return the first screen and every section."""
    return Full(typed_here(decision, store), store)


def render_section(decision: Decision, name: str, store: Path | None = None) -> RenderableType:
    """Return one of `SECTIONS`, or a line that says that the study has nothing for it."""
    return OneSection(typed_here(decision, store), name)


def typed_here(decision: Decision, store: Path | None) -> Decision:
    """Put the path of the study into its commands, which may have been written elsewhere.

    The record is meant to be shared, so it holds no folder of this machine.
    """
    if store is None:
        return decision

    def typed(command: str) -> str:
        if command.startswith("choose."):  # a call in Python
            return re.sub(r"study='[^']*'", lambda _: f"study={str(store)!r}", command)
        words = shlex.split(command)
        for place, flag in enumerate(words[:-1]):
            if flag in ("-c", "--out"):
                file = words[place + 1].endswith("/study.toml")
                words[place + 1] = str(store / "study.toml" if file else store)
        return shlex.join(words)

    steps = tuple(
        step.model_copy(update={"command": typed(step.command)}) if step.command else step
        for step in decision.verdict.steps
    )
    verdict = decision.verdict.model_copy(update={"steps": steps})
    return decision.model_copy(update={"verdict": verdict})


@dataclass(frozen=True, slots=True)
class OneSection:
    """One section of the page of a decision."""

    decision: Decision
    name: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the section out, without the empty line before it."""
        parts = _parts(self.decision, self.name, options.max_width)
        lines = console.render_lines(Group(*parts), options, pad=False)
        lines = lines[1:] or [
            [Segment(f"Nothing was measured, or found, for the section “{self.name}”.")]
        ]
        yield from _printable(lines, options)


@dataclass(frozen=True, slots=True)
class Full:
    """The first screen of a decision and every section."""

    decision: Decision
    store: Path | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the page out; repeat the answer at the end if it would scroll off the screen."""
        width = options.max_width
        lines = FirstScreen(self.decision).lines(console, options)
        parts = chain.from_iterable(_parts(self.decision, name, width) for name in SECTIONS)
        files = section("Files", *_files(self.decision, self.store))
        lines += console.render_lines(Group(*parts, files), options, pad=False)
        if console.is_terminal and len(lines) >= options.size.height:
            said = literal(words.answer(self.decision), "bold")
            closing = Group(Text(), said, literal(words.how_sure(self.decision)))
            lines += console.render_lines(closing, options, pad=False)
        yield from _printable(lines, options)


def _printable(lines: Iterable[list[Segment]], options: ConsoleOptions) -> Iterator[Segment]:
    for line in lines:
        yield from encodable(trimmed(line), options.encoding)
        yield Segment.line()


def _parts(decision: Decision, name: str, width: int) -> Iterator[RenderableType]:
    return chain.from_iterable(part(decision, width) for part in SECTIONS[name])


def _list(title: str, sentences: tuple[str, ...]) -> Iterator[RenderableType]:
    if sentences:
        more = len(sentences) - MOST
        rest = [note(f"{more:,} more in decision.json.")] if more > 0 else []
        yield section(title, bullets(sentences[:MOST]), *rest)


def _files(decision: Decision, store: Path | None) -> Iterator[RenderableType]:
    if store is not None:
        folder = clean(shlex.quote(str(store)))
        yield pairs(
            [
                ("files", f"{folder} (decision.json, study.toml, trials/)"),
                ("one screen", f"choose report {folder}"),
                ("as JSON", f"choose report {folder} --json"),
            ]
        )
    yield note(
        f"choose {clean(decision.choose)} · rule {clean(decision.rule)} · "
        f"data {clean(decision.dataset.fingerprint)}"
    )


# The most changes to list, and the characters of a value.
CHANGES, LONGEST = 20, 60


def versus_page(versus: Versus) -> Page:
    """Return the comparison as a page."""
    return Page(lambda width: _versus_parts(versus, width))


def _versus_parts(versus: Versus, width: int) -> Iterator[RenderableType]:
    yield literal(headline(versus), style="bold")
    sides = (("before", versus.before), ("now", versus.after))
    yield pairs((name, f"{side.name}: {side.headline}") for name, side in sides)
    yield section(
        "Candidates on the common rows", *split_table(_table(versus), width), note(about(versus))
    )
    if versus.why:
        title = (
            "Why the verdict changed" if versus.verdict_changed else "Why the verdict is unchanged"
        )
        yield section(title, bullets(versus.why))
    yield section("Rows", bullets(comparison_text.rows(versus)))
    if only := list(others(versus)):
        yield section("In one study only", bullets(only))
    if versus.changes:
        yield section("What changed in the study", pairs(_changes(versus)))
    if (more := len(versus.changes) - CHANGES) > 0:
        yield note(f"{more:,} more: choose report A B --json.")


def _table(versus: Versus) -> list[Column]:
    rows = [cells(shift) for shift in versus.shifts]
    columns = list(zip(*rows, strict=True)) or [() for _ in COMPARISON_HEADS]
    return [
        Column(
            head.replace(" (95 %", "\n(95 %"),
            [literal(shorten(clean(cell), 2 * NAME if place == 3 else NAME)) for cell in column],
            figures=place > 0,
        )
        for place, (head, column) in enumerate(zip(COMPARISON_HEADS, columns, strict=True))
    ]


def _changes(versus: Versus) -> Iterator[tuple[str, str]]:
    for change in versus.changes[:CHANGES]:
        old, new = (
            DASH if value is None else shorten(clean(value), LONGEST)
            for value in (change.before, change.after)
        )
        yield shorten(clean(change.what), 2 * NAME), f"{old} → {new}"

"""The first screen: the answer, the differences, what is settled and open, what to do next.

It fits 80 columns and 40 lines with the command above and the path of the report below it; on a
smaller terminal it says less, in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

from choose.formatting import clean, in_percent, in_points, plural
from choose.report.candidate_order import standings
from choose.report.decision_text import COLOURS, KINDS, looks_line, words_in
from choose.report.screen_text import (
    clip,
    clip_reasons,
    clip_sentences,
    command_lines,
    literal,
    rest,
    shorten,
)
from choose.report.terminal.difference_chart import (
    TITLES,
    chart_heading,
    difference_chart,
    difference_lines,
    select_rows,
    titles_line,
)
from choose.report.terminal.layout import encodable, note, pairs, trimmed
from choose.schema.decision import Decision, Verdict
from choose.schema.score_names import found_of
from choose.schema.standings import RareFigure, RareLabel, Step

# Lines of the screen, and lines that the shell's prompt and the path of the report take below it.
LINES, BELOW = 36, 2

# Lines in a pipe or file, which has no screen: fewer sentences are cut.
PIPED = 48

CONFIDENCE = {"high": "bold green", "medium": "bold yellow", "low": "bold red"}

# Lines of the sentence on what is lost in reading documents, and of what candidates are.
READING_LINES, TITLE_LINES = 5, 4

# Columns of a label such as "Do next", and of a margin.
LABEL, INDENT = 12, 2


# What it says, for reports in other forms too. Records of earlier versions hold a headline, reasons
# and next steps instead, which are shown in the same places.


def answer(verdict: Verdict) -> str:
    """Return the answer in a few words."""
    if verdict.answer:
        return verdict.answer
    which = f": {verdict.recommended}" if verdict.recommended else ""
    return f"{KINDS[verdict.kind]}{which}."


def because(verdict: Verdict) -> str:
    """Say which candidate to use and why that one."""
    if not verdict.answer:
        return verdict.headline
    return " ".join(filter(None, [verdict.because, verdict.interim_reason]))


def confidence_reason(verdict: Verdict) -> str:
    """Return the sentence that says what limits the confidence; empty if nothing does."""
    return next((r for r in verdict.reasons if r.startswith("Confidence is ")), "")


def settled(verdict: Verdict) -> tuple[str, ...]:
    """Return what the evidence shows, a sentence each."""
    if verdict.answer:
        return verdict.settled
    limit = confidence_reason(verdict)
    return tuple(reason for reason in verdict.reasons if reason != limit)


def still_open(verdict: Verdict) -> tuple[str, ...]:
    """Return what the evidence does not show, or what would change the answer."""
    return verdict.open if verdict.answer else verdict.flips


def steps(verdict: Verdict) -> tuple[Step, ...]:
    """Return what to do next, the most valuable first."""
    return verdict.steps or tuple(Step(kind="other", text=text) for text in verdict.next)


def step_text(step: Step) -> str:
    """Return what a step is, or that it is not worth its effort."""
    return step.text if step.worth else f"Not worth it: {step.text[:1].lower()}{step.text[1:]}"


def rare_sentence(rare: RareLabel, columns: int | None = None) -> str:
    """Say who finds a label that accuracy hardly sees, with the figures that fit into `columns`."""
    label = f"“{clean(rare.label)}” has {plural(rare.rows, 'row')} ({in_percent(rare.share)})"
    if (answered := rare.answered) is not None and answered < rare.rows:
        label += f", {answered:,} of them answered"
    for count in range(min(len(rare.figures), 3), 0, -1):
        text = f"{label}. {'; '.join(map(_found, rare.figures[:count]))}."
        if columns is None or cell_len(text) <= columns:
            return text
    return f"{label}."


def _found(rare: RareFigure) -> str:
    precision = rare.precision
    trust = f", {in_percent(precision)} of its alarms are right" if precision is not None else ""
    return f"{clean(rare.candidate)} finds {found_of(rare.found, str(rare.rows), rare.runs)}{trust}"


def warning(decision: Decision) -> str:
    """Return what a reader must know of every figure of a candidate; empty for none."""
    names = tuple(f"{card.candidate}: " for card in decision.scorecards)
    found = (text for text in decision.dataset.findings if text.startswith(names))
    return next(found, "")


def context(decision: Decision) -> str:
    """Return the name and the size of the data."""
    data = decision.dataset
    labels = f" · {plural(len(data.labels), 'label')}" if data.labels else ""
    return f"{clean(data.name)} · {plural(data.test_rows, 'test row')}{labels}"


# How it is laid out.


@dataclass(frozen=True, slots=True)
class Room:
    """How much is shown: rows, sentences and steps, and the lines that each may take.

    Attributes:
        rows: of the chart.
        because: lines of the reason.
        settled: sentences.
        open: sentences.
        steps: what to do next.
        lines: of one sentence or step.
        context: whether the question and the data are named above the answer.
        titles: whether it says what the candidates of the chart are.
    """

    rows: int
    because: int
    settled: int
    open: int
    steps: int
    lines: int
    context: bool = True
    titles: bool = False


# From generous to tight: the first that fits is shown.
ROOMS = (
    Room(9, 5, 3, 4, 3, 4, titles=True),
    Room(9, 5, 2, 3, 3, 3, titles=True),
    Room(8, 4, 2, 2, 3, 3, titles=True),
    Room(8, 4, 1, 2, 3, 3, titles=True),
    Room(8, 4, 1, 2, 3, 2, titles=True),
    Room(7, 4, 1, 2, 3, 2, titles=True),
    Room(7, 3, 1, 2, 3, 2, titles=True),
    Room(7, 3, 1, 1, 3, 2),
    Room(6, 3, 1, 1, 3, 2),
    Room(5, 3, 1, 1, 3, 2),
    Room(5, 3, 1, 1, 3, 1),
    Room(6, 3, 1, 1, 2, 2),
    Room(5, 3, 1, 1, 2, 2, context=False),
    Room(5, 3, 1, 1, 2, 1, context=False),
    Room(4, 2, 1, 1, 2, 1, context=False),
    Room(4, 2, 1, 1, 1, 1, context=False),
    Room(3, 1, 1, 1, 1, 1, context=False),
    Room(2, 1, 0, 1, 1, 1, context=False),
)


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """The first screen of a decision; `store` is the folder of the study."""

    decision: Decision
    store: Path | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show as much as fits, in lines that are no wider than the console."""
        for line in self.lines(console, options):
            yield from encodable(trimmed(line), options.encoding)
            yield Segment.line()

    def lines(self, console: Console, options: ConsoleOptions) -> list[list[Segment]]:
        """Return the lines of the first layout that fits."""

        def laid_out(room: Room, drawn: bool) -> list[list[Segment]]:
            parts = first_screen(self.decision, self.store, options.max_width, room, drawn)
            return console.render_lines(Group(*parts), options, pad=False)

        # A pipe, a file or a screen reader gets one page too, with sentences for the drawing.
        drawn = console.is_terminal and not console.is_dumb_terminal
        limit = min(LINES, options.size.height - BELOW) if console.is_terminal else PIPED
        lines: list[list[Segment]] = []
        for room in ROOMS:
            lines = laid_out(room, drawn)
            if len(lines) <= limit:
                break
        return lines


def first_screen(
    decision: Decision, store: Path | None, width: int, room: Room = ROOMS[0], drawn: bool = True
) -> Iterator[RenderableType]:
    """Yield the parts of the screen.

    Args:
        decision: the record.
        store: the folder of the study, for the commands that show the rest.
        width: columns of the screen.
        room: how much is shown.
        drawn: whether differences are drawn; a line of text each otherwise.
    """
    verdict = decision.verdict
    if room.context:
        yield note(clip(f"{words_in(decision).question}?   {context(decision)}", width))
        yield Text()
    yield _answer(verdict, width)
    room_of = width - INDENT - 1
    lines = room.because, min(room.because, room.lines + 1)
    reason, doubt = clip_reasons(because(verdict), confidence_reason(verdict), lines, room_of)
    for text in filter(None, (reason, doubt)):
        yield Padding(literal(text), (0, 0, 0, INDENT))
    warned = clip(warning(decision), min(room.because, 2) * room_of)
    looks = looks_line(decision) if decision.looks > 1 and "were judged" not in doubt else ""
    for text in filter(None, (warned, looks)):
        yield Padding(literal(text, "yellow"), (0, 0, 0, INDENT))
    yield Text()
    yield from _differences(decision, width, room, drawn)
    yield from _failures(decision, min(room.lines, 2) * width)
    yield Text()
    yield pairs(_sentences(decision, width, room))
    if store is not None:
        yield Text()
        yield note(rest(store, "labels" if decision.dataset.labels else "errors", width))


def _answer(verdict: Verdict, width: int) -> RenderableType:
    """Return the answer with the confidence at the right, or below where it does not fit."""
    said = literal(clip(answer(verdict), 2 * width), f"bold {COLOURS[verdict.kind]}")
    sure = Text("confidence ", "dim").append(verdict.confidence, CONFIDENCE[verdict.confidence])
    gap = width - cell_len(said.plain) - cell_len(sure.plain)
    if gap < 2:
        return Group(said, sure)
    return Text.assemble(said, " " * gap, sure)


def _differences(
    decision: Decision, width: int, room: Room, drawn: bool
) -> Iterator[RenderableType]:
    every = standings(decision)
    measured = [standing for standing in every if standing.accuracy is not None]
    if not measured:
        return
    listed = select_rows(every if drawn else measured, room.rows)
    if drawn:
        if len(measured) > 1:
            yield chart_heading(decision)
        yield from difference_chart(decision, room.rows, width)
    else:
        yield from difference_lines(decision, listed, len(measured))
    if room.titles and (width < TITLES or not drawn) and (told := titles_line(listed)):
        yield Padding(note(clip(told, TITLE_LINES * (width - INDENT))), (0, 0, 0, INDENT))


def _failures(decision: Decision, columns: int) -> Iterator[RenderableType]:
    failed = [card for card in decision.scorecards if card.errors]
    if not failed:
        return
    first, others = failed[0], len(failed) - 1
    more = f" ({others:,} other candidates failed too)" if others else ""
    name = shorten(clean(first.candidate), 24)
    yield literal(clip(f"{name} failed{more}: {clean(first.errors[0])}", columns), "red")


def _sentences(decision: Decision, width: int, room: Room) -> Iterator[tuple[str | Text, Text]]:
    verdict = decision.verdict
    columns = room.lines * max(width - LABEL - INDENT, 20)
    for rare in verdict.rare[:1]:
        yield Text("Rare", "bold"), literal(clip(rare_sentence(rare, columns), columns))
    names = ("Settled", "Open") if verdict.answer else ("Why", "Changes it")
    for name, sentences, most in zip(
        names, (settled(verdict), still_open(verdict)), (room.settled, room.open), strict=True
    ):
        # What reading loses, and to what, is the answer of a study with documents: it stays whole
        # as long as more than one step fits.
        whole = name == "Settled" and decision.loss_splits and room.steps > 1
        first = max(room.lines, READING_LINES) if whole else room.lines
        yield from _listed(name, sentences, most, columns, first * columns // room.lines)
    yield from _steps(steps(verdict), room, columns)


def _listed(
    name: str, sentences: Sequence[str], most: int, columns: int, first: int
) -> Iterator[tuple[Text, Text]]:
    """Yield sentences, each cut to so many columns, the `first` one to its own."""
    for place, sentence in enumerate(sentences[:most]):
        more = len(sentences) - most if place == most - 1 else 0
        said = f" (+{more} more)" if more > 0 else ""
        room = (columns if place else first) - cell_len(said)
        text = literal(clip(sentence, room)).append(said, "dim")
        yield literal("" if place else name, "bold"), text


def _steps(every: Sequence[Step], room: Room, columns: int) -> Iterator[tuple[Text, Text]]:
    worthy = [step for step in every if step.worth]
    for place, step in enumerate(worthy[: room.steps]):
        text = literal(f"{place + 1}. {_within(step, columns)}")
        if step.command:
            shown = command_lines(step.command, columns // room.lines - 3)
            text.append(indent(f"\n{shown}", "   "), "cyan")
        yield literal("" if place else "Do next", "bold"), text
    if room.steps > 2 and len(every) > len(worthy):
        rest = next(step for step in every if not step.worth)
        yield Text("Not worth", "bold"), literal(clip(rest.text, columns))


def _within(step: Step, columns: int) -> str:
    """Return the text of a step; where it is cut, what it is worth still follows."""
    cut = clip_sentences(step.text, columns)
    if step.value is None or cut.endswith("."):
        return cut
    # What to do ends at a colon; what it is worth follows there, at last without rows and bounds.
    doing, worth = clean(step.text).partition(": ")[0], in_points(step.value)
    bare, value = re.sub(r" \([^)]*\)", "", doing), worth.partition(" (")[0]
    for short in (f"{doing}: {worth}", f"{bare}: {worth}", f"{bare}: {value}"):
        if cell_len(short) <= columns:
            return short
    return f"{clip(step.text, columns - cell_len(worth) - 1)} {worth}"

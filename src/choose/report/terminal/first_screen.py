"""The first screen: what to use, how sure it is, what could change that, what to do next.

It fits 80 columns and 24 lines with the command above and the path of the report below it. What
does not fit is left out whole: no sentence is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import indent

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

from choose.formatting import (
    DASH,
    clean,
    figure,
    in_percent,
    in_points,
    interval,
    plural,
    signed_points,
)
from choose.report import words
from choose.report.blocks import Table, chance_cell, out_of, table
from choose.report.screen_text import clip, command_lines, fold, literal, shorten
from choose.report.terminal.layout import GAP, Column, encodable, note, pairs, split_table, trimmed
from choose.schema.base import Command
from choose.schema.decision import Decision, FamilyResult
from choose.schema.scorecard import Scorecard

# Lines of the screen, and lines that the shell's prompt and the path of the report take below it.
LINES, BELOW = 36, 2

# Lines in a pipe or file, which has no screen.
PIPED = 48

# Columns of a label such as "Do next", of a margin; from this width on, differences have bounds.
LABEL, INDENT, WIDE = 9, 2, 96

# Columns that a narrow screen may lack.
COSTS = ("won:lost", "s/1,000", "$/1,000", "$/month")


@dataclass(frozen=True, slots=True)
class Room:
    """How much is shown: sentences of each kind and steps, and whether steps have commands."""

    doubts: int
    caveats: int
    steps: int
    commands: bool = True
    more: bool = True
    context: bool = True


# From generous to tight: the first that fits is shown.
ROOMS = (
    Room(4, 4, 3),
    Room(3, 2, 3),
    Room(3, 1, 3),
    Room(2, 1, 3),
    Room(2, 1, 3, more=False),
    Room(2, 1, 3, commands=False),
    Room(2, 1, 2),
    Room(2, 1, 2, commands=False, more=False),
    Room(1, 1, 1, more=False, context=False),
    Room(1, 0, 1, commands=False, more=False, context=False),
    Room(0, 0, 1, commands=False, more=False, context=False),
    Room(0, 0, 0, commands=False, more=False, context=False),
)


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """The first screen of a decision; `more` says how to see the rest, `say` writes commands."""

    decision: Decision
    more: str = ""
    say: Callable[[Command], Sequence[str]] = words.parts_of

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show as much as fits, in lines that are no wider than the console."""
        for line in self.lines(console, options):
            yield from encodable(trimmed(line), options.encoding)
            yield Segment.line()

    def lines(self, console: Console, options: ConsoleOptions) -> list[list[Segment]]:
        """Return the lines of the first layout that fits."""
        limit = min(LINES, options.size.height - BELOW) if console.is_terminal else PIPED
        lines: list[list[Segment]] = []
        for room in ROOMS:
            parts = first_screen(self, options.max_width, room)
            lines = console.render_lines(Group(*parts), options, pad=False)
            if len(lines) <= limit:
                break
        return lines


def first_screen(screen: FirstScreen, width: int, room: Room) -> Iterator[RenderableType]:
    """Yield the parts of the screen, for so many columns."""
    decision = screen.decision
    if room.context:
        data, asked = decision.dataset, words.words_in(decision).question
        rows = f"{clean(data.name)} · {plural(data.test_rows, 'test row')}"
        labels = f" · {plural(len(data.labels), 'label')}" if data.labels else ""
        yield note(clip(f"{asked}?   {rows}{labels}", width))
        yield Text()
    yield _answer(decision, width)
    told = [*words.doubts(decision)][: room.doubts]
    for text in told:
        yield _indented(text, width)
    rare = map(words.rare_sentence, decision.verdict.rare[:1])
    for text in [*rare, *words.caveats(decision)][: room.caveats]:
        yield _indented(text, width, "yellow")
    yield Text()
    yield from _families(decision, width)
    yield from _failures(decision, width)
    if (money := words.payback(decision)) and room.doubts > 1:
        yield _indented(money, width)
    models = (words.ending(decision), words.distilled(decision), words.takeover(decision))
    read = list(words.reading(decision))[:1] if room.caveats > 1 else ()
    for text in filter(None, (*models, *read) if room.caveats else ()):
        yield _indented(text, width)
    yield from _next(screen, width, room)
    if screen.more and room.more:
        yield Text()
        yield note(screen.more)


def _indented(text: str, width: int, style: str = "") -> RenderableType:
    return Padding(fold(text, width - INDENT, style), (0, 0, 0, INDENT))


def _answer(decision: Decision, width: int) -> RenderableType:
    """Return the answer with how sure it is at the right of its last line, or below it."""
    style = f"bold {words.COLOURS[decision.verdict.kind]}"
    *lines, last = fold(words.answer(decision), width).plain.split("\n")
    sure = words.how_sure(decision)
    gap = width - cell_len(last) - cell_len(sure)
    if sure and gap < 2:
        lines, last, gap = [*lines, last], "", width - cell_len(sure)
    ended = Text.assemble(literal(last, style), " " * gap if sure else "", literal(sure, style))
    return Group(*(literal(line, style) for line in lines), ended)


def _families(decision: Decision, width: int) -> Iterator[RenderableType]:
    found = family_table(decision, bounds=width >= WIDE)
    if not found.rows:
        return
    columns = []
    for place, head in enumerate(found.heads):
        cells = [literal(row[place]) for row in found.rows]
        cells[0].stylize("bold" * bool(found.mark))
        if not place:
            head = f"  {head}"
            cells = [
                Text.assemble(f"{found.mark:1} ", cells[0]),
                *(Text("  ") + cell for cell in cells[1:]),
            ]
        columns.append(Column(head, cells, figures=place > 0))
    while sum(c.width + GAP for c in columns) > width + GAP:  # one table: costs go first
        costs = [c for c in columns if c.head in COSTS]
        if not costs:
            break
        columns.remove(costs[-1])
    yield from split_table(columns, width)
    for text in filter(None, (found.caption, words.beyond_limits(decision))):
        yield _indented(text, width, "dim")


def _failures(decision: Decision, width: int) -> Iterator[RenderableType]:
    failed = [card for card in decision.scorecards if card.errors]
    if not failed:
        return
    first, others = failed[0], len(failed) - 1
    more = f" ({others:,} other candidates failed too)" if others else ""
    name = shorten(clean(first.candidate), 24)
    yield literal(clip(f"{name} failed{more}: {words.failed(first.errors[0])}", 2 * width), "red")


def _next(screen: FirstScreen, width: int, room: Room) -> Iterator[RenderableType]:
    decision = screen.decision
    worthy = decision.verdict.steps[: room.steps]
    if not worthy:
        return
    yield Text()
    columns = max(width - LABEL - INDENT, 20)
    rows = []
    for place, step in enumerate(worthy):
        told = first_sentences(words.step(decision, step), 2 * columns)
        text = fold(f"{place + 1}. {told}", columns)
        if step.command and room.commands:
            command = command_lines(screen.say(step.command), columns - 3)
            text.append(indent(f"\n{command}", "   "), "cyan")
        rows.append((literal("" if place else "Do next", "bold"), text))
    yield pairs(rows)


def first_sentences(sentences: list[str], columns: int) -> str:
    """Return the first sentence, and those after it that fit into so many columns."""
    first, *others = map(clean, sentences)
    for sentence in others:
        if cell_len(f"{first} {sentence}") > columns:
            break
        first = f"{first} {sentence}"
    return first


# Columns of a member's name, and of the label in a head.
NAME, SHORT = 20, 8


def family_table(decision: Decision, bounds: bool = True) -> Table:
    """Return the families, each by its member to use; those that were not measured come last.

    Where none is usable, the reference that none beats is the first row. The mark is that of the
    first row, if it is the candidate to use.

    Args:
        decision: the record.
        bounds: whether a difference has its interval, or half its width where that says as much.
    """
    verdict = decision.verdict
    known = {card.candidate: card for card in decision.scorecards}
    families = verdict.families
    if not verdict.usable and (floor := words.best_reference(decision)):
        families = (FamilyResult(family="reference", best=floor), *families)
    shown = [(family, known[family.best or ""]) for family in families if family.best in known]
    if not shown:
        return Table("", (), ())
    first, pick = shown[0][1], clean(decision.pick)
    # A long name of the chosen one, if it is the first row, is not cut.
    versus = "first" if first.chosen and len(pick) > SHORT else shorten(pick, SHORT)
    rows = [_row(decision, f.family, s, f"vs {versus}", bounds) for f, s in shown]
    for family in verdict.unmeasured:
        told = chance_cell(decision, verdict.chance.get(family))
        rows.append({"family": clean(family), "rows": "not measured", "chance": told})
    rest = 1 - sum(verdict.chance.values())
    if decision.chance is not None and rest >= words.POSSIBLE:
        rows.append({"family": "none of these", "chance": chance_cell(decision, rest)})
    mark = "▶" if verdict.recommended else "▷"
    mark = mark if verdict.usable and first.chosen and not first.beyond else ""
    compared = words.compared_on(decision, [s.candidate for _, s in shown]) if shown[1:] else ""
    (found,) = (one for one in table(compared, rows, mark=mark) if isinstance(one, Table))
    return found


def _row(
    decision: Decision, family: str, card: Scorecard, versus: str, bounds: bool
) -> dict[str, str]:
    noun, member = clean(family), shorten(clean(card.candidate), NAME)
    scored, total = words.score_noun(decision.goal), decision.dataset.test_rows
    usd, volume = card.cost.usd_per_1k, words.quantity(decision.goal, "volume")
    monthly = usd if usd is None or volume is None else usd * volume / 1000
    recall = {
        f"“{shorten(clean(rare.label), SHORT)}”": words.recall_of(decision, card.candidate)
        for rare in decision.verdict.rare[:1]
    }
    return {
        "family": noun if member == noun else f"{noun}: {member}",
        scored if scored == "right" else "score": _score(decision, card)
        + "*" * words.apart(decision, card),
        "rows": out_of(card.common, total) if 0 < card.common < total else DASH,
        **{head: found or DASH for head, found in recall.items()},
        versus: _difference(card, bounds),
        "won:lost": words.won_and_lost(card) or DASH,
        "s/1,000": figure(card.cost.ms_per_item),
        "$/month" if volume else "$/1,000": figure(monthly),
        "chance": chance_cell(decision, decision.verdict.chance.get(family)),
    }


def _score(decision: Decision, card: Scorecard) -> str:
    if card.accuracy is None:
        return DASH
    value = card.accuracy.value
    return in_percent(value) if words.is_share(words.score_noun(decision.goal)) else f"{value:.2f}"


def _difference(card: Scorecard, bounds: bool) -> str:
    gap = card.difference
    if gap is None:
        return DASH
    if bounds or gap.low is None or gap.high is None:
        return in_points(gap)
    half = max(gap.high - gap.value, gap.value - gap.low)
    if abs(gap.value) + half > 1:  # no difference is that large
        return interval(gap)
    return f"{signed_points(gap.value)} ±{100 * half:.1f}"

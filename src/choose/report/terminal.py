"""The decision for a terminal: the answer first, then all that stands behind it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from choose.judge.record import Decision, Gate
from choose.report import details
from choose.report.candidates import candidates
from choose.report.layout import bullets, note, pairs, section
from choose.report.plain import encodable
from choose.report.safe import clean
from choose.report.words import KINDS, percent, plural

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
            closing = Group(Text(), *_answer(self.decision))
            lines += console.render_lines(closing, options, pad=False)
        for line in lines:
            yield from encodable(line, options.encoding)
            yield Segment.line()


def _parts(decision: Decision, store: Path | None, width: int) -> Iterator[RenderableType]:
    verdict = decision.verdict
    yield from _answer(decision)
    yield from _data(decision)
    yield from candidates(decision, width)
    yield from _list("Why", verdict.reasons)
    if verdict.rejected:
        yield section("Rejected", pairs((r.candidate, r.why) for r in verdict.rejected))
    yield from _list("What would change this", verdict.flips)
    yield from _list("Where the next hour buys most", verdict.next)
    if decision.gates:
        yield section("Checks", pairs(map(_gate, decision.gates)))
    yield from details.weakest(decision)
    yield from details.steadiness(decision)
    yield from details.curves(decision)
    yield from details.differences(decision)
    yield from details.costs(decision)
    yield from _list("Left out", decision.left_out)
    yield from _list("About the data", decision.dataset.findings)
    yield section("Files and replay", *_replay(decision, store))


def _answer(decision: Decision) -> Iterator[RenderableType]:
    verdict = decision.verdict
    yield Text(clean(verdict.headline), style="bold")
    sure = [f"Confidence: {verdict.confidence}"]
    if verdict.probability_best is not None:
        sure.append(f"best with probability {verdict.probability_best:.2f}")
    if verdict.expected_regret is not None:
        sure.append(f"expected regret {percent(verdict.expected_regret)} points")
    yield Text(f"{KINDS[verdict.kind]} · {' · '.join(sure)}")
    if verdict.use_meanwhile != verdict.recommended:
        yield Text(f"Meanwhile use: {clean(verdict.use_meanwhile)}")
    if verdict.next:
        yield Text(f"Next: {clean(verdict.next[0])}")


def _data(decision: Decision) -> Iterator[RenderableType]:
    data, goal = decision.dataset, decision.goal
    parts = [clean(data.name), plural(data.rows, "row"), f"{data.test_rows:,} asked",
             plural(len(data.labels), "label"), clean(data.division)]
    if isinstance(target := goal.get("target"), float):
        parts.append(f"goal {percent(target)} of 100 right")
    if isinstance(margin := goal.get("margin"), float):
        parts.append(f"smallest gain that matters {percent(margin)} points")
    yield note(" · ".join(parts))
    if decision.looks > 1:
        yield note(f"These test rows have been judged in {decision.looks} different studies: "
                   "each further look makes a lucky winner likelier.")


def _list(title: str, sentences: tuple[str, ...]) -> Iterator[RenderableType]:
    if sentences:
        yield section(title, bullets(sentences))


def _gate(gate: Gate) -> tuple[Text, str]:
    mark, style = GATES[gate.status]
    return Text(mark, style=style), f"{gate.name}: {gate.evidence}"


def _replay(decision: Decision, store: Path | None) -> Iterator[RenderableType]:
    if store is not None:
        folder = clean(shlex.quote(str(store)))
        yield pairs([
            ("files", f"{folder} (decision.json, study.toml, trials/)"),
            ("judge again", f"choose report {folder}"),
            ("as JSON", f"choose report {folder} --json"),
        ])
    yield note(f"choose {clean(decision.choose)} · rule {clean(decision.rule)} · "
               f"data {clean(decision.dataset.fingerprint)}")

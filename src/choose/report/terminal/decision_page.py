"""A decision for the terminal: one screen or everything; and what changed since."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment

from choose.formatting import clean
from choose.report.markdown import render_markdown, render_versus_markdown
from choose.report.terminal.first_screen import FirstScreen
from choose.report.terminal.layout import encodable, trimmed
from choose.schema.decision import Decision
from choose.schema.study_changes import Versus


def render(decision: Decision, store: Path | None = None, newest: bool = False) -> RenderableType:
    """Return the first screen, laid out for the console that prints it."""
    more = "" if store is None else f"More: choose report {clean(shlex.quote(str(store)))} --full"
    if newest:
        more = "More: choose report --full. The page: choose open. Words: choose explain WORD."
    return FirstScreen(typed_here(decision, store, newest), more)


def render_full(
    decision: Decision, store: Path | None = None, newest: bool = False
) -> RenderableType:
    """Return the Markdown report, laid out for the console that prints it."""
    return Full(render_markdown(typed_here(decision, store, newest)))


def versus_page(versus: Versus) -> RenderableType:
    """Return the comparison of two studies, laid out for the console that prints it."""
    return Full(render_versus_markdown(versus))


def typed_here(decision: Decision, store: Path | None, newest: bool = False) -> Decision:
    """Put the path of the study into its commands, which may have been written elsewhere.

    The record is meant to be shared, so it holds no folder of this machine. The `newest` study
    needs no path to be continued.
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
        if words[1:4] == ["compare", "-c", str(store)]:
            words[1:4] = ["continue", *([] if newest else [str(store)])]
        return shlex.join(words)

    steps = tuple(
        step.model_copy(update={"command": typed(step.command)}) if step.command else step
        for step in decision.verdict.steps
    )
    verdict = decision.verdict.model_copy(update={"steps": steps})
    return decision.model_copy(update={"verdict": verdict})


@dataclass(frozen=True, slots=True)
class Full:
    """A Markdown report, in characters that the console can express."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the page out, without white space at the ends of lines."""
        page = Markdown(self.text, hyperlinks=False)
        for line in console.render_lines(page, options, pad=False):
            yield from encodable(trimmed(line), options.encoding)
            yield Segment.line()

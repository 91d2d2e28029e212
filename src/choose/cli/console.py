"""Have a person confirm what is sent to endpoints, before the first request."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from choose.formatting import clean
from choose.schema.decision import Decision, Expectation

if TYPE_CHECKING:
    from choose.schema.plan import Spending


def stdout() -> Console:
    """Return the console for answers; wide enough to be read where the width is unknown."""
    return Console(highlight=False)


def stderr() -> Console:
    """Return the console for messages."""
    return Console(stderr=True, highlight=False)


def working(doing: str) -> AbstractContextManager[object]:
    """Show on a terminal that work is going on; elsewhere nothing."""
    console = stderr()
    return console.status(f"{doing} …") if console.is_terminal else nullcontext()


def say_error(message: str) -> None:
    """Print one red line, with nothing in it that a terminal could obey."""
    stderr().print(Text(f"Error: {clean(message)}", style="bold red"), soft_wrap=True)


def say(message: str) -> None:
    """Print one plain line to stderr."""
    stderr().print(Text(clean(message)), soft_wrap=True)


class Consent:
    """Shows the plan and asks; `yes` is the answer given beforehand."""

    def __init__(self, yes: bool) -> None:
        self.yes = yes

    def __call__(self, spending: Spending) -> None:
        """Return if it may be sent.

        Raises:
            StudyError: if it may not, or there is no terminal to ask at.
        """
        from choose.errors import StudyError
        from choose.report.terminal.cost_tables import plan_lines

        for line in plan_lines(spending):
            say(line)
        if self.yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise StudyError(
                "Nothing was sent: there is no terminal to confirm the plan above at. Read it and "
                "add --yes."
            )
        if not typer.confirm("Send these requests?", err=True):
            raise StudyError("Nothing was sent, as you wished.")


def check(outputs: Sequence[Path] | None) -> None:
    """Refuse a file that could not be written, before anything is run."""
    from choose.report.write import check_output

    for path in outputs or ():
        check_output(path)


def write(
    decision: Decision,
    store: Path,
    outputs: Sequence[Path] | None,
    checks: Sequence[Expectation] = (),
) -> None:
    """Write each report and say where it is; `checks` are what a build expected."""
    if not outputs:
        return
    from choose.api.compare import texts
    from choose.report.write import write_report

    stored = texts(store)
    for path in outputs:
        write_report(decision, path, stored, checks)
        say(f"Report written: {path}")

"""Where the command line prints: answers to stdout, everything else to stderr."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.text import Text

from choose.report.safe import clean


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

"""Have a person confirm what is sent to endpoints, before the first request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from choose.sending import Spending


class Consent:
    """Shows the plan and asks; `yes` is the answer given beforehand."""

    def __init__(self, yes: bool) -> None:
        self.yes = yes

    def __call__(self, spending: Spending) -> None:
        """Return if it may be sent.

        Raises:
            StudyError: if it may not, or there is no terminal to ask at.
        """
        from choose.cli.screen import say
        from choose.errors import StudyError
        from choose.report.spending import plan_lines

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

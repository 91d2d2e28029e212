"""The files that a command was asked to write beside what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from choose.judge.expectations import Expectation
from choose.judge.record import Decision


def check(outputs: Sequence[Path] | None) -> None:
    """Refuse a file that could not be written, before anything is run."""
    from choose.report.outputs import check_output

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
    from choose import api
    from choose.cli.screen import say
    from choose.report.outputs import write_report

    texts = api.texts(store)
    for path in outputs:
        write_report(decision, path, texts, checks)
        say(f"Report written: {path}")

"""Consoles, messages, the consent to send requests, and the printing and writing of decisions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from choose.errors import ChooseError, StudyError
from choose.formatting import clean, harmless_json

if TYPE_CHECKING:
    from choose.cli.ci_gates import Gates
    from choose.report.write import Kind
    from choose.schema.decision import Decision
    from choose.schema.plan import Spending
    from choose.study.config import Study


def stdout() -> Console:
    return Console(highlight=False)


def stderr() -> Console:
    return Console(stderr=True, highlight=False)


@contextmanager
def working(task: str) -> Iterator[None]:
    with stderr().status(f"{task} …") if stderr().is_terminal else nullcontext():
        yield


def say_error(message: str) -> None:
    """Print one red line to stderr, without control characters."""
    _print(Text(f"Error: {clean(message)}", style="bold red"))


def say(message: str) -> None:
    """Print one line to stderr, without control characters."""
    _print(Text(clean(message)))


def _print(line: Text) -> None:
    """Print a line to stderr: on a terminal, which would cut words, it is wrapped between them."""
    console = stderr()
    console.print(line, soft_wrap=not console.is_terminal)


def print_record(record: str) -> None:
    """Print a record in JSON to stdout, without control characters."""
    typer.echo(harmless_json(record))


def ask_consent(spending: Spending, yes: bool) -> None:
    """Print the plan of requests and return if they may be sent; `yes` confirms in advance."""
    from choose.report.terminal.plan_page import plan_lines

    for line in plan_lines(spending):
        say(line)
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise StudyError(
            "Nothing was sent: confirming the plan above needs a terminal. Read the plan and "
            "add --yes."
        )
    if not typer.confirm("Send these requests?", err=True):
        raise StudyError("Nothing was sent: you declined.")


def check_outputs(
    kind: Kind,
    outputs: Sequence[Path] | None,
    inputs: Sequence[str | Path | None] = (),
    out: Path | None = None,
) -> None:
    """Refuse a file that may not or cannot be written, before anything runs.

    `inputs` are what the command reads; `out` is the store that it will write.
    """
    from choose.report.write import check_output
    from choose.store.store import check_destination

    for path in outputs or ():
        check_destination(check_output(kind, path), inputs, stores=(out,))


def inputs_of(study: Study, config: Path | None) -> list[str | Path | None]:
    """Return the files and folders that a study reads: rows, documents and settings."""
    from choose.schema.study_sections import FILES

    return [*(getattr(study.data, key) for key in FILES), config]


def show(
    decision: Decision,
    store: Path,
    *,
    as_json: bool,
    outputs: Sequence[Path],
    gates: Gates,
    full: bool = False,
) -> None:
    """Print a decision, then write its reports; the path of its page is the last line.

    What was decided is printed, and the gates hold, where no report can be drawn or written, on a
    full disk for example.
    """
    from choose.api.compare import write_page
    from choose.report.terminal.pages import render, render_full
    from choose.study.find_study_folder import stored_studies

    if as_json:
        print_record(decision.model_dump_json(by_alias=True, indent=1))
    else:
        newest = next(iter(stored_studies()), None)
        shown = render_full if full else render
        page = shown(decision, store, newest is not None and newest.path == str(store))
        stdout().print(page, crop=False)  # a command may be wider than the screen
    try:
        written = _write_reports(decision, store, outputs)
        gates.enforce(decision)
        if not written:
            raise typer.Exit(2)
    finally:
        try:
            say(f"Report: {write_page(decision, store)}")
        except ChooseError as error:
            say(f"No HTML report was written. {error}")


def _write_reports(decision: Decision, store: Path, outputs: Sequence[Path]) -> bool:
    """Write a decision to files, and return whether all could be written; an error is printed."""
    from choose.api.compare import texts
    from choose.report.write import write

    stored = texts(store) if outputs else {}
    whole = True
    for path in outputs:
        try:
            write("decision", decision, path, stored, store)
            say(f"Report written: {path}")
        except ChooseError as error:
            say_error(str(error))
            whole = False
    return whole

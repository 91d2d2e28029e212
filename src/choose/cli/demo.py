"""`choose demo`: the main job on the bundled sample."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from choose.cli import parse


def demo(
    out: Annotated[Path | None, typer.Option(help="Folder of the study.")] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time to spend; by default that of its study file, 285s."),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="Where to write the report; default: in the study."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only the decision record.")
    ] = False,
) -> None:
    """Compare strategies of every family on the support tickets that ship with choose."""
    from choose.cli.compare import Wanted, run
    from choose.cli.written import write

    overrides = {"grid": {"budget_seconds": parse.seconds(budget)}}
    with as_file(files("choose.data") / "samples" / "tickets" / "choose.toml") as study:
        wanted = Wanted(as_json, tuple(output or ()))
        outcome = run(None, study, overrides, out=out, wanted=wanted)
    if not output:
        write(outcome.decision, outcome.store, [outcome.store / "report.html"])

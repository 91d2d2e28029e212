"""`choose report`: judge again from finished trials, without any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from choose.cli.gates import Expect, FailUnder, Gates, GithubSummary


def report(
    store: Annotated[Path, typer.Argument(help="Folder that choose compare wrote.")],
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o", "--output", help="Also write report.html, .md, .json or .xml; repeatable."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only the decision record.")
    ] = False,
    expect: Expect = None,
    fail_under: FailUnder = None,
    github_summary: GithubSummary = False,
) -> None:
    """Show the decision of a study again; needs no model."""
    from choose import api
    from choose.cli.written import check, write

    check(output)
    gates = Gates(tuple(expect or ()), fail_under, github_summary)
    decision = api.report(store)
    gates.check([card.candidate for card in decision.scorecards])
    checks = gates.found(decision)
    write(decision, store, output, checks)
    if as_json:
        typer.echo(decision.model_dump_json(by_alias=True, indent=1))
    else:
        from choose.cli.screen import stdout
        from choose.report.terminal import render

        stdout().print(render(decision, store))
    gates.conclude(decision, checks)

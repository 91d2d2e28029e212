"""`choose report`: judge again from finished trials, without any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    store: Annotated[Path, typer.Argument(help="Folder that choose compare wrote.")],
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="Also write report.html, .md or .json; repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only the decision record.")
    ] = False,
) -> None:
    """Show the decision of a study again; needs no model."""
    from choose import api
    from choose.cli.written import check, write

    check(output)
    decision = api.report(store)
    write(decision, store, output)
    if as_json:
        typer.echo(decision.model_dump_json(by_alias=True, indent=1))
        return
    from choose.cli.screen import stdout
    from choose.report.terminal import render

    stdout().print(render(decision, store))

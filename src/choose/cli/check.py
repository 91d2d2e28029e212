"""`choose check`: the audit of a labelled set, before any model runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from choose.cli import options


@options.takes(options.DATA_FLAGS)
def check(
    context: typer.Context,
    data: options.Data = None,
    margin: options.Margin = None,
    config: options.Config = None,
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="Also write issues.csv, .json or .md; repeatable."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Audit a labelled set before any model runs: size, labels, leaks, drift, what to do first."""
    from choose import api
    from choose.cli.screen import say, stdout, working
    from choose.report.check.outputs import check_audit_output, write_audit

    for path in output or ():
        check_audit_output(path)
    with working("Looking at the rows"):
        found = api.check(
            data,
            study_file=config or options.found(),
            overrides={"data": options.given(context), "goal": {"margin": margin}},
        )
    if as_json:
        typer.echo(found.record.model_dump_json(by_alias=True, indent=1))
    else:
        from choose.report.check.terminal import check_page

        stdout().print(check_page(found.record))
    for path in output or ():
        write_audit(found.record, path, found.texts)
        say(f"Written: {path}")

"""`choose check`: the audit of a labelled set, before any model runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from choose.cli import options
from choose.cli.options import DATA_FLAGS, Data, given, takes


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
    from choose.api.plan import check as audit
    from choose.cli.console import say, stdout, working
    from choose.report.write import check_audit_output, write_audit

    for path in output or ():
        check_audit_output(path)
    with working("Looking at the rows"):
        found = audit(
            data,
            study_file=config or options.found(),
            overrides={"data": options.given(context), "goal": {"margin": margin}},
        )
    if as_json:
        typer.echo(found.record.model_dump_json(by_alias=True, indent=1))
    else:
        from choose.report.terminal.check_page import check_page

        stdout().print(check_page(found.record))
    for path in output or ():
        write_audit(found.record, path, found.texts)
        say(f"Written: {path}")


@takes(DATA_FLAGS)
def init(
    context: typer.Context,
    data: Data = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path(
        "choose.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write a commented study file from the columns, labels and dates of your rows."""
    from choose.api.plan import draft
    from choose.cli.console import say
    from choose.errors import StudyError
    from choose.files import write_text

    if out.suffix != ".toml" or out.is_dir():
        raise StudyError(f"{str(out)!r} is no name for a study file. Write --out NAME.toml.")
    if out.exists() and not force:
        raise StudyError(f"{str(out)!r} is there already. Add --force to overwrite it, or --out.")
    write_text(out, draft(data, overrides={"data": given(context)}))
    named = "" if out == Path("choose.toml") else f" -c {out}"
    say(f"Written: {out}. Read it, then: choose check{named}, choose compare{named}")

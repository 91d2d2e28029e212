"""`choose check` audits a labelled set."""

from pathlib import Path
from typing import Annotated

import typer

from choose.cli.options import (
    DATA_FLAGS,
    GOAL_FLAGS,
    SET_FLAG,
    AsJson,
    Config,
    Data,
    overrides,
    takes,
)


@takes({**DATA_FLAGS, "metric": GOAL_FLAGS["metric"], **SET_FLAG})
def check(
    context: typer.Context,
    data: Data = None,
    config: Config = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Also write issues.csv, .json or .md. Repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find label errors, duplicates and leaks in a dataset."""
    from choose.api.plan import check as audit
    from choose.api.plan import resolve
    from choose.cli.console import check_outputs, inputs_of, print_record, say, stdout, working
    from choose.report.write import write

    study = resolve(data, config, overrides(context))
    check_outputs("check", output, inputs_of(study, config))
    with working("Auditing the rows"):
        result = audit(study, config)
    if as_json:
        print_record(result.record.model_dump_json(by_alias=True, indent=1))
    else:
        from choose.report.blocks import check_blocks
        from choose.report.terminal.pages import Page

        stdout().print(Page(check_blocks(result.record)))
    for path in output or ():
        write("check", result.record, path, result.texts)
        say(f"Written: {path}")

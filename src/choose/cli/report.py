"""`choose report`: judge again from finished trials, without any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from choose.cli.expectations import Expect, FailUnder, Gates, GithubSummary


def report(
    store: Annotated[Path, typer.Argument(help="Folder that choose compare wrote.")],
    other: Annotated[
        Path | None,
        typer.Argument(help="A second study: say what changed from the first to this one."),
    ] = None,
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
    """Show the decision of a study again, or compare two studies; needs no model."""
    gates = Gates(tuple(expect or ()), fail_under, github_summary)
    if other is None:
        _one(store, output, as_json, gates)
    else:
        _both((store, other), output, as_json, gates)


def _one(store: Path, output: list[Path] | None, as_json: bool, gates: Gates) -> None:
    from choose.api.compare import report
    from choose.cli.console import check, write

    check(output)
    decision = report(store)
    gates.check([card.candidate for card in decision.scorecards])
    checks = gates.found(decision)
    write(decision, store, output, checks)
    if as_json:
        typer.echo(decision.model_dump_json(by_alias=True, indent=1))
    else:
        from choose.cli.console import stdout
        from choose.report.terminal.decision_page import render

        stdout().print(render(decision, store))
    gates.conclude(decision, checks)


def _both(
    stores: tuple[Path, Path], output: list[Path] | None, as_json: bool, gates: Gates
) -> None:
    from choose.api.compare import compare_stores
    from choose.cli.console import say, stdout
    from choose.errors import StudyError
    from choose.report.terminal.comparison_page import versus_page
    from choose.report.write import check_versus_output, write_versus

    if gates != Gates():
        raise StudyError(
            "--expect, --fail-under and --github-summary are about one study. "
            f"Leave them out, or name one folder: choose report {stores[1]} …"
        )
    for path in output or ():
        check_versus_output(path)
    versus = compare_stores(*stores)
    for path in output or ():
        write_versus(versus, path)
        say(f"Report written: {path}")
    if as_json:
        typer.echo(versus.model_dump_json(by_alias=True, indent=1))
    else:
        stdout().print(versus_page(versus))

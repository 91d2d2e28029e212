"""`choose report` shows a finished study again or compares two; it needs no model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from choose.cli.build_expectations import Expect, FailUnder, Gates, GithubSummary
from choose.cli.options import AsJson, Output, Store


def report(
    store: Store,
    other: Annotated[
        Path | None,
        typer.Argument(help="A second study: show what changed from the first to this one."),
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
    expect: Expect = None,
    fail_under: FailUnder = None,
    github_summary: GithubSummary = False,
) -> None:
    """Show a stored decision again, or compare two studies."""
    gates = Gates(tuple(expect or ()), fail_under, github_summary)
    if other is None:
        report_study(store, output, as_json, gates)
    else:
        report_change((store, other), output, as_json, gates)


def report_study(store: Path, output: list[Path] | None, as_json: bool, gates: Gates) -> None:
    """Judge the finished trials of a study again and print the decision."""
    from choose.api.compare import report
    from choose.cli.console import check_outputs, print_decision, write_reports

    check_outputs("decision", output, out=store)
    decision = report(store)
    gates.check([card.candidate for card in decision.scorecards])
    checks = gates.evaluate(decision)
    write_reports(decision, store, output, checks)
    print_decision(decision, store, as_json)
    gates.enforce(decision, checks)


def report_change(
    stores: tuple[Path, Path], output: list[Path] | None, as_json: bool, gates: Gates
) -> None:
    """Print what changed between two studies, on the rows that both evaluated."""
    from choose.api.compare import compare_stores
    from choose.cli.console import check_outputs, print_record, say, stdout
    from choose.errors import StudyError
    from choose.report.terminal.study_comparison_page import versus_page
    from choose.report.write import write

    if gates != Gates():
        raise StudyError(
            "--expect, --fail-under and --github-summary are about one study. "
            f"Leave them out, or name one folder: choose report {stores[1]} …"
        )
    for store in stores:
        check_outputs("comparison", output, out=store)
    versus = compare_stores(*stores)
    for path in output or ():
        write("comparison", versus, path)
        say(f"Report written: {path}")
    if as_json:
        print_record(versus.model_dump_json(by_alias=True, indent=1))
    else:
        stdout().print(versus_page(versus))

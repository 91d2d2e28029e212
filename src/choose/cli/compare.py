"""`choose compare`: the product."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from choose.cli import options
from choose.cli.expectations import Expect, FailUnder, Gates, GithubSummary
from choose.cli.options import seconds

if TYPE_CHECKING:
    from choose.api.compare import Outcome


@options.takes(*options.STUDY_FLAGS)
def compare(
    context: typer.Context,
    data: options.Data = None,
    config: options.Config = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study. Default: .choose/…")
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o", "--output", help="Also write report.html, .md, .json or .xml; repeatable."
        ),
    ] = None,
    as_json: options.AsJson = False,
    expect: Expect = None,
    fail_under: FailUnder = None,
    github_summary: GithubSummary = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send to endpoints what is planned, without asking.")
    ] = False,
) -> None:
    """Run every strategy on your labelled set and say which one to bet on."""
    overrides, strategies = options.study(context), context.params["strategy"]
    gates = Gates(tuple(expect or ()), fail_under, github_summary)
    wanted = Wanted(as_json, tuple(output or ()), gates, yes)
    run(data, config or options.found(), overrides, out=out, strategies=strategies, wanted=wanted)


@dataclass(frozen=True, slots=True)
class Wanted:
    """In which forms the answer is wanted (as JSON or to be read, which files); what fails.

    `yes` is whether what goes to endpoints is confirmed beforehand.
    """

    as_json: bool = False
    outputs: tuple[Path, ...] = ()
    gates: Gates = field(default_factory=Gates)
    yes: bool = False


def run(
    data: str | None,
    config: Path | None,
    overrides: dict[str, dict[str, Any]],
    *,
    out: Path | None,
    strategies: list[str] | None = None,
    wanted: Wanted | None = None,
) -> Outcome:
    """Compare and print; exit with 130 if interrupted, 3 if a gate is not met."""
    from choose.api.compare import run_study as run_study
    from choose.api.plan import names, resolve
    from choose.cli.console import Consent, check, say, stderr, stdout, write
    from choose.report.terminal.live_progress import LiveProgress

    wanted = wanted or Wanted()
    check(wanted.outputs)
    study = resolve(data, config, overrides, strategies or ())
    wanted.gates.check(names(study))
    with LiveProgress(stderr()) as observer:
        outcome = run_study(study, out=out, observer=observer, approve=Consent(wanted.yes))
    checks = wanted.gates.found(outcome.decision)
    if wanted.as_json:
        typer.echo(outcome.decision.model_dump_json(by_alias=True, indent=1))
    else:
        from choose.report.terminal.decision_page import render

        stdout().print(render(outcome.decision, outcome.store))
    write(outcome.decision, outcome.store, wanted.outputs, checks)
    if outcome.interrupted:
        say(
            f"Interrupted: what was finished is judged above. Run the same command again with "
            f"--out {outcome.store} to go on."
        )
        raise typer.Exit(130)
    wanted.gates.conclude(outcome.decision, checks)
    return outcome


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
    from choose.cli.console import write

    overrides = {"grid": {"budget_seconds": seconds(budget)}}
    with as_file(files("choose.data") / "samples" / "tickets" / "choose.toml") as study:
        wanted = Wanted(as_json, tuple(output or ()))
        outcome = run(None, study, overrides, out=out, wanted=wanted)
    if not output:
        write(outcome.decision, outcome.store, [outcome.store / "report.html"])

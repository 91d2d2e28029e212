"""`choose compare`: the product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from choose.cli import parse

if TYPE_CHECKING:
    from choose.api import Outcome

DATA = "Data"
WHO = "Candidates"
GRID = "Grid"


def compare(
    data: Annotated[
        str | None, typer.Argument(help="CSV, TSV, JSONL or Parquet file, or sample:NAME.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="File with the rows to ask.", rich_help_panel=DATA)
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the text; several, joined: subject,body.", rich_help_panel=DATA
        ),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the label.", rich_help_panel=DATA)
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(help="Column of the timestamp.", rich_help_panel=DATA)
    ] = None,
    group_column: Annotated[
        str | None, typer.Option(help="Rows of one group are never divided.", rich_help_panel=DATA)
    ] = None,
    annotator_column: Annotated[
        str | None, typer.Option(help="Column of the annotator.", rich_help_panel=DATA)
    ] = None,
    test_rows: Annotated[
        int | None, typer.Option(help="Ask only N test rows, stratified.", rich_help_panel=DATA)
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Folds where there is no test file.", rich_help_panel=DATA)
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            "-s",
            help="A strategy to compare; repeatable. Default: all installed.",
            rich_help_panel=WHO,
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model that is prompted.", rich_help_panel=WHO)
    ] = None,
    tune: Annotated[
        str | None, typer.Option(help="Model that is fine-tuned.", rich_help_panel=WHO)
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Model that embeds.", rich_help_panel=WHO)
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="Endpoint that serves --model: https://HOST/v1.", rich_help_panel=WHO),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            help="Variable, in the environment or .env, with the endpoint's key.",
            rich_help_panel=WHO,
        ),
    ] = None,
    usd_per_million: Annotated[
        str | None,
        typer.Option(
            help="Price of the endpoint's tokens: IN,OUT or IN,CACHED,OUT.", rich_help_panel=WHO
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Repetitions of each candidate.", rich_help_panel=GRID)
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(help="Pool sizes: rows or shares, such as 1/8,1/2,1.", rich_help_panel=GRID),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(help="Rates of added label noise, such as 0,0.1,0.2.", rich_help_panel=GRID),
    ] = None,
    thorough: Annotated[
        bool | None,
        typer.Option(
            "--thorough",
            help="Repeat every part of the grid for dear candidates too.",
            rich_help_panel=GRID,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time to spend: 90s, 10m, 2h. Default 10m.", rich_help_panel=GRID),
    ] = None,
    max_usd: Annotated[
        float | None,
        typer.Option(help="Most dollars to spend at endpoints.", rich_help_panel=GRID),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(help="Ask endpoints the same so many times.", rich_help_panel=GRID),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Accuracy that is good enough, such as 0.9.", rich_help_panel=GRID),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Smallest gain that matters, such as 0.02.", rich_help_panel=GRID),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Study file; flags override it. Default: choose.toml, if there.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study. Default: .choose/…")
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="Also write report.html, .md or .json; repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only the decision record.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send to endpoints what is planned, without asking.")
    ] = False,
) -> None:
    """Run every strategy on your labelled set and say which one to bet on."""
    served, endpoints = parse.endpoint(model, base_url, api_key_env, usd_per_million)
    overrides: dict[str, dict[str, Any]] = {
        "data": {
            "test": test,
            "text_column": text_column,
            "label_column": label_column,
            "time_column": time_column,
            "group_column": group_column,
            "annotator_column": annotator_column,
            "test_rows": test_rows,
            "folds": folds,
        },
        "models": {"model": served, "tune": tune, "encoder": encoder},
        "endpoints": endpoints,
        "grid": {
            "seeds": seeds,
            "sizes": parse.sizes(sizes),
            "noise": parse.rates(noise),
            "thorough": thorough,
            "budget_seconds": parse.seconds(budget),
            "max_usd": max_usd,
            "repeats": repeats,
        },
        "goal": {"target": target, "margin": margin},
    }
    wanted = Wanted(as_json, tuple(output or ()), yes)
    run(data, config or found(), overrides, out=out, strategies=strategy, wanted=wanted)


@dataclass(frozen=True, slots=True)
class Wanted:
    """In which forms the answer is wanted: printed as JSON or to be read, and which files.

    `yes` is whether what goes to endpoints is confirmed beforehand.
    """

    as_json: bool = False
    outputs: tuple[Path, ...] = ()
    yes: bool = False


def found() -> Path | None:
    """Return the study file of the working folder, if there is one."""
    here = Path("choose.toml")
    return here if here.is_file() else None


def run(
    data: str | None,
    config: Path | None,
    overrides: dict[str, dict[str, Any]],
    *,
    out: Path | None,
    strategies: list[str] | None = None,
    wanted: Wanted | None = None,
) -> Outcome:
    """Compare, print the report or the record, and exit with 130 if interrupted."""
    from choose import api
    from choose.cli.consent import Consent
    from choose.cli.screen import say, stderr, stdout
    from choose.cli.written import check, write
    from choose.report.progress import LiveProgress

    wanted = wanted or Wanted()
    check(wanted.outputs)
    with LiveProgress(stderr()) as observer:
        outcome = api.compare(
            data,
            study_file=config,
            overrides=overrides,
            strategies=strategies or (),
            out=out,
            observer=observer,
            approve=Consent(wanted.yes),
        )
    if wanted.as_json:
        typer.echo(outcome.decision.model_dump_json(by_alias=True, indent=1))
    else:
        from choose.report.terminal import render

        stdout().print(render(outcome.decision, outcome.store))
    write(outcome.decision, outcome.store, wanted.outputs)
    if outcome.interrupted:
        say(
            f"Interrupted: what was finished is judged above. Run the same command again with "
            f"--out {outcome.store} to go on."
        )
        raise typer.Exit(130)
    return outcome

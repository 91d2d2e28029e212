"""`choose plan`: what compare would run, or what to label before there is any data."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from choose.cli import options
from choose.cli.options import only_without_data, wishes

BEFORE = "Before there is data (--no-data)"


@options.takes(*options.STUDY_FLAGS)
def plan(
    context: typer.Context,
    data: options.Data = None,
    config: options.Config = None,
    no_data: Annotated[
        bool,
        typer.Option("--no-data", help="Say what to label first.", rich_help_panel=BEFORE),
    ] = False,
    classes: Annotated[
        int | None, typer.Option(help="How many labels there will be.", rich_help_panel=BEFORE)
    ] = None,
    gain: Annotated[
        float | None,
        typer.Option(help="Gain to show, in points: 3. Default 2.", rich_help_panel=BEFORE),
    ] = None,
    minutes_per_label: Annotated[
        float | None, typer.Option(help="Minutes a label takes.", rich_help_panel=BEFORE)
    ] = None,
    hourly_rate: Annotated[
        float | None, typer.Option(help="Dollars an hour.", rich_help_panel=BEFORE)
    ] = None,
    usd: Annotated[
        float | None, typer.Option(help="Dollars to spend on labels.", rich_help_panel=BEFORE)
    ] = None,
    forecast: Annotated[
        bool,
        typer.Option(
            "--forecast/--no-forecast",
            help="Rehearse each candidate for some seconds to say what it will take.",
        ),
    ] = True,
    as_json: options.AsJson = False,
) -> None:
    """Say what compare would run and take, or with --no-data what to label."""
    names = ("classes", "gain", "minutes_per_label", "hourly_rate", "usd")
    asked = {name: context.params[name] for name in names}
    if no_data:
        before({**asked, "target": context.params["target"]}, data, as_json)
        return
    only_without_data(asked)
    study = {
        "study_file": config or options.found(),
        "overrides": options.study(context),
        "rehearse": forecast,
    }
    grid(data, study, context.params["strategy"], as_json)


def before(asked: dict[str, float | int | None], data: str | None, as_json: bool) -> None:
    """Print rows, hours and dollars from stated assumptions."""
    from choose.cli.console import stdout
    from choose.judge.sample_size import before_data
    from choose.report.terminal.plan_page import before_data_page

    found = before_data(wishes(asked, data))
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        stdout().print(before_data_page(found))


def grid(
    data: str | None, study: dict[str, Any], strategies: list[str] | None, as_json: bool
) -> None:
    """Print the trials that compare would run."""
    import json
    from dataclasses import asdict

    from choose.api.plan import plan_study
    from choose.cli.console import stdout, working
    from choose.report.terminal.cost_tables import sending_record
    from choose.report.terminal.plan_page import grid_page, trials_by_part

    with working("Rehearsing each candidate" if study["rehearse"] else "Laying out the trials"):
        found = plan_study(data, strategies=strategies or (), **study)
    if as_json:
        record = {
            "schema": 1,
            "name": found.dataset.name,
            "fingerprint": found.dataset.fingerprint,
            "rows": len(found.dataset.examples),
            "asked": len(found.dataset.asked),
            "division": found.dataset.division,
            "budget_seconds": found.budget,
            "trials": trials_by_part(found.jobs),
            "left_out": list(found.refusals),
            "forecast": [asdict(one) for one in found.forecasts] or None,
            "sending": sending_record(found.spending),
        }
        typer.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    stdout().print(grid_page(found))

"""`choose plan`: the trials that compare would run, or what to label before there are data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from choose.cli.options import (
    READERS,
    STUDY_FLAGS,
    AsJson,
    Config,
    Data,
    overrides,
    takes,
)
from choose.errors import StudyError
from choose.study.study_file import study_file_here

if TYPE_CHECKING:
    from choose.schema.plan import Round, Wishes

PANEL = "Before there are data (--no-data)"


def _assumption(kind: type, text: str) -> Any:
    return Annotated[kind | None, typer.Option(help=text, rich_help_panel=PANEL)]


ASSUMPTIONS = {
    "classes": _assumption(int, "Number of labels. Default: 5."),
    "gain": _assumption(float, "Gain to detect, in points: 3. Default: 2."),
    "minutes_per_label": _assumption(float, "Minutes to label one row."),
    "hourly_rate": _assumption(float, "Dollars per hour of labelling."),
    "usd": _assumption(float, "Budget for labels, in dollars."),
    "tokens": _assumption(int, "Tokens of a request to an API. Default: 300."),
}


@takes({**STUDY_FLAGS, **ASSUMPTIONS})
def plan(
    context: typer.Context,
    data: Data = None,
    config: Config = None,
    no_data: Annotated[
        bool,
        typer.Option("--no-data", help="Plan how many rows to label first.", rich_help_panel=PANEL),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what compare would run, for how long and what it costs.

    With --no-data, show how many rows to label; with --volume too, when a small model pays.
    """
    assumptions = {name: context.params[name] for name in ASSUMPTIONS}
    if no_data:
        given = {name: context.params[name] for name in ("usd_per_hour", "usd_per_million")}
        read = {name: READERS[name][0](context.params[name]) for name in ("target", "volume")}
        plan_before_data(wishes({**assumptions, **given, **read}, data), as_json)
        return
    for name, value in assumptions.items():
        if value is not None:
            raise StudyError(
                f"--{name.replace('_', '-')} is for plans without data. Add --no-data, or leave "
                "it out; with data, costs belong in the study file."
            )
    settings = {
        "study_file": config or study_file_here(),
        "overrides": overrides(context),
    }
    plan_trials(data, settings, context.params["strategy"], as_json)


def wishes(flags: Mapping[str, Any], data: str | None) -> Wishes:
    """Check the assumptions of a plan without data; `gain` is in points."""
    from choose.models.endpoints.providers import token_prices
    from choose.schema.plan import Wishes

    if data is not None:
        raise StudyError(f"--no-data plans without data, and {data!r} was given. Leave one out.")
    gain = flags["gain"] if flags["gain"] is not None else 2.0
    if flags["classes"] is not None and not 2 <= flags["classes"] <= 10_000:
        raise StudyError("--classes must be the number of labels: 2 or more.")
    if not 0.5 <= gain <= 30:
        raise StudyError(f"--gain {gain:g} is in points, from 0.5 to 30. Write 3 for 3 points.")
    target = flags["target"]
    if target is not None and not 0 < target < 1:
        raise StudyError(f"--target {target:g} is not a share. Write 0.9 for 90 of 100 right.")
    for name in ("minutes_per_label", "hourly_rate", "usd", "tokens", "usd_per_hour"):
        value = flags[name]
        if value is not None and not 0 < value < 1e9:
            raise StudyError(f"--{name.replace('_', '-')} {value:g} must be above 0.")
    if flags["usd"] is not None and flags["hourly_rate"] is None:
        raise StudyError("--usd needs --hourly-rate (and --minutes-per-label).")
    known = {name: value for name, value in flags.items() if name != "usd_per_million"}
    if len(prices := flags["usd_per_million"] or ()) > 1:
        raise StudyError("--no-data compares one API: give --usd-per-million once.")
    known["prices"] = token_prices(*prices) if prices else None
    return Wishes.model_validate({**known, "gain": gain / 100})


def plan_before_data(assumptions: Wishes, as_json: bool) -> None:
    """Print the rows, hours and dollars that labelling takes."""
    from choose.cli.console import print_record, stdout
    from choose.judge.sample_size import before_data
    from choose.report.terminal.plan_page import before_data_page

    labelling = before_data(assumptions)
    if as_json:
        print_record(labelling.model_dump_json(indent=1))
    else:
        stdout().print(before_data_page(labelling))


def plan_trials(
    data: str | None, settings: dict[str, Any], strategies: list[str] | None, as_json: bool
) -> None:
    """Print the rounds that compare would run, with forecasts of time and money."""
    import json

    from choose.api.plan import plan_study
    from choose.cli.console import print_record, stdout, working
    from choose.report.terminal.plan_page import grid_page, sending_record

    with working("Listing the rounds"):
        grid = plan_study(data, strategies=strategies or (), **settings)
    if not as_json:
        stdout().print(grid_page(grid))
        return
    record = {
        "schema": 1,
        "name": grid.dataset.name,
        "fingerprint": grid.dataset.fingerprint,
        "rows": len(grid.dataset.examples),
        "asked": len(grid.dataset.asked),
        "division": grid.dataset.division,
        "budget_seconds": grid.budget,
        "rounds": [
            round_record(one, seconds)
            for one, seconds in zip(grid.rounds, grid.reach.seconds, strict=True)
        ],
        "stored": grid.stored,
        "measured": grid.measured,
        "left_out": [refusal.model_dump(mode="json") for refusal in grid.refusals],
        "learned": dict(grid.reach.learned),
        "answered": dict(grid.reach.asked),
        "sending": sending_record(grid.spending),
    }
    print_record(json.dumps(record, indent=1, ensure_ascii=False))


def round_record(one: Round, seconds: Mapping[str, float | None]) -> dict[str, Any]:
    """Return a round as plain values for JSON, with the forecast by candidate."""
    return {
        "number": one.number,
        "part": one.part,
        "rows": one.rows,
        "ask": one.ask or None,
        "trials": dict(Counter(job.trial.candidate for job in one.jobs)),
        "seconds": dict(seconds),
    }

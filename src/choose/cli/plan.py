"""`choose check` audits rows; `choose plan` shows what would run, or what to label before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from choose.cli.options import (
    DATA_FLAGS,
    GOAL_FLAGS,
    SET_FLAG,
    STUDY_FLAGS,
    AsJson,
    Config,
    Data,
    overrides,
    takes,
)
from choose.errors import StudyError
from choose.models.endpoints.provider_names import token_prices
from choose.outside_values import number, plain_reason, shown

if TYPE_CHECKING:
    from choose.schema.plan import Round, Wishes
    from choose.study.resolve_study import Overrides


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


PANEL = "Before there are data (--no-data)"


def _assumption(takes: str, text: str) -> Any:
    return Annotated[str | None, typer.Option(metavar=takes, help=text, rich_help_panel=PANEL)]


ASSUMPTIONS = {
    "classes": _assumption("N", "Number of labels (default: 5)."),
    "gain": _assumption("POINTS", "Gain to detect, in points: 3 (default: 2)."),
    "minutes_per_label": _assumption("MINUTES", "Minutes to label one row."),
    "hourly_rate": _assumption("DOLLARS", "Dollars for an hour of labelling."),
    "tokens": _assumption("N", "Tokens of a request to an API (default: 300)."),
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
    flags = context.params
    assumed = {name: flags[name] for name in ASSUMPTIONS if flags[name] is not None}
    if no_data:
        if data is not None:
            raise StudyError(f"--no-data is without data, and {data!r} was given. Leave one out.")
        also = ("target", "volume", "usd_per_hour")  # flags of a study
        both = {name: flags[name] for name in also if flags[name] is not None}
        print_before_data(wishes({**assumed, **both}, flags["usd_per_million"] or ()), as_json)
    elif assumed:
        raise StudyError(
            f"--{next(iter(assumed)).replace('_', '-')} is for plans without data. Add --no-data, "
            "or leave it out; with data, costs belong in the study file."
        )
    else:
        print_rounds(data, config, overrides(context), flags["strategy"] or (), as_json)


def wishes(flags: Mapping[str, str], prices: Sequence[str]) -> Wishes:
    from choose.schema.plan import Wishes

    if len(prices) > 1:
        raise StudyError("--no-data compares one API: give --usd-per-million once.")
    known: dict[str, Any] = {"prices": token_prices(*prices)} if prices else {}
    known["gain"] = number(flags.get("gain", 2), "--gain, in points,", 0.5, 30) / 100
    try:
        return Wishes.model_validate({**flags, **known})
    except ValidationError as invalid:
        error = invalid.errors()[0]
        flag = str(error["loc"][0]).replace("_", "-")
        raise StudyError(
            f"--{flag} {shown(error['input'])} cannot be used: {plain_reason(error)}."
        ) from invalid


def print_before_data(assumptions: Wishes, as_json: bool) -> None:
    from choose.cli.console import print_record, stdout
    from choose.judge.before_data import before_data
    from choose.report.terminal.plan_page import before_data_page

    labelling = before_data(assumptions)
    if as_json:
        print_record(labelling.model_dump_json(indent=1))
    else:
        stdout().print(before_data_page(labelling))


def print_rounds(
    data: str | None,
    config: Path | None,
    settings: Overrides,
    strategies: Sequence[str],
    as_json: bool,
) -> None:
    from choose.api.plan import plan_study, resolve
    from choose.cli.console import print_record, stdout, working
    from choose.report.terminal.plan_page import grid_page, sending_record

    with working("Listing the rounds"):
        grid = plan_study(resolve(data, config, settings, strategies), config)
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
        "budget": grid.budget,
        "rounds": list(map(round_record, grid.rounds, grid.reach.seconds)),
        "stored": grid.stored,
        "measured": grid.measured,
        "left_out": [refusal.model_dump(mode="json") for refusal in grid.refusals],
        "learned": dict(grid.reach.learned),
        "answered": dict(grid.reach.asked),
        "sending": sending_record(grid.spending),
    }
    print_record(json.dumps(record, indent=1, ensure_ascii=False))


def round_record(one: Round, seconds: Mapping[str, float | None]) -> dict[str, Any]:
    return {
        "number": one.number,
        "part": one.part,
        "rows": one.rows,
        "ask": one.ask or None,
        "trials": dict(Counter(job.trial.candidate for job in one.jobs)),
        "seconds": dict(seconds),
    }

"""`choose compare`: the product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from choose.cli import options

if TYPE_CHECKING:
    from choose.api import Outcome


def compare(
    context: typer.Context,
    data: options.Data = None,
    test: options.Test = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    time_column: options.TimeColumn = None,
    group_column: options.GroupColumn = None,
    annotator_column: options.AnnotatorColumn = None,
    test_rows: options.TestRows = None,
    folds: options.Folds = None,
    strategy: options.Strategies = None,
    model: options.Model = None,
    tune: options.Tune = None,
    encoder: options.Encoder = None,
    seeds: options.Seeds = None,
    sizes: options.Sizes = None,
    noise: options.Noise = None,
    thorough: options.Thorough = None,
    budget: options.Budget = None,
    target: options.Target = None,
    margin: options.Margin = None,
    config: options.Config = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study. Default: .choose/…")
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="Also write report.html, .md or .json; repeatable."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Run every strategy on your labelled set and say which one to bet on."""
    overrides: dict[str, dict[str, Any]] = {
        "data": options.given(context),
        "models": options.given(context, options.MODEL_FLAGS),
        "grid": options.grid(context),
        "goal": options.given(context, options.GOAL_FLAGS),
    }
    wanted = Wanted(as_json, tuple(output or ()))
    run(data, config or options.found(), overrides, out=out, strategies=strategy, wanted=wanted)


@dataclass(frozen=True, slots=True)
class Wanted:
    """In which forms the answer is wanted: printed as JSON or to be read, and which files."""

    as_json: bool = False
    outputs: tuple[Path, ...] = ()


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

"""The commands, in the order a user meets them."""

from __future__ import annotations

import typer

from choose.cli.check import check, init
from choose.cli.compare import compare, demo
from choose.cli.export import export, predict
from choose.cli.inventory import models, strategies
from choose.cli.plan import plan
from choose.cli.report import report

app = typer.Typer(
    help="Prompt, retrieve or fine-tune? Evidence for your labelled task.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


app.command()(init)


app.command()(check)


app.command()(plan)


app.command()(compare)


app.command()(report)


app.command()(export)


app.command()(predict)


app.command()(strategies)


app.add_typer(models, name="models")


app.command()(demo)


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Prompt, retrieve or fine-tune? Evidence for your labelled task."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"choose {installed('choose-llm')}")
        raise typer.Exit

"""The Typer application: its commands, in the order in which help lists them."""

from __future__ import annotations

import typer

from choose.cli.check import check, init
from choose.cli.compare import compare, demo
from choose.cli.export import export, predict
from choose.cli.models_and_strategies import models, strategies
from choose.cli.plan import plan
from choose.cli.report import report

app = typer.Typer(
    help="Prompt, retrieve or fine-tune? Compare text classifiers on your labelled data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

for command in (init, check, plan, compare, report, export, predict, strategies):
    app.command()(command)
app.add_typer(models, name="models")
app.command()(demo)


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Prompt, retrieve or fine-tune? Compare text classifiers on your labelled data."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"choose {installed('choose-llm')}")
        raise typer.Exit

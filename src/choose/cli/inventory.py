"""`choose models`: which weights are embedded and which are here; fetch them; clear kept work."""

from __future__ import annotations

import json
from dataclasses import asdict
from inspect import Parameter
from typing import Annotated

import typer

from choose.cli.options import AsJson

models = typer.Typer(
    help="List the weights that choose knows, fetch them, or clear work that is kept.",
    rich_markup_mode=None,
)


@models.callback(invoke_without_command=True)
def listing(
    context: typer.Context,
    paths: Annotated[bool, typer.Option("--paths", help="Show the folders too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the embedded weights and what is cached of them."""
    if context.invoked_subcommand is not None:
        return
    from choose.cli.console import stdout
    from choose.models.results.cache import kept
    from choose.models.weights.inventory import inventory

    found, work = inventory(paths), kept(paths)
    if as_json:
        record = {
            "schema": 1,
            "models": [entry.record() for entry in found],
            "kept": work.record(),
        }
        typer.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    from choose.report.terminal.inventory_page import models_page

    stdout().print(models_page(found, work))


@models.command()
def fetch(
    specs: Annotated[
        list[str] | None, typer.Argument(help="Model specs. Default: the embedded ones.")
    ] = None,
) -> None:
    """Fetch weights once, verify and cache them, so that later runs need no network."""
    from choose.cli.console import say
    from choose.models.weights.inventory import EMBEDDED
    from choose.models.weights.resolve import resolve

    for spec in specs or [model.spec for model in EMBEDDED]:
        resolve(spec)
        say(f"Here: {spec}")


@models.command()
def clear() -> None:
    """Forget the embeddings and scores that studies kept for later ones; weights stay."""
    from choose.cli.console import say
    from choose.models.results.cache import clear as forget
    from choose.models.results.cache import kept

    before = kept().mb
    forget()
    say(f"Cleared {before:.0f} MB of kept work.")


def strategies(as_json: AsJson = False) -> None:
    """List the installed strategies with their hyperparameters, defaults and variants."""
    from choose.cli.console import stdout
    from choose.strategy import available, describe

    found = [describe(name) for name in available()]
    if as_json:
        record = {"schema": 1, "strategies": [asdict(each) for each in found]}
        typer.echo(json.dumps(record, indent=1, ensure_ascii=False, default=_plain))
        return
    from choose.report.terminal.inventory_page import strategies_page

    stdout().print(strategies_page(found))


def _plain(value: object) -> str | None:
    """Return a default as JSON can hold it; one that must be given is null."""
    return None if value is Parameter.empty else str(value)

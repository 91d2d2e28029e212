"""`choose models`: which weights are embedded and which are here; fetch them; clear kept work."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from choose.cli import options

models = typer.Typer(
    help="List the weights that choose knows, fetch them, or clear work that is kept.",
    rich_markup_mode=None,
)


@models.callback(invoke_without_command=True)
def listing(
    context: typer.Context,
    paths: Annotated[bool, typer.Option("--paths", help="Show the folders too.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List the embedded weights and what is cached of them."""
    if context.invoked_subcommand is not None:
        return
    from choose.cli.screen import stdout
    from choose.models.inventory import inventory
    from choose.models.kept import kept

    found, work = inventory(paths), kept(paths)
    if as_json:
        record = {
            "schema": 1,
            "models": [entry.record() for entry in found],
            "kept": work.record(),
        }
        typer.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    from choose.report.inventory import models_page

    stdout().print(models_page(found, work))


@models.command()
def fetch(
    specs: Annotated[
        list[str] | None, typer.Argument(help="Model specs. Default: the embedded ones.")
    ] = None,
) -> None:
    """Fetch weights once, verify and cache them, so that later runs need no network."""
    from choose.cli.screen import say
    from choose.models.inventory import EMBEDDED
    from choose.models.weights import resolve

    for spec in specs or [model.spec for model in EMBEDDED]:
        resolve(spec)
        say(f"Here: {spec}")


@models.command()
def clear() -> None:
    """Forget the embeddings and scores that studies kept for later ones; weights stay."""
    from choose.cli.screen import say
    from choose.models.kept import clear as forget
    from choose.models.kept import kept

    before = kept().mb
    forget()
    say(f"Cleared {before:.0f} MB of kept work.")

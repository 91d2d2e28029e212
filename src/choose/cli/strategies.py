"""`choose strategies`: what is installed."""

from __future__ import annotations

import json
from dataclasses import asdict
from inspect import Parameter

import typer

from choose.cli import options


def strategies(as_json: options.AsJson = False) -> None:
    """List the installed strategies with their hyperparameters, defaults and variants."""
    from choose.cli.screen import stdout
    from choose.strategy import available, describe

    found = [describe(name) for name in available()]
    if as_json:
        record = {"schema": 1, "strategies": [asdict(each) for each in found]}
        typer.echo(json.dumps(record, indent=1, ensure_ascii=False, default=_plain))
        return
    from choose.report.inventory import strategies_page

    stdout().print(strategies_page(found))


def _plain(value: object) -> str | None:
    """Return a default as JSON can hold it; one that must be given is null."""
    return None if value is Parameter.empty else str(value)

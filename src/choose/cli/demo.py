"""`choose demo`: the main job on the bundled sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATA = "sample:tickets"


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study. Default: .choose/…")
    ] = None,
    budget: Annotated[str, typer.Option(help="Time to spend.")] = "5m",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only the decision record.")
    ] = False,
) -> None:
    """Compare all strategies on 600 support tickets that ship with choose."""
    from choose.cli import parse
    from choose.cli.compare import run
    from choose.models.weights import DEFAULT_ENCODER

    # The encoder is six times smaller than the default base, so that a fit on every fold, and a
    # verdict on every family, stand within five minutes on two cores.
    overrides = {
        "models": {"tune": DEFAULT_ENCODER},
        "grid": {"budget_seconds": parse.seconds(budget)},
    }
    run(DATA, None, overrides, out=out, as_json=as_json)

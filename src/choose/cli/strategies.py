"""`choose strategies`: what is installed."""

from __future__ import annotations


def strategies() -> None:
    """List the installed strategies with their hyperparameters."""
    from rich.table import Table
    from rich.text import Text

    from choose.cli.screen import stdout
    from choose.report.safe import clean
    from choose.strategy import available, find, hyperparameters

    table = Table("strategy", "family", "what it does", "hyperparameters", "from", box=None)
    for name, entry in available().items():
        cls = find(name)
        params = ", ".join(f"{k}={v!r}" for k, v in hyperparameters(name).items())
        origin = entry.dist.name if entry.dist else entry.value
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        table.add_row(*(Text(clean(cell)) for cell in (name, cls.family, summary, params, origin)))
    stdout().print(table)

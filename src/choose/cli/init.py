"""`choose init`: a commented study file, drafted from the rows it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from choose.cli import options


@options.takes(options.DATA_FLAGS)
def init(
    context: typer.Context,
    data: options.Data = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path(
        "choose.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write a commented study file from the columns, labels and dates of your rows."""
    from choose import api
    from choose.cli.screen import say
    from choose.errors import StudyError
    from choose.files import write_text

    if out.suffix != ".toml" or out.is_dir():
        raise StudyError(f"{str(out)!r} is no name for a study file. Write --out NAME.toml.")
    if out.exists() and not force:
        raise StudyError(f"{str(out)!r} is there already. Add --force to overwrite it, or --out.")
    write_text(out, api.draft(data, overrides={"data": options.given(context)}))
    named = "" if out == Path("choose.toml") else f" -c {out}"
    say(f"Written: {out}. Read it, then: choose check{named}, choose compare{named}")

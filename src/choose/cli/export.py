"""`choose export`: the winner as a folder that can be shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    store: Annotated[Path, typer.Argument(help="Folder that choose compare wrote.")],
    folder: Annotated[Path, typer.Argument(help="New folder to write.")],
    candidate: Annotated[
        str | None,
        typer.Option(help="Candidate to train. Default: the recommended one, else the meanwhile."),
    ] = None,
    trial: Annotated[
        str | None, typer.Option(help="Make this fit of the study again instead: its key.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an export that is in the folder.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was exported as JSON.")
    ] = False,
) -> None:
    """Train a candidate on all labels and write it with its model card."""
    import json

    from choose import api
    from choose.artefact.export import as_plain
    from choose.cli.screen import say, stderr
    from choose.errors import StudyError

    if candidate is not None and trial is not None:
        raise StudyError("A trial has its candidate already. Leave out --candidate or --trial.")
    with stderr().status("Training on all labels" if trial is None else "Making the fit again"):
        made = api.export(store, folder, candidate=candidate, trial=trial, force=force)
    about = made.manifest
    if as_json:
        typer.echo(json.dumps(as_plain(made), indent=1))
    if about.why == "meanwhile":
        say(f"The study recommends nothing; {about.candidate} is the one to use meanwhile.")
    say(f"Exported {about.candidate}, fitted on {about.rows:,} rows: {folder}")
    if made.rows_inside:
        say("The folder holds labelled texts word for word; who gets it gets them.")
    if not as_json:
        say(f"Use it: choose predict {folder} FILE    Read first: {folder / 'README.md'}")

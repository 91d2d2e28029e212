"""`choose export`: the winner as a folder that can be shipped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from choose.types import Item


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

    from choose.api.export import export as export_candidate
    from choose.cli.console import say, stderr
    from choose.errors import StudyError
    from choose.export.folder import as_plain

    if candidate is not None and trial is not None:
        raise StudyError("A trial has its candidate already. Leave out --candidate or --trial.")
    with stderr().status("Training on all labels" if trial is None else "Making the fit again"):
        made = export_candidate(store, folder, candidate=candidate, trial=trial, force=force)
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


def predict(
    folder: Annotated[Path, typer.Argument(help="Folder that choose export wrote.")],
    file: Annotated[
        str,
        typer.Argument(help="CSV, TSV, JSONL or Parquet file, or - for one text a line."),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write. Default: print.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Write JSON Lines, and read them where FILE is -."),
    ] = False,
    min_confidence: Annotated[
        float | None, typer.Option(help="Give no label below this probability, such as 0.8.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the text. Default: the study's.")
    ] = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Write the texts beside the labels.")
    ] = False,
) -> None:
    """Label texts with an exported candidate: id, label, confidence, status."""
    from choose.export.predict import Model, write_csv, write_jsonl
    from choose.files import write_whole

    write = write_jsonl if as_json else write_csv
    with _items(file, text_column, as_json, folder) as items:
        found = Model.load(folder).stream(items, min_confidence)
        if output is None:
            write(sys.stdout, found, with_text)
            return

        def fill(path: Path) -> None:
            with path.open("w", encoding="utf-8", newline="") as out:
                write(out, found, with_text)

        write_whole(output, fill)


@contextmanager
def _items(
    file: str, text_column: str | None, as_json: bool, folder: Path
) -> Iterator[Iterator[Item]]:
    from choose.data.readers.text_stream import file_items, json_items, line_items
    from choose.export.manifest import read_manifest

    text_column = text_column or read_manifest(folder).text_column
    if file != "-":
        with file_items(file, text_column) as items:
            yield items
    elif as_json:
        yield json_items(sys.stdin.buffer, text_column)
    else:
        yield line_items(sys.stdin.buffer)

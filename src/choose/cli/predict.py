"""`choose predict`: label a file or a pipe with an exported folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from choose.types import Item


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
    from choose.artefact.answering import Model
    from choose.artefact.writing import write_csv, write_jsonl
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
    from choose.artefact.manifest import read_manifest
    from choose.data.stream import file_items, json_items, line_items

    text_column = text_column or read_manifest(folder).text_column
    if file != "-":
        with file_items(file, text_column) as items:
            yield items
    elif as_json:
        yield json_items(sys.stdin.buffer, text_column)
    else:
        yield line_items(sys.stdin.buffer)

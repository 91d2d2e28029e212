"""`choose export` writes a trained candidate to a folder; `choose predict` runs it on texts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from choose.cli.options import AsJson, Store
from choose.cli.report import study_named
from choose.errors import StudyError
from choose.files import write_atomic
from choose.outside_values import number

if TYPE_CHECKING:
    from choose.types import Item


def export(
    store: Store,
    folder: Annotated[Path, typer.Argument(help="New folder to write.")],
    candidate: Annotated[
        str | None, typer.Option(help="Candidate to train. Default: what the study says to use.")
    ] = None,
    router: Annotated[
        bool,
        typer.Option(
            "--router",
            help="The fast candidate that takes over rows from an LLM; predict marks the others.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a candidate on all rows and write it to a folder."""
    from choose.api.compare import export as export_candidate
    from choose.cli.console import print_record, say, working

    if candidate is not None and router:
        raise StudyError("--candidate and --router both determine what is exported. Leave one out.")
    named = study_named(store)
    with working("Training on all rows"):
        exported = export_candidate(named, folder, candidate=candidate, router=router)
    manifest = exported.manifest
    if as_json:
        about = manifest.model_dump(mode="json", by_alias=True)
        record = {"folder": str(exported.folder), **about, "rows_inside": exported.rows_inside}
        print_record(json.dumps(record, indent=1))
    if manifest.why == "meanwhile":
        say(f"The study is not sure yet; {manifest.candidate} is what it uses for now.")
    say(f"Exported {manifest.candidate}, trained on {manifest.rows:,} rows: {exported.folder}")
    if (routes := manifest.router) is not None:
        say(f"Rows below a confidence of {routes.threshold:.2f} come back as: ask {routes.to}.")
    if exported.rows_inside:
        say("The folder contains labelled texts verbatim. Share it accordingly.")
    if not as_json:
        say(f"Use it: choose predict {folder} FILE    Read first: {folder / 'README.md'}")


def predict(
    folder: Annotated[Path, typer.Argument(help="Folder that choose export wrote.")],
    file: Annotated[
        str, typer.Argument(help="CSV, TSV, JSON, JSONL or Parquet file, or - for one text a line.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write. Default: print.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON Lines, and read them where FILE is -.")
    ] = False,
    min_confidence: Annotated[
        float | None, typer.Option(help="Leave out answers below this probability, such as 0.8.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the text. Default: the study's.")
    ] = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Write the texts next to the answers.")
    ] = False,
) -> None:
    """Predict texts with an exported candidate.

    Each row of the output has id, label (or answer), confidence and status:
    ok, or why it has no label. With --json, records, sets and rankings are objects and lists.
    """
    from choose.export.exported_model import Model

    _check(folder, file, output, min_confidence)
    items = _items(file, text_column, as_json, folder)
    model = Model.load(folder)
    predictions = model.stream(items, min_confidence)
    write = partial(model.write, predictions=predictions, with_text=with_text, as_json=as_json)
    if output is None:
        write(sys.stdout)
    else:
        write_atomic(output, lambda path: _fill(path, write))


def _fill(path: Path, write: Callable[[TextIO], None]) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        write(out)


def _check(folder: Path, file: str, output: Path | None, min_confidence: float | None) -> None:
    from choose.store.store import check_destination

    if min_confidence is not None:
        number(min_confidence, "--min-confidence", 0, 1)
    if output is not None:
        check_destination(output, (None if file == "-" else file, folder))


def _items(file: str, text_column: str | None, as_json: bool, folder: Path) -> Iterator[Item]:
    from choose.data.readers.unlabelled_texts import file_items, json_items, line_items
    from choose.export.exported_model import read_manifest

    manifest = read_manifest(folder)
    text_column, fields = text_column or manifest.text_column, manifest.fields
    asks = bool(getattr(manifest.task, "documents", ""))
    if file != "-":
        return file_items(file, text_column, fields, asks)
    if as_json:
        return json_items(sys.stdin.buffer, text_column, fields, asks)
    if fields:
        raise StudyError(
            f"This model reads {', '.join(fields)} beside the text, which lines of text do not "
            "have. Give a file, or JSON Lines with --json."
        )
    return line_items(sys.stdin.buffer)

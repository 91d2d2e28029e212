"""`choose check` audits a labelled set; `choose init` drafts its study file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from choose.cli.options import (
    DATA_FLAGS,
    GOAL_FLAGS,
    AsJson,
    Config,
    Data,
    overrides,
    takes,
)
from choose.study.study_file import study_file_here


@takes({**DATA_FLAGS, **{key: GOAL_FLAGS[key] for key in ("metric", "margin")}})
def check(
    context: typer.Context,
    data: Data = None,
    config: Config = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Also write issues.csv, .json or .md; repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find label errors, duplicates, leaks and drift in a dataset."""
    from choose.api.plan import check as audit
    from choose.api.plan import resolve
    from choose.cli.console import check_outputs, inputs_of, print_record, say, stdout, working
    from choose.report.write import write

    config, settings = config or study_file_here(), overrides(context)
    check_outputs("check", output, inputs_of(resolve(data, config, settings), config))
    with working("Auditing the rows"):
        result = audit(data, study_file=config, overrides=settings)
    if as_json:
        print_record(result.record.model_dump_json(by_alias=True, indent=1))
    else:
        from choose.report.terminal.check_page import check_page

        stdout().print(check_page(result.record))
    for path in output or ():
        write("check", result.record, path, result.texts)
        say(f"Written: {path}")


def only_data_file(folder: Path) -> str:
    """Return the only file of labelled rows in a folder, or the one that the user picks.

    Raises:
        StudyError: naming the files, if there are several and no terminal to ask at.
    """
    from choose.cli.console import say
    from choose.data.readers.table_file import data_files
    from choose.errors import StudyError, quoted_list
    from choose.report.write import is_issue_list

    files = [name for name in data_files(folder) if not is_issue_list(folder / name)]
    if not files:
        raise StudyError(
            "No labelled set is named (DATA), and this folder holds no CSV, TSV, JSON, JSONL or "
            "Parquet file. Name one: choose init FILE."
        )
    if len(files) == 1:
        say(f"The only data file here: {files[0]}")
        return files[0]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise StudyError(
            f"No labelled set is named (DATA), and there are several files: {quoted_list(files)}. "
            f"Name one: {shlex.join(('choose', 'init', files[0]))}"
        )
    for place, name in enumerate(files, 1):
        say(f"{place}. {name}")
    number: int = typer.prompt("Which file?", type=int, err=True)
    if not 1 <= number <= len(files):
        raise StudyError(f"{number} is not the number of a file; allowed: 1 to {len(files)}.")
    return files[number - 1]


@takes(DATA_FLAGS)
def init(
    context: typer.Context,
    data: Data = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path(
        "choose.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented study file for a dataset."""
    from choose.api.plan import draft
    from choose.cli.console import say
    from choose.errors import StudyError
    from choose.files import write_text
    from choose.schema.study_sections import FILES
    from choose.store.destination import check_destination

    if out.suffix != ".toml" or out.is_dir():
        raise StudyError(f"{str(out)!r} cannot be a study file. Write --out NAME.toml.")
    if out.exists() and not force:
        raise StudyError(f"{str(out)!r} exists. Add --force to overwrite it, or name another.")
    settings = overrides(context)
    data = data or only_data_file(Path())
    check_destination(out, (data, *(settings["data"].get(key) for key in FILES)), "--out")
    write_text(out, draft(data, overrides=settings))
    flag = "" if out == Path("choose.toml") else f" -c {out}"
    say(f"Written: {out}. Read it, then run: choose check{flag}, choose compare{flag}")

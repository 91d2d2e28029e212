"""`choose report` shows a finished study, or compares two."""

import json
from pathlib import Path
from typing import Annotated

import typer

from choose.cli.ci_gates import GATE_FLAGS, Gates
from choose.cli.options import AsJson, NewestStore, Output, takes
from choose.errors import StudyError
from choose.outside_values import shown


@takes(GATE_FLAGS)
def report(
    context: typer.Context,
    store: NewestStore = None,
    now: Annotated[
        Path | None,
        typer.Argument(metavar="SECOND", help="Show what changed from STUDY to this one."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show the whole report.")] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """List the studies, show one again, or compare two.

    Where there is only one study, it is shown.
    """
    gates = Gates.of(context.params)
    if full and as_json:
        raise StudyError("--json prints the whole record. Leave out --full, or leave out --json.")
    bare = store is None and not (full or output) and gates == Gates()
    if (bare or store) and now is None and list_studies(store, as_json):
        return
    store = study_named(store)
    if now is None:
        report_study(store, output, gates, as_json=as_json, full=full)
    elif (second := study_named(now)).exists():
        report_change((store, second), output, as_json, gates)
    else:
        raise StudyError(f"{shown(str(now))} is no folder of a study.")


def open_(store: NewestStore = None) -> None:
    """Open the page of a study in the browser."""
    import webbrowser

    from choose.api.compare import report, write_page
    from choose.cli.console import say

    folder = study_named(store)
    page = write_page(report(folder), folder)
    say(f"Report: {page}")
    if not webbrowser.open(page.resolve().as_uri()):
        say("No browser was found here: open that file yourself.")


def study_named(store: Path | None) -> Path:
    """Return a study by its folder or number; by default the newest in `.choose`, and say so."""
    from choose.cli.console import say
    from choose.study.find_study_folder import numbered_study

    if store is not None and (store.exists() or not str(store).isdigit()):
        return store
    found = numbered_study(1 if store is None else int(str(store)))
    if store is None:
        say(f"The newest study in .choose: {found}")
    return found


def list_studies(folder: Path | None, as_json: bool) -> bool:
    """Print the studies in a folder that is none itself, or several in `.choose`; say whether."""
    from choose.cli.console import print_record, stdout
    from choose.report.terminal.inventory_page import studies_page
    from choose.store.store import is_store
    from choose.study.find_study_folder import HOME, stored_studies

    studies = [] if folder is not None and is_store(folder) else stored_studies(folder or HOME)
    if folder is None and (as_json or len(studies) < 2):
        return False
    if studies and as_json:
        print_record(json.dumps([study.record() for study in studies], indent=1))
    elif studies:
        stdout().print(studies_page(studies))
    return bool(studies)


def report_study(
    store: Path, output: list[Path] | None, gates: Gates, *, as_json: bool, full: bool
) -> None:
    from choose.api.compare import report
    from choose.cli.console import check_outputs, say, show
    from choose.store.store import Store

    check_outputs("decision", output, out=store)
    decision = report(store)
    if broken_off := Store.open(store).broken_off():
        say(f"{broken_off}.")
    gates.check([card.candidate for card in decision.scorecards])
    show(decision, store, as_json=as_json, outputs=output or (), gates=gates, full=full)


def report_change(
    stores: tuple[Path, Path], output: list[Path] | None, as_json: bool, gates: Gates
) -> None:
    from choose.api.compare_studies import compare_stores
    from choose.cli.console import check_outputs, print_record, say, stdout
    from choose.report.blocks import comparison_blocks
    from choose.report.terminal.pages import Page
    from choose.report.write import write

    if gates != Gates():
        raise StudyError(
            "--expect, --fail-under and --min-chance are about one study. "
            f"Leave them out, or name one folder: choose report {stores[1]} …"
        )
    for store in stores:
        check_outputs("comparison", output, out=store)
    versus = compare_stores(*stores)
    for path in output or ():
        write("comparison", versus, path)
        say(f"Report written: {path}")
    if as_json:
        print_record(versus.model_dump_json(by_alias=True, indent=1))
    else:
        stdout().print(Page(comparison_blocks(versus)))

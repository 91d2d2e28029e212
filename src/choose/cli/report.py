"""`choose report` shows a finished study, or compares two."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from choose.cli.ci_gates import Expect, FailUnder, Gates, MinChance
from choose.cli.console import FULL
from choose.cli.options import AsJson, NewestStore, Output
from choose.untrusted import shown


def report(
    store: NewestStore = None,
    section: Annotated[
        str | None,
        typer.Argument(
            help="Show one section: labels, cost, … Or name a second study: show what changed "
            "from the first to this one."
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show every section.")] = False,
    output: Output = None,
    as_json: AsJson = False,
    expect: Expect = None,
    fail_under: FailUnder = None,
    min_chance: MinChance = None,
) -> None:
    """Show a stored decision again, or compare two studies.

    A folder of studies, such as .choose, is listed.
    """
    gates = Gates(tuple(expect or ()), fail_under, min_chance)
    if section is None and store is not None and is_section(store):
        store, section = None, str(store)
    if store is None:
        store = newest()
    elif section is None and list_studies(store, as_json):
        return
    if section is None or is_section(Path(section)):
        part = section or (FULL if full else "")
        report_study(store, output, Shown(as_json, part), gates)
    else:
        report_change((store, second_study(section)), output, as_json, gates)


@dataclass(frozen=True, slots=True)
class Shown:
    """What is printed: the record, or the first screen, or a part of the report."""

    as_json: bool = False
    part: str = ""

    def __post_init__(self) -> None:
        """Refuse a section of a record, which is printed whole."""
        if self.as_json and self.part:
            from choose.errors import StudyError

            raise StudyError(
                f"--json prints the whole record. Leave out {self.part!r}, or leave out --json."
            )


def is_section(name: Path) -> bool:
    """Return whether a word names a section; a folder of that name is meant with ``./``."""
    from choose.report.terminal.decision_page import SECTIONS

    return str(name) in SECTIONS


def second_study(name: str) -> Path:
    """Return the folder of a second study.

    Raises:
        StudyError: if there is no such folder, naming the sections that might have been meant.
    """
    from choose.errors import StudyError, did_you_mean
    from choose.report.terminal.decision_page import SECTIONS

    if not Path(name).exists():
        raise StudyError(
            f"{shown(name)} is no section and no folder of a study. Sections: "
            f"{', '.join(SECTIONS)}.{did_you_mean(name, SECTIONS)}"
        )
    return Path(name)


def newest() -> Path:
    """Return the newest study in `.choose` and say which it is."""
    from choose.cli.console import say
    from choose.study.study_folder import newest_study

    store = newest_study()
    say(f"The newest study in .choose: {store}")
    return store


def list_studies(folder: Path, as_json: bool) -> bool:
    """Print the studies in a folder that is none itself; return whether there are any."""
    import json

    from choose.cli.console import print_record, stdout
    from choose.report.terminal.inventory_page import studies_page
    from choose.store.destination import is_store
    from choose.study.study_folder import stored_studies

    studies = [] if is_store(folder) else stored_studies(folder)
    if studies and as_json:
        print_record(json.dumps([study.record() for study in studies], indent=1))
    elif studies:
        stdout().print(studies_page(studies))
    return bool(studies)


def report_study(store: Path, output: list[Path] | None, what: Shown, gates: Gates) -> None:
    """Judge the finished trials of a study again and print the decision."""
    from choose.api.compare import report
    from choose.cli.console import check_outputs, print_decision, say, show_page, write_reports
    from choose.store.store import Store

    check_outputs("decision", output, out=store)
    decision = report(store)
    if broken_off := Store.open(store).broken_off():
        say(f"{broken_off}.")
    gates.check([card.candidate for card in decision.scorecards])
    checks = gates.evaluate(decision)
    write_reports(decision, store, output, checks)
    print_decision(decision, store, what.as_json, what.part)
    try:
        gates.enforce(checks)
    finally:
        show_page(decision, store)


def report_change(
    stores: tuple[Path, Path], output: list[Path] | None, as_json: bool, gates: Gates
) -> None:
    """Print what changed between two studies, on the rows that both evaluated."""
    from choose.api.compare import compare_stores
    from choose.cli.console import check_outputs, print_record, say, stdout
    from choose.errors import StudyError
    from choose.report.terminal.decision_page import versus_page
    from choose.report.write import write

    if gates != Gates():
        raise StudyError(
            "--expect and --fail-under are about one study. "
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
        stdout().print(versus_page(versus))

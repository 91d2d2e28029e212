"""`choose report` shows a finished study or compares two; `choose rate` has answers rated."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from choose.cli.ci_gates import Expect, FailUnder, Gates, GithubSummary
from choose.cli.console import FULL
from choose.cli.options import ENDPOINT_FLAGS, AsJson, NewestStore, Output
from choose.untrusted import finite, shown

Ratings = Annotated[
    list[Path] | None,
    typer.Option(
        "--ratings",
        metavar="FILE",
        help="Read people's ratings of answers, such as a sheet of choose rate, into the study; "
        "repeatable, a file for each person.",
    ),
]

Scale = Annotated[
    str | None, typer.Option(help="Worst and best rating in these files. Default: 1-5.")
]

Sheet = Annotated[Path, typer.Option(help="Sheet to write, a CSV file.")]

Rated = Annotated[
    list[str] | None,
    typer.Option(
        "--candidate",
        metavar="NAME",
        help="Candidate to rate; repeatable. Default: the two that decide.",
    ),
]

Rater = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Have a model behind an endpoint rate every answer, instead of writing a sheet.",
    ),
]

BaseUrl = Annotated[str | None, typer.Option(metavar="URL", help=ENDPOINT_FLAGS["base_url"])]

KeyVariable = Annotated[
    str | None, typer.Option(metavar="VARIABLE", help=ENDPOINT_FLAGS["api_key_env"])
]

Prices = Annotated[
    str | None, typer.Option(metavar="PRICES", help=ENDPOINT_FLAGS["usd_per_million"])
]

MaxUsd = Annotated[
    float | None, typer.Option(metavar="DOLLARS", help="Spend no more than this on the model.")
]

Yes = Annotated[
    bool, typer.Option("--yes", help="Send requests to endpoints without asking first.")
]


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
    github_summary: GithubSummary = False,
    ratings: Ratings = None,
    scale: Scale = None,
) -> None:
    """Show a stored decision again, or compare two studies.

    A folder of studies, such as .choose, is listed.
    """
    gates = Gates(tuple(expect or ()), fail_under, github_summary)
    if section is None and store is not None and is_section(store):
        store, section = None, str(store)
    if store is None:
        store = newest()
    elif section is None and list_studies(store, as_json):
        return
    if section is None or is_section(Path(section)):
        part = section or (FULL if full else "")
        read_ratings(store, ratings, scale)
        report_study(store, output, Shown(as_json, part), gates)
    else:
        refuse_ratings(ratings)
        report_change((store, second_study(section)), output, as_json, gates)


def read_ratings(store: Path, files: list[Path] | None, scale: str | None) -> None:
    """Read people's ratings into a study, and say how many there are."""
    if not files and scale is None:
        return
    from choose.api.ratings import add_ratings, read_scale
    from choose.cli.console import say
    from choose.errors import StudyError

    if not files:
        raise StudyError("--scale is about --ratings FILE. Give both, or leave it out.")
    for note in add_ratings(store, files, read_scale(scale)):
        say(note)


def refuse_ratings(files: list[Path] | None) -> None:
    """Refuse ratings where two studies are compared."""
    from choose.errors import StudyError

    if files:
        raise StudyError("--ratings is about one study. Name one folder.")


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
        gates.enforce(decision, checks)
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
            "--expect, --fail-under and --github-summary are about one study. "
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


def rate(
    store: NewestStore = None,
    out: Sheet = Path("ratings.csv"),
    rows: Annotated[int, typer.Option(min=2, max=100_000, help="Rows of the sheet.")] = 60,
    candidate: Rated = None,
    model: Rater = None,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    usd_per_million: Prices = None,
    max_usd: MaxUsd = None,
    yes: Yes = False,
) -> None:
    """Have answers of a study rated: write a blind sheet to fill in, or ask a model."""
    from choose.cli.console import Consent, say
    from choose.errors import StudyError
    from choose.models.endpoints.providers import endpoint_settings

    folder, names = store or newest(), candidate or ()
    limit = None if max_usd is None else finite(max_usd, 0)
    if limit is None and max_usd is not None:
        raise StudyError(f"--max-usd {max_usd:g} is no sum. Write dollars, 0 or more.")
    spec, sections = endpoint_settings(model, base_url, api_key_env, usd_per_million)
    if spec is None and (yes or limit is not None):
        raise StudyError("--max-usd and --yes are about requests to a --model. Leave them out.")
    if spec is None:
        write_the_sheet(folder, out, rows, names)
        return
    from choose.api.model_ratings import rate_by_model

    approve = Consent(yes)
    for note in rate_by_model(
        folder, spec, sections, candidates=names, max_usd=limit, approve=approve
    ):
        say(note)
    say(f"See them: choose report {shlex.quote(str(folder))} ratings")


def write_the_sheet(folder: Path, out: Path, rows: int, candidates: Sequence[str]) -> None:
    """Write a sheet of answers, and say what to do with it."""
    from choose.api.ratings import write_sheet
    from choose.cli.console import say

    written, differ = write_sheet(folder, out, rows=rows, candidates=candidates)
    say(f"Sheet written: {out}: {written:,} of {differ:,} rows on which the answers differ, blind.")
    say(
        "Fill in the columns named rating (empty cells are left out), best a copy for each of two "
        f"people. Then: choose report {shlex.quote(str(folder))} --ratings {shlex.quote(str(out))}"
    )

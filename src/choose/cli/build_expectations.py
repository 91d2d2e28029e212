"""Gates for builds: the flags that make a run fail, their evaluation and the job summary."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from choose.schema.decision import Decision, Expectation


PANEL = "Builds"

# Bytes that GitHub shows of one step.
SUMMARY_LIMIT = 1_000_000

Expect = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORD",
        help="Exit with 3 unless the result is this verdict, family or candidate; commas "
        "separate alternatives; repeatable.",
        rich_help_panel=PANEL,
    ),
]

FailUnder = Annotated[
    float | None,
    typer.Option(
        help="Exit with 3 if the chosen candidate's accuracy is below this share, such as 0.85.",
        rich_help_panel=PANEL,
    ),
]

GithubSummary = Annotated[
    bool,
    typer.Option(
        "--github-summary",
        help="Append the report to the job summary ($GITHUB_STEP_SUMMARY).",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Gates:
    """Expected results of a build, and whether it writes a job summary."""

    expect: tuple[str, ...] = ()
    fail_under: float | None = None
    github_summary: bool = False

    def __post_init__(self) -> None:
        """Refuse an accuracy that is no share."""
        if self.fail_under is not None:
            from choose.judge.build_expectations import check_share

            check_share(self.fail_under)

    def check(self, candidates: Sequence[str]) -> None:
        """Refuse expectations that can never be met, before anything runs."""
        if self.github_summary:
            check_summary()
        if self.expect:
            from choose.judge.build_expectations import check_words

            check_words(self.expect, candidates)

    def evaluate(self, decision: Decision) -> tuple[Expectation, ...]:
        """Return each expectation with the actual result."""
        from choose.judge.build_expectations import expect, not_under

        checks = [expect(decision, expected) for expected in self.expect]
        if self.fail_under is not None:
            checks.append(not_under(decision, self.fail_under))
        return tuple(checks)

    def enforce(self, decision: Decision, checks: Sequence[Expectation]) -> None:
        """Write the job summary; exit with 3 after naming each expectation that is not met."""
        from choose.cli.console import say_error

        if self.github_summary:
            summarise(decision, checks)
        unmet = [check for check in checks if not check.met]
        for check in unmet:
            say_error(check.sentence)
        if unmet:
            raise typer.Exit(3)


def check_summary() -> None:
    """Refuse a job summary that cannot be written, before anything runs; devices are not tried.

    Raises:
        StudyError: naming the variable.
    """
    from choose.store.destination import check_destination

    path = Path(os.environ.get("GITHUB_STEP_SUMMARY", ""))
    if path != Path() and (path.is_file() or path.is_dir() or not path.exists()):
        check_destination(path, flag="GITHUB_STEP_SUMMARY")


def summarise(decision: Decision, checks: Sequence[Expectation]) -> None:
    """Append the Markdown report to the file of GitHub's job summary, if there is one.

    Raises:
        StoreError: if it cannot be written.
    """
    from choose.cli.console import say
    from choose.errors import StoreError
    from choose.report.markdown import render_markdown

    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        say("No job summary was written: the variable GITHUB_STEP_SUMMARY is not set.")
        return
    text = render_markdown(decision, checks).encode("utf-8", "replace")
    if len(text) > SUMMARY_LIMIT:
        text = text[:SUMMARY_LIMIT].rpartition(b"\n")[0] + b"\n\n(Cut: GitHub shows no more.)\n"
    try:
        with Path(path).open("ab") as file:
            file.write(b"\n" + text)
    except OSError as error:
        raise StoreError(
            f"Cannot write the job summary {path!r}: {error.strerror or error}. "
            "Leave out --github-summary."
        ) from error

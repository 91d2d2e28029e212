"""`choose compare` runs a study and prints its decision; `choose demo` does so on a sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from choose import cli
from choose.cli.ci_gates import GATE_FLAGS, Gates
from choose.cli.options import (
    DATA_FLAGS,
    GIVEN_FLAGS,
    STUDY_FLAGS,
    AsJson,
    Config,
    Data,
    NewestStore,
    Out,
    Output,
    Yes,
    overrides,
    takes,
)
from choose.errors import StudyError
from choose.study.study_file import overrides_of

if TYPE_CHECKING:
    from choose.api.compare import Outcome


@takes({**STUDY_FLAGS, **GIVEN_FLAGS, **GATE_FLAGS})
def compare(
    context: typer.Context,
    data: Data = None,
    config: Config = None,
    out: Out = None,
    output: Output = None,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Run every strategy on your labelled set and recommend one."""
    run(
        data,
        config,
        overrides(context),
        out=out,
        strategies=context.params["strategy"],
        results=Results(as_json, tuple(output or ()), Gates.of(context.params), yes),
    )


@takes({name: flag for name, flag in STUDY_FLAGS.items() if name not in DATA_FLAGS})
def continue_(
    context: typer.Context,
    store: NewestStore = None,
    output: Output = None,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Give a comparison more time, or other candidates: by default the newest."""
    from choose.cli.report import study_named

    results = Results(as_json, tuple(output or ()), yes=yes)
    strategies, settings = context.params["strategy"], overrides(context)
    if fixed := sorted({"data", "task", "given"} & settings.keys()):
        raise StudyError(
            f"--set changes [{fixed[0]}], and a study keeps its rows, its task and its answers. "
            "Start another one with choose compare."
        )
    run(None, study_named(store), settings, strategies=strategies, results=results)


@dataclass(frozen=True, slots=True)
class Results:
    """How a run reports: as JSON or text, to which files, with which gates.

    `yes` confirms the requests to endpoints in advance.
    """

    as_json: bool = False
    outputs: tuple[Path, ...] = ()
    gates: Gates = field(default_factory=Gates)
    yes: bool = False


def run(
    data: str | None,
    config: Path | None,
    settings: dict[str, dict[str, Any]],
    *,
    out: Path | None = None,
    strategies: list[str] | None = None,
    results: Results,
) -> None:
    """Compare and print; exit with 130 if interrupted, 3 if a gate is not met."""
    from choose.api.compare import Interrupted, run_study
    from choose.api.plan import resolve
    from choose.cli.console import Consent, check_outputs, inputs_of, say, stderr
    from choose.report.terminal.live_progress import LiveProgress
    from choose.study.candidates import names_of

    class Progress(LiveProgress):
        def planned(self, *plan: Any, **more: Any) -> None:
            super().planned(*plan, **more)
            if not strategies and not study.candidates and not study.models.prompted:
                self.noted(["Prompting uses a small bundled model. Have an LLM? Add --model."])

    study = resolve(data, config, settings, strategies or ())
    check_outputs("decision", results.outputs, inputs_of(study, config), out)
    results.gates.check(names_of(study))
    try:
        with Progress(stderr(), cli.started) as observer:
            how: dict[str, Any] = {"observer": observer, "approve": Consent(results.yes)}
            outcome = run_study(study, config, out=out, started=cli.started, **how)
    except Interrupted as stop:
        say(str(stop))
        raise typer.Exit(130) from None
    show(outcome, results)


def show(outcome: Outcome, results: Results) -> None:
    """Print and write what a run found; the path of its page is the last line."""
    from choose.cli.console import print_decision, show_page, write_reports

    decision, store = outcome.decision, outcome.store
    checks = results.gates.evaluate(decision)
    print_decision(decision, store, results.as_json)
    write_reports(decision, store, results.outputs, checks)
    try:
        results.gates.enforce(checks)
    finally:
        show_page(decision, store)


SAMPLES = ("tickets", "orders", "handbook")


def demo(
    sample: Annotated[
        str,
        typer.Argument(
            help="tickets (labels), orders (e-mails with records) or handbook (questions over "
            "documents)."
        ),
    ] = SAMPLES[0],
    out: Annotated[Path | None, typer.Option(help="Folder of the study.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time limit, such as 90s or 10m. Default: 10m.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look; see choose compare --help.")
    ] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Run every strategy on a bundled set: tickets, orders by e-mail, or a handbook's questions."""
    from choose.errors import did_you_mean

    if sample not in SAMPLES:
        raise StudyError(
            f"No bundled set {sample!r}.{did_you_mean(sample, SAMPLES)} Allowed: "
            f"{', '.join(SAMPLES)}."
        )
    settings = overrides_of({"quick": quick, "budget": budget})
    results = Results(as_json, tuple(output or ()))
    run(f"sample:{sample}", None, settings, out=out, results=results)

"""`choose compare` runs a study, `choose demo` on a sample; `choose score` runs no model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from choose import cli
from choose.cli.ci_gates import GATE_FLAGS, Gates
from choose.cli.options import (
    COST_FLAGS,
    DATA_FLAGS,
    GIVEN_FLAGS,
    GOAL_FLAGS,
    SET_FLAG,
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
from choose.errors import StudyError, did_you_mean
from choose.study.resolve_study import overrides_of
from choose.tasks.metrics import SCORES


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
        as_json=as_json,
        outputs=output,
        gates=Gates.of(context.params),
        yes=yes,
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

    strategies, settings = context.params["strategy"], overrides(context)
    if fixed := sorted({"data", "task", "given"} & settings.keys()):
        raise StudyError(
            f"--set changes [{fixed[0]}], and a study keeps its rows, its task and its answers. "
            "Start another one with choose compare."
        )
    how: dict[str, Any] = {"as_json": as_json, "outputs": output, "yes": yes}
    run(None, study_named(store), settings, strategies=strategies, **how)


def run(
    data: str | None,
    config: Path | None,
    settings: dict[str, dict[str, Any]],
    *,
    out: Path | None = None,
    strategies: list[str] | None = None,
    as_json: bool = False,
    outputs: Sequence[Path] | None = None,
    gates: Gates | None = None,
    yes: bool = False,
) -> None:
    """Compare and print; exit with 130 if interrupted, 3 if a gate is not met."""
    from choose.api.compare import Interrupted, run_study
    from choose.api.plan import resolve
    from choose.cli.console import ask_consent, check_outputs, inputs_of, say, show, stderr
    from choose.report.terminal.live_progress import LiveProgress
    from choose.study.candidates import names_of

    class Progress(LiveProgress):
        def planned(self, *plan: Any, **more: Any) -> None:
            super().planned(*plan, **more)
            if not strategies and not study.candidates and not study.models.prompted:
                self.noted(["Prompting uses a small bundled model. Have an LLM? Add --model."])

    study = resolve(data, config, settings, strategies or ())
    check_outputs("decision", outputs, inputs_of(study, config), out)
    gates = gates or Gates()
    gates.check(names_of(study))
    try:
        with Progress(stderr(), cli.started) as observer:
            how: dict[str, Any] = {"observer": observer, "approve": partial(ask_consent, yes=yes)}
            outcome = run_study(study, config, out=out, started=cli.started, **how)
    except Interrupted as stop:
        say(str(stop))
        raise typer.Exit(130) from None
    show(outcome.decision, outcome.store, as_json=as_json, outputs=outputs or (), gates=gates)


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
    if sample not in SAMPLES:
        raise StudyError(
            f"No bundled set {sample!r}.{did_you_mean(sample, SAMPLES)} Allowed: "
            f"{', '.join(SAMPLES)}."
        )
    settings = overrides_of({"quick": quick, "budget": budget})
    run(f"sample:{sample}", None, settings, out=out, as_json=as_json, outputs=output)


Answers = Annotated[
    str | None,
    typer.Argument(
        metavar="ANSWERS",
        help="CSV, TSV, JSONL, Parquet, or the results of a tool. The right answer, and a column a "
        "candidate; or a file of promptfoo, inspect or lm-eval.",
    ),
]
Gold = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the right answers.")]
Scores = Annotated[
    bool, typer.Option("--scores", help="Columns hold scores from 0 to 1, not answers.")
]
Baseline = Annotated[
    bool, typer.Option("--baseline", help="Also run a cheap baseline on the same rows.")
]


_FLAGS = {name: DATA_FLAGS[name] for name in ("text_column", "kind")}
_FLAGS |= {**GIVEN_FLAGS, **GOAL_FLAGS, **COST_FLAGS, **SET_FLAG, **GATE_FLAGS}


@takes(_FLAGS)
def score(
    context: typer.Context,
    data: Answers = None,
    gold: Gold = None,
    scores: Scores = False,
    baseline: Baseline = False,
    config: Config = None,
    out: Out = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Judge answers that you have already: seconds, no model runs."""
    from choose.api.compare import score_answers
    from choose.api.plan import resolve
    from choose.cli.console import check_outputs, inputs_of, show, stderr
    from choose.report.terminal.live_progress import LiveProgress

    settings = overrides(context, label_column=gold, **({"kind": SCORES} if scores else {}))
    study = resolve(data, config, settings)
    gates = Gates.of(context.params)
    check_outputs("decision", output, inputs_of(study, config), out)
    with LiveProgress(stderr()) as observer:
        outcome = score_answers(study, out=out, baseline=baseline, observer=observer)
    gates.check([card.candidate for card in outcome.decision.scorecards])
    show(outcome.decision, outcome.store, as_json=as_json, outputs=output or (), gates=gates)

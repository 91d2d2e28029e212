"""`choose score` judges answers that exist already, without a model."""

from typing import Annotated

import typer

from choose.cli.ci_gates import GATE_FLAGS, Gates
from choose.cli.options import (
    COST_FLAGS,
    DATA_FLAGS,
    GIVEN_FLAGS,
    GOAL_FLAGS,
    SET_FLAG,
    AsJson,
    Config,
    Out,
    Output,
    overrides,
    takes,
)
from choose.tasks.metrics import SCORES

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
    decision, store = outcome.decision, outcome.store
    show(decision, store, as_json=as_json, outputs=output or (), gates=gates)

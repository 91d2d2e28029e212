"""Flags that several commands take, each written once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from choose.cli import parse

DATA = "Data"
WHO = "Candidates"
GRID = "Grid"

Data = Annotated[
    str | None, typer.Argument(help="CSV, TSV, JSONL or Parquet file, or sample:NAME.")
]
Test = Annotated[str | None, typer.Option(help="File with the rows to ask.", rich_help_panel=DATA)]
TextColumn = Annotated[
    str | None,
    typer.Option(help="Column of the text; several, joined: subject,body.", rich_help_panel=DATA),
]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the label.", rich_help_panel=DATA)]
TimeColumn = Annotated[
    str | None, typer.Option(help="Column of the timestamp.", rich_help_panel=DATA)
]
GroupColumn = Annotated[
    str | None, typer.Option(help="Rows of one group are never divided.", rich_help_panel=DATA)
]
AnnotatorColumn = Annotated[
    str | None, typer.Option(help="Column of the annotator.", rich_help_panel=DATA)
]
TestRows = Annotated[
    int | None, typer.Option(help="Ask only N test rows, stratified.", rich_help_panel=DATA)
]
Folds = Annotated[
    int | None, typer.Option(help="Folds where there is no test file.", rich_help_panel=DATA)
]
Strategies = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        "-s",
        help="A strategy to compare; repeatable. Default: all installed.",
        rich_help_panel=WHO,
    ),
]
Model = Annotated[str | None, typer.Option(help="Model that is prompted.", rich_help_panel=WHO)]
Tune = Annotated[str | None, typer.Option(help="Model that is fine-tuned.", rich_help_panel=WHO)]
Encoder = Annotated[str | None, typer.Option(help="Model that embeds.", rich_help_panel=WHO)]
BaseUrl = Annotated[
    str | None,
    typer.Option(help="Endpoint that serves --model: https://HOST/v1.", rich_help_panel=WHO),
]
ApiKeyEnv = Annotated[
    str | None,
    typer.Option(
        help="Variable, in the environment or .env, with the endpoint's key.", rich_help_panel=WHO
    ),
]
UsdPerMillion = Annotated[
    str | None,
    typer.Option(
        help="Price of the endpoint's tokens: IN,OUT or IN,CACHED,OUT.", rich_help_panel=WHO
    ),
]
Seeds = Annotated[
    int | None, typer.Option(help="Repetitions of each candidate.", rich_help_panel=GRID)
]
Sizes = Annotated[
    str | None,
    typer.Option(help="Pool sizes: rows or shares, such as 1/8,1/2,1.", rich_help_panel=GRID),
]
Noise = Annotated[
    str | None,
    typer.Option(help="Rates of added label noise, such as 0,0.1,0.2.", rich_help_panel=GRID),
]
Thorough = Annotated[
    bool | None,
    typer.Option(
        "--thorough",
        help="Repeat every part of the grid for dear candidates too.",
        rich_help_panel=GRID,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(help="Time to spend: 90s, 10m, 2h. Default 10m.", rich_help_panel=GRID),
]
MaxUsd = Annotated[
    float | None,
    typer.Option(help="Most dollars to spend at endpoints.", rich_help_panel=GRID),
]
Repeats = Annotated[
    int | None,
    typer.Option(help="Ask endpoints the same so many times.", rich_help_panel=GRID),
]
Target = Annotated[
    float | None,
    typer.Option(help="Accuracy that is good enough, such as 0.9.", rich_help_panel=GRID),
]
Margin = Annotated[
    float | None,
    typer.Option(help="Smallest gain that matters, such as 0.02.", rich_help_panel=GRID),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Study file; flags override it. Default: choose.toml, if there."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only the record, as JSON.")]

DATA_FLAGS = (
    "test",
    "text_column",
    "label_column",
    "time_column",
    "group_column",
    "annotator_column",
    "test_rows",
    "folds",
)

MODEL_FLAGS = ("model", "tune", "encoder")
GOAL_FLAGS = ("target", "margin")


def given(context: typer.Context, names: Sequence[str] = DATA_FLAGS) -> dict[str, Any]:
    """Return the flags of a section as the command line gave them; None where it did not."""
    return {name: context.params[name] for name in names if name in context.params}


def grid(context: typer.Context) -> dict[str, Any]:
    """Return the grid section that the flags ask for.

    Raises:
        StudyError: naming the flag that cannot be read.
    """
    flags = context.params
    return {
        "seeds": flags["seeds"],
        "sizes": parse.sizes(flags["sizes"]),
        "noise": parse.rates(flags["noise"]),
        "thorough": flags["thorough"],
        "budget_seconds": parse.seconds(flags["budget"]),
        # The plan, which takes the same flags, asks nobody.
        "max_usd": flags.get("max_usd"),
        "repeats": flags.get("repeats"),
    }


def found() -> Path | None:
    """Return the study file of the working folder, if there is one."""
    here = Path("choose.toml")
    return here if here.is_file() else None

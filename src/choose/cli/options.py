"""Flags that several commands take, each written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from choose.cli import parse

Command = TypeVar("Command", bound=Callable[..., Any])

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
        help="A strategy to compare; repeatable. Default: all that need no endpoint.",
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
Metric = Annotated[
    str | None,
    typer.Option(
        help='What "right" means: accuracy, or balanced: every label counts the same.',
        rich_help_panel=GRID,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(help="Smallest gain that matters, as a share: 0.02.", rich_help_panel=GRID),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Study file; flags override it. Default: choose.toml, if there."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only the record, as JSON.")]

DATA_FLAGS = {
    "test": Test,
    "text_column": TextColumn,
    "label_column": LabelColumn,
    "time_column": TimeColumn,
    "group_column": GroupColumn,
    "annotator_column": AnnotatorColumn,
    "test_rows": TestRows,
    "folds": Folds,
}
MODEL_FLAGS = {"model": Model, "tune": Tune, "encoder": Encoder}
WHO_FLAGS = {"strategy": Strategies, **MODEL_FLAGS}
ENDPOINT_FLAGS = {
    "base_url": BaseUrl,
    "api_key_env": ApiKeyEnv,
    "usd_per_million": UsdPerMillion,
}
GRID_FLAGS = {
    "seeds": Seeds,
    "sizes": Sizes,
    "noise": Noise,
    "thorough": Thorough,
    "budget": Budget,
}
ASKING_FLAGS = {"max_usd": MaxUsd, "repeats": Repeats}
GOAL_FLAGS = {"target": Target, "metric": Metric, "margin": Margin}
# All that makes a study, in the order in which help lists it.
STUDY_FLAGS = (DATA_FLAGS, WHO_FLAGS, ENDPOINT_FLAGS, GRID_FLAGS, ASKING_FLAGS, GOAL_FLAGS)


def takes(*sections: Mapping[str, Any]) -> Callable[[Command], Command]:
    """Give a command the flags of some sections, after its first argument.

    Their values stand in the context's parameters; the command itself is handed its own only.
    """
    flags = {name: flag for section in sections for name, flag in section.items()}

    def add(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        context, data, *rest = own.parameters.values()
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=flag)
            for name, flag in flags.items()
        ]
        after = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in rest]

        @wraps(command)
        def run(*given: Any, **values: Any) -> Any:
            return command(*given, **{n: v for n, v in values.items() if n in own.parameters})

        run.__signature__ = own.replace(parameters=[context, data, *added, *after])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in (context, data, *added, *after)}
        return cast("Command", run)

    return add


def given(context: typer.Context, names: Iterable[str] = DATA_FLAGS) -> dict[str, Any]:
    """Return the flags of a section as the command line gave them; None where it did not."""
    return {name: context.params[name] for name in names if name in context.params}


def study(context: typer.Context) -> dict[str, dict[str, Any]]:
    """Return what `STUDY_FLAGS` lay over a study file, section by section.

    Raises:
        StudyError: naming the flag that cannot be read.
    """
    asked = (context.params[name] for name in ("model", *ENDPOINT_FLAGS))
    model, endpoints = parse.endpoint(*asked)
    return {
        "data": given(context),
        "models": {**given(context, MODEL_FLAGS), "model": model},
        "endpoints": endpoints,
        "grid": grid(context),
        "goal": given(context, GOAL_FLAGS),
    }


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
        **given(context, ASKING_FLAGS),
    }


def found() -> Path | None:
    """Return the study file of the working folder, if there is one."""
    here = Path("choose.toml")
    return here if here.is_file() else None

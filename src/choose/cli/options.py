"""Flags that several commands take, each written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from choose.errors import StudyError
from choose.study import study_file

if TYPE_CHECKING:
    from choose.schema.plan import Wishes


def seconds(text: str | None) -> float | None:
    """Read ``90``, ``90s``, ``10m`` or ``2h`` as seconds."""
    return study_file.seconds(text, "--budget")


def sizes(text: str | None) -> tuple[float | int, ...] | None:
    """Read ``300``, ``100,300`` or ``1/8,0.5,1``: rows, or shares of the pool."""
    if text is None:
        return None
    return tuple(_size(part.strip()) for part in text.split(","))


def _size(part: str) -> float | int:
    wrong = StudyError(
        f"--sizes {part!r} is no size. Write rows (300) or shares (1/8, 0.5, 1), "
        "separated by commas."
    )
    try:
        share = Fraction(part)
    except (ValueError, ZeroDivisionError) as error:
        raise wrong from error
    if share <= 0 or (share > 1 and share.denominator != 1):
        raise wrong
    return int(share) if share > 1 else float(share)


def rates(text: str | None) -> tuple[float, ...] | None:
    """Read ``0,0.1,0.2`` or ``0%,10%``: shares of labels to flip, 0 to below 1."""
    if text is None:
        return None
    found = []
    for part in (part.strip() for part in text.split(",")):
        try:
            rate = float(part[:-1]) / 100 if part.endswith("%") else float(part)
        except ValueError:
            rate = -1.0
        if not 0 <= rate < 1:
            raise StudyError(
                f"--noise {part!r} is no rate of wrong labels. Write shares from 0 "
                "to below 1, such as 0,0.1,0.2."
            )
        found.append(rate)
    return tuple(found)


def endpoint(
    model: str | None, base_url: str | None, api_key_env: str | None, prices: str | None
) -> tuple[str | None, dict[str, dict[str, Any]]]:
    """Turn the flags of one endpoint into a model spec and a section of the study."""
    if base_url is None:
        for flag, value in (("--api-key-env", api_key_env), ("--usd-per-million", prices)):
            if value is not None:
                raise StudyError(f"{flag} belongs to an endpoint: give --base-url with it.")
        return model, {}
    if not model or model.startswith("endpoint:"):
        raise StudyError("--base-url needs --model with the model's name as the server calls it.")
    section = {"base_url": base_url, "model": model, "api_key_env": api_key_env, **_prices(prices)}
    given = {key: value for key, value in section.items() if value is not None}
    return f"endpoint:{model}", {model: given}


def _prices(text: str | None) -> dict[str, float]:
    """Read ``IN,OUT`` or ``IN,CACHED,OUT``, dollars for a million tokens."""
    if text is None:
        return {}
    try:
        figures = [float(part) for part in text.split(",")]
    except ValueError:
        figures = []
    if len(figures) not in (2, 3) or not all(0 <= figure < float("inf") for figure in figures):
        raise StudyError(
            f"--usd-per-million {text!r} is no price. Write dollars for a million tokens, "
            "IN,OUT or IN,CACHED,OUT, such as 0.15,0.6."
        )
    names = ("in", "cached", "out") if len(figures) == 3 else ("in", "out")
    return {f"usd_per_million_{name}": figure for name, figure in zip(names, figures, strict=True)}


def only_without_data(asked: Mapping[str, float | int | None]) -> None:
    """Refuse flags that only a plan without data understands."""
    for name, value in asked.items():
        if value is not None:
            raise StudyError(
                f"--{name.replace('_', '-')} is for plans without data. Add --no-data, or leave "
                "it out; with data, costs stand in the study file."
            )


def wishes(asked: Mapping[str, float | int | None], data: str | None) -> Wishes:
    """Check what a founder says before there is data; the gain is in points."""
    from choose.schema.plan import Wishes

    if data is not None:
        raise StudyError(f"--no-data plans without data, and {data!r} was given. Leave one out.")
    classes, gain = asked["classes"], asked["gain"] if asked["gain"] is not None else 2.0
    if classes is None or not 2 <= classes <= 10_000:
        raise StudyError("--classes must say how many labels there will be: 2 or more.")
    if not 0.5 <= gain <= 30:
        raise StudyError(f"--gain {gain:g} is in points, from 0.5 to 30. Write 3 for 3 points.")
    target = asked["target"]
    if target is not None and not 0 < target < 1:
        raise StudyError(f"--target {target:g} is a share. Write 0.9 for 90 of 100 right.")
    for name in ("minutes_per_label", "hourly_rate", "usd"):
        value = asked[name]
        if value is not None and not 0 < value < 1e9:
            raise StudyError(f"--{name.replace('_', '-')} {value:g} must be above 0.")
    if asked["usd"] is not None and asked["hourly_rate"] is None:
        raise StudyError("--usd buys hours, so it needs --hourly-rate (and --minutes-per-label).")
    return Wishes.model_validate({**asked, "classes": classes, "gain": gain / 100})


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
    model, endpoints = endpoint(*asked)
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
        "sizes": sizes(flags["sizes"]),
        "noise": rates(flags["noise"]),
        "thorough": flags["thorough"],
        "budget_seconds": seconds(flags["budget"]),
        **given(context, ASKING_FLAGS),
    }


def found() -> Path | None:
    """Return the study file of the working folder, if there is one."""
    here = Path("choose.toml")
    return here if here.is_file() else None

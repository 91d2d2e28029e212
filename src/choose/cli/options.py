"""Flags that several commands share: the fields of a study that are marked as flags, and others.

Name, type and help text of a flag follow from the field of `choose.study.config.Study`. Here is
what the command line adds: panels, short names, and lists and times that are typed as text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from choose.errors import DataError, ModelError, StrategyError, StudyError
from choose.files import read_text
from choose.models.endpoints.providers import endpoint_settings
from choose.study import study_file
from choose.study.study_file import study_fields
from choose.untrusted import number, share, shown


def seconds(text: str | None) -> float | None:
    """Read ``90``, ``90s``, ``10m`` or ``2h`` as seconds; say what a bare number was read as."""
    read = study_file.seconds(text, "--budget")
    if text is not None and text.strip()[-1].isdigit():
        from choose.cli.console import say

        say(f"--budget {text.strip()} is read as {text.strip()} seconds; write 10m for minutes.")
    return read


def _share(name: str) -> Callable[[str | None], float | None]:
    """Return a reader of ``0.9`` or ``90%`` for a flag."""

    def read(text: str | None) -> float | None:
        if text is None:
            return None
        try:
            return number(share(text), f"--{name}", 0, 1)
        except ValueError as error:
            raise StudyError(f"--{name} {shown(text)} cannot be used: {error}.") from error

    return read


def rates(text: str | None) -> tuple[float, ...] | None:
    """Read ``0,0.1,0.2`` or ``0%,10%``: shares of labels to flip, 0 to below 1."""
    if text is None:
        return None
    values = []
    for part in (part.strip() for part in text.split(",")):
        try:
            rate = float(part[:-1]) / 100 if part.endswith("%") else float(part)
        except ValueError:
            rate = -1.0
        if not 0 <= rate < 1:
            raise StudyError(
                f"--noise {shown(part)} is not a rate of added noise. Write shares from 0 "
                "to below 1, such as 0,0.1,0.2."
            )
        values.append(rate)
    return tuple(values)


def text_or_file(text: str | None) -> str | None:
    """Read ``@FILE`` as the text of a file, and anything else as it is."""
    if text is None or not text.startswith("@"):
        return text
    try:
        return read_text(Path(text[1:])).strip()
    except ValueError as error:
        raise StudyError(f"--instruction {shown(text)} cannot be read: it is no UTF-8.") from error


# Typed as text: a reader for the flag, and what its help adds.
READERS: dict[str, tuple[Callable[[str | None], Any], str]] = {
    "noise": (rates, ""),
    "budget": (seconds, " Default: 10m."),
    "target": (_share("target"), ""),
    "margin": (_share("margin"), ""),
    "instruction": (text_or_file, ""),
}

# What a flag takes, where the name of its type says too little.
METAVARS = {
    **dict.fromkeys(("model", "tune", "encoder"), "MODEL"),
    "noise": "LIST",
    "instruction": "TEXT",
    **dict.fromkeys(("target", "margin"), "SHARE"),
    "budget": "TIME",
    "test": "FILE",
    "documents": "PATH",
    **dict.fromkeys(("max_usd", "max_usd_per_1000"), "DOLLARS"),
    "max_ms": "MS",
    "seeds": "N",
    **dict.fromkeys(("metric", "kind"), "NAME"),
    "field": "COLUMN",
    "answers": "WHICH",
    "family": "NAME=FAMILY",
    **dict.fromkeys(
        (f"{role}_column" for role in ("text", "label", "time", "group")),
        "COLUMN",
    ),
    "base_url": "URL",
    "api_key_env": "VARIABLE",
    "usd_per_million": "PRICES",
    "executor": "NAME",
    "address": "HOST:PORT",
}

# A line for each option of everyday help; the full text is the field's description.
SHORT = {
    "data": "CSV, TSV, JSON, JSONL or Parquet.",
    "store": "Folder of a study, or its number (default: the newest).",
    "text_column": "Column of the text (default: found, and told).",
    "label_column": "Column of the label (default: found, and told).",
    "test": "Your own test rows.",
    "documents": "Answer questions from these documents.",
    "time_column": "Column of the date: does accuracy hold on later rows?",
    "strategy": "Only these strategies (see choose strategies).",
    "model": "LLM to prompt: openai:gpt-4o-mini, ollama:NAME.",
    "tune": "Model to fine-tune: hf:ORG/NAME, or a folder.",
    "quick": "A first look in two minutes.",
    "budget": "Time to take: 90s, 10m, 2h (default: 10m).",
    "max_usd": "Spend at most; nothing is sent before you agree.",
    "target": "What is good enough: 90%.",
    "metric": "accuracy; or balanced, where rare labels matter.",
    "answers": "Columns or files: gpt4,mine or gpt4=out.jsonl.",
    "family": "How answers were made: mine=fine-tuning.",
}

# Under this key of the context's meta lies whether help shows every option.
ALL = "choose.all"


def _show_all(context: typer.Context, wanted: bool) -> None:
    if wanted:
        from choose.cli.console import print_record

        context.meta[ALL] = True
        print_record(context.get_help())
        raise typer.Exit


HelpAll = Annotated[
    bool,
    typer.Option("--help-all", is_eager=True, callback=_show_all, help="Show every option."),
]

PANELS = {
    "data": "Your data",
    "task": "Your data",
    "models": "What to compare",
    "given": "What to compare",
    "grid": "Time and money",
    "goal": "What is good enough",
    "constraints": "What is good enough",
    "run": "Where it runs",
}


def flags_of(section: str) -> dict[str, Any]:
    """Return the annotation of each flag of a section, by parameter."""
    return {name: _flag(name, field, PANELS[section]) for name, _, field in study_fields(section)}


def _flag(name: str, field: FieldInfo, panel: str) -> Any:
    hint = READERS[name][1] if name in READERS else ""
    types = get_args(field.annotation) or (field.annotation,)
    kind: Any = str if name in READERS else next((t for t in (bool, int, float) if t in types), str)
    if get_origin(field.annotation) is tuple:
        kind = list[str]
    # A switch has no --no- form: leaving it out keeps what the study file says.
    names = [f"--{name.replace('_', '-')}"] if kind is bool else []
    option = typer.Option(
        *names,
        help=f"{field.description}{hint}",
        metavar=None if kind is bool else METAVARS.get(name, kind.__name__.upper()),
        rich_help_panel=panel,
    )
    return Annotated[kind | None, option]


Data = Annotated[
    str | None,
    typer.Argument(metavar="FILE", help="CSV, TSV, JSON, JSONL, Parquet, chats; or sample:NAME."),
]


def _names(texts: list[str] | None) -> list[str] | None:
    """Read ``-s tfidf,probe`` like ``-s tfidf -s probe``."""
    parts = [part.strip() for text in texts or () for part in text.split(",")]
    return [part for part in parts if part] or texts


Strategies = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        "-s",
        metavar="NAME",
        callback=_names,
        help="Strategy to compare; repeatable, or several with commas. Default, and -s all: all "
        "for the task, except those that run only if named (`choose strategies`).",
        rich_help_panel=PANELS["models"],
    ),
]

# Each flag of one endpoint, with its help.
ENDPOINT_FLAGS = {
    "base_url": "Address of a server for --model, such as https://HOST/v1.",
    "api_key_env": "Environment variable that holds the API key. Default: the provider's.",
    "usd_per_million": "Dollars for a million tokens: IN,OUT or IN,CACHED,OUT.",
}

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Study file, or the folder of a study; flags override it. Default: choose.toml, if it "
        "exists; only -c lets a file name metrics of yours, models, servers and clusters.",
    ),
]

Out = Annotated[Path | None, typer.Option(help="Folder of the study. Default: .choose/…")]

Output = Annotated[
    list[Path] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Also write report.html, .md or .json; repeatable.",
    ),
]

Yes = Annotated[
    bool, typer.Option("--yes", help="Send requests to endpoints without asking first.")
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

_STUDY = "Folder of a study, or its number in the list of choose report."

Store = Annotated[Path, typer.Argument(help=_STUDY)]

NewestStore = Annotated[Path | None, typer.Argument(help=f"{_STUDY} Default: the newest.")]

DATA_FLAGS = {**flags_of("data"), **flags_of("task")}

GIVEN_FLAGS = flags_of("given")

GOAL_FLAGS = {**flags_of("goal"), **flags_of("constraints")}

RUN_FLAGS = flags_of("run")

# All that makes a study, in the order in which help lists it.
STUDY_FLAGS = {
    **DATA_FLAGS,
    "strategy": Strategies,
    **flags_of("models"),
    **{
        name: Annotated[
            str | None,
            typer.Option(help=text, metavar=METAVARS[name], rich_help_panel=PANELS["models"]),
        ]
        for name, text in ENDPOINT_FLAGS.items()
    },
    "quick": Annotated[
        bool | None,
        typer.Option(
            "--quick",
            help="A first look in a minute or two: rounds 0 and 1 alone, with every family in them "
            "(250 and 500 rows to learn from, 25 and 50 to answer). Other flags override it.",
            rich_help_panel=PANELS["grid"],
        ),
    ],
    **flags_of("grid"),
    **GOAL_FLAGS,
}

Command = TypeVar("Command", bound=Callable[..., Any])

KEYWORD = inspect.Parameter.KEYWORD_ONLY


def takes(flags: Mapping[str, Any]) -> Callable[[Command], Command]:
    """Give a command these flags, after its first argument.

    Their values are in the context's parameters; the command itself gets only its own.
    """

    def add(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        context, data, *rest = own.parameters.values()
        added = [
            inspect.Parameter(name, KEYWORD, default=None, annotation=flag)
            for name, flag in flags.items()
        ]
        after = [p.replace(kind=KEYWORD) for p in rest]
        after.append(inspect.Parameter("help_all", KEYWORD, default=False, annotation=HelpAll))

        @wraps(command)
        def run(*given: Any, **values: Any) -> Any:
            named = "config" not in own.parameters or values.get("config") is not None
            file = study_file.HERE if not named and study_file.HERE.is_file() else None
            about = nullcontext() if file is None else errors_naming(file)
            with about, errors_typed_for(command.__name__):
                return command(*given, **{n: v for n, v in values.items() if n in own.parameters})

        run.__signature__ = own.replace(parameters=[context, data, *added, *after])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in (context, data, *added, *after)}
        return cast("Command", run)

    return add


def overrides(context: typer.Context) -> dict[str, dict[str, Any]]:
    """Return what the command's flags set in a study, by section; None where one was not given.

    Raises:
        StudyError: naming the flag that cannot be read.
    """
    flags = context.params
    settings: dict[str, dict[str, Any]] = {
        section: {
            key: READERS[name][0](flags[name]) if name in READERS else _given(flags[name])
            for name, key, _ in study_fields(section)
            if name in flags
        }
        for section in PANELS
    }
    if flags.get("quick"):
        given = {key: value for key, value in settings["grid"].items() if value is not None}
        settings["grid"] = {**study_file.QUICK, **given}
    if "base_url" in flags:
        model, settings["endpoints"] = endpoint_settings(
            *(flags[name] for name in ("model", "base_url", "api_key_env", "usd_per_million"))
        )
        settings["models"]["model"] = model
    return settings


def _given(value: Any) -> Any:
    """Return a flag's value; None for a repeatable flag that was not given."""
    return None if value in ((), []) else value


@contextmanager
def errors_naming(file: Path) -> Iterator[None]:
    """Name a study file that no flag named in the errors that its settings may cause."""
    try:
        yield
    except (DataError, StudyError, StrategyError, ModelError) as error:
        if str(file) in str(error):
            raise
        raise type(error)(
            f"{error} Settings were also read from {file} in this folder; -c names another file."
        ) from error


@contextmanager
def errors_typed_for(command: str) -> Iterator[None]:
    """Let errors about columns give the command that was typed, instead of ``choose check``."""
    try:
        yield
    except DataError as error:
        raise DataError(typed_for(command, str(error))) from error


def typed_for(command: str, text: str) -> str:
    """Return a remark about columns with the name of a command in place of ``choose check``."""
    return text.replace("choose check ", f"choose {command} ")

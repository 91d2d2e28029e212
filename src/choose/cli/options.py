"""Flags that several commands share: the fields of a study that are marked as flags, and others.

Name, type and help text of a flag follow from the field of `choose.study.config.Study`. Here is
what the command line adds: panels, short names, and lists and times that are typed as text.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from choose.errors import DataError, ModelError, StrategyError, StudyError
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


def target(text: str | None) -> float | None:
    """Read ``0.9`` or ``90%``."""
    if text is None:
        return None
    try:
        return number(share(text), "--target", 0, 1)
    except ValueError as error:
        raise StudyError(f"--target {shown(text)} cannot be used: {error}.") from error


# Answers a month for one in each unit.
_PER_MONTH = {"day": 365.2425 / 12, "week": 365.2425 / 84, "month": 1.0, "year": 1 / 12}


def per_month(text: str | None) -> float | None:
    """Read ``200000/month`` or ``5,000/day`` as answers a month."""
    if text is None:
        return None
    match = re.fullmatch(r"([\d,_]*\d(?:\.\d+)?)(?:\s*/\s*(day|week|month|year))?", text.strip())
    amount = 0.0 if match is None else number(re.sub("[,_]", "", match[1]), "--volume", high=1e12)
    if match is None or not amount:
        raise StudyError(
            f"--volume {shown(text)} is no volume. Write the answers you need: 200000/month."
        )
    return amount * _PER_MONTH[match[2] or "month"]


# Typed as text: a reader for the flag, and what its help adds.
READERS: dict[str, tuple[Callable[[str | None], Any], str]] = {
    "budget": (seconds, " Default: 10m."),
    "target": (target, ""),
    "volume": (per_month, ""),
}

# What a flag takes, where the name of its type says too little.
METAVARS = {
    "model": "MODEL",
    "prompt": "FILE",
    "target": "SHARE",
    "budget": "TIME",
    "volume": "N/TIME",
    "usd_per_hour": "DOLLARS",
    "test": "FILE",
    "documents": "PATH",
    **dict.fromkeys(("max_usd", "max_usd_per_1000"), "DOLLARS"),
    "max_ms": "MS",
    **dict.fromkeys(("metric", "kind"), "NAME"),
    "answers": "WHICH",
    **dict.fromkeys((f"{role}_column" for role in ("text", "label", "teacher")), "COLUMN"),
    "base_url": "URL",
    "usd_per_million": "PRICES",
}

# A line for each option of everyday help; the full text is the field's description.
SHORT = {
    "data": "CSV, TSV, JSON, JSONL or Parquet.",
    "store": "Folder of a study, or its number (default: the newest).",
    "text_column": "Column of the text (default: found, and shown).",
    "label_column": "Column of the label (default: found, and shown).",
    "test": "Your own test rows.",
    "documents": "Answer questions from these documents.",
    "strategy": "Only these strategies (see choose strategies).",
    "model": "LLM to prompt: openai:gpt-4o-mini, ollama:NAME.",
    "prompt": "Your own prompt: a text with {text} and {labels}.",
    "set": "Any other setting: tune=hf:ORG/NAME, seeds=5.",
    "quick": "A first look in two minutes.",
    "budget": "Time to take: 90s, 10m, 2h (default: 10m).",
    "max_usd": "Spend at most; nothing is sent before you agree.",
    "target": "What is good enough: 90%.",
    "volume": "Answers you need, such as 200000/month.",
    "metric": "accuracy; or balanced, where rare labels matter.",
    "answers": "Columns or files: gpt4,mine or gpt4=out.jsonl.",
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
    "costs": "Time and money",
    "goal": "What is good enough",
    "constraints": "What is good enough",
}


def flags_of(section: str) -> dict[str, Any]:
    """Return the annotation of each flag of a section, by parameter."""
    return {name: _flag(name, field, PANELS[section]) for name, _, field in study_fields(section)}


def _flag(name: str, field: FieldInfo, panel: str) -> Any:
    hint = READERS[name][1] if name in READERS else ""
    types = get_args(field.annotation) or (field.annotation,)
    kind: Any = str if name in READERS else next((t for t in (bool, int, float) if t in types), str)
    several = any(get_origin(part) in (tuple, Mapping) for part in (field.annotation, *types))
    if several and name not in READERS:
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
        help="Compare only this strategy; repeatable, or several with commas. Default, and -s "
        "all: those for the task that need not be named (see choose strategies).",
        rich_help_panel=PANELS["models"],
    ),
]

# Each flag of one endpoint, with its help.
ENDPOINT_FLAGS = {
    "base_url": "Address of a server for --model, such as https://HOST/v1.",
    "usd_per_million": "Dollars for a million tokens: IN,OUT or IN,CACHED,OUT; once a --model.",
}

SET_FLAG = {
    "set": Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Any other setting, a key of the study file: seeds=5, margin=1%, "
            "tune=hf:ORG/NAME, group_column=customer, noise=0,0.1. Repeatable.",
        ),
    ]
}

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Study file, or the folder of a study; flags override it. Default: choose.toml here "
        "(its own metrics, models, servers and clusters count only with -c).",
    ),
]

Out = Annotated[Path | None, typer.Option(help="Folder of the study. Default: .choose/…")]

Output = Annotated[
    list[Path] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Also write report.html, .md or .json. Repeatable.",
    ),
]

Yes = Annotated[
    bool, typer.Option("--yes", help="Send requests to endpoints without asking first.")
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

_STUDY = "Folder of a study, or its number in the list of choose report."

Store = Annotated[Path, typer.Argument(metavar="STUDY", help=_STUDY)]

NewestStore = Annotated[
    Path | None, typer.Argument(metavar="STUDY", help=f"{_STUDY} Default: the newest.")
]

DATA_FLAGS = {**flags_of("data"), **flags_of("task")}

GIVEN_FLAGS = flags_of("given")

GOAL_FLAGS = {**flags_of("goal"), **flags_of("constraints")}

COST_FLAGS = flags_of("costs")

# All that makes a study, in the order in which help lists it.
STUDY_FLAGS = {
    **DATA_FLAGS,
    "strategy": Strategies,
    **flags_of("models"),
    **{
        name: Annotated[
            list[str] | None,
            typer.Option(help=text, metavar=METAVARS[name], rich_help_panel=PANELS["models"]),
        ]
        for name, text in ENDPOINT_FLAGS.items()
    },
    "quick": Annotated[
        bool | None,
        typer.Option(
            "--quick",
            help="A first look in two minutes: every family learns from at most 500 rows and "
            "answers 50. Other flags override it.",
            rich_help_panel=PANELS["grid"],
        ),
    ],
    **flags_of("grid"),
    **COST_FLAGS,
    **GOAL_FLAGS,
    **SET_FLAG,
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


def overrides(context: typer.Context, **more: Any) -> dict[str, dict[str, Any]]:
    """Return what the command's flags set in a study, by section; `more` adds keys."""
    known, flags = study_file.keywords(), context.params
    named = {name: key for section in PANELS for name, key, _ in study_fields(section)}
    given = {
        name if name in known else named[name]: READERS[name][0](value)
        if name in READERS
        else _given(value)
        for name, value in flags.items()
        if name in known or name in named
    }
    given |= {**study_file.settings_of(flags.get("set") or ()), **more}
    return study_file.overrides_of({k: v for k, v in given.items() if v is not None})


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

"""Flags that several commands share: the fields of a study that are marked as flags, and others.

Name, type and help text of a flag are those of the field of `choose.study.config.Study`; values are
read as there. Here is what the command line adds: panels, and flags of no study.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import typer

from choose.schema.study_sections import Flag
from choose.study import resolve_study
from choose.study.resolve_study import SHORTCUTS

# Under this key of the context's meta lies whether help shows every option.
ALL = "choose.all"


def _show_all(context: typer.Context, wanted: bool) -> None:
    if wanted:
        from choose.cli.console import print_record

        context.meta[ALL] = True
        print_record(context.get_help())
        raise typer.Exit


HelpAll = Annotated[
    bool, typer.Option("--help-all", is_eager=True, callback=_show_all, help="Show every option.")
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
    found = {}
    for name, field in resolve_study.flags_of(section).items():
        types = (field.annotation, *get_args(field.annotation))
        several = any(get_origin(part) in (tuple, Mapping) for part in types)
        kind: Any = bool if bool in types else list[str] if several else str
        takes = next(mark.takes for mark in field.metadata if isinstance(mark, Flag))
        found[name] = _flag(name, kind, takes, field.description, section)
    return found


def _flag(name: str, kind: Any, takes: str, text: str | None, section: str) -> Any:
    # A switch has no --no- form: leaving it out keeps what the study file says.
    names = [f"--{name.replace('_', '-')}"] if kind is bool else []
    option = typer.Option(*names, help=text, metavar=takes or None, rich_help_panel=PANELS[section])
    return Annotated[kind | None, option]


Data = Annotated[
    str | None,
    typer.Argument(metavar="FILE", help="CSV, TSV, JSON, JSONL, Parquet or chats. Or sample:NAME."),
]


def _names(texts: list[str] | None) -> list[str] | None:
    parts = [part.strip() for text in texts or () for part in text.split(",")]
    return [part for part in parts if part] or texts


Strategies = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        "-s",
        metavar="NAME",
        callback=_names,
        help="Only these strategies (see choose strategies). Repeatable, or with commas; by "
        "default, and with -s all, those for the task that need not be named.",
        rich_help_panel=PANELS["models"],
    ),
]

SET_FLAG = {
    "set": Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Any other setting: tune=hf:ORG/NAME, seeds=5. A key of the study file, such as "
            "margin=1%, group_column=customer or noise=0,0.1. Repeatable.",
        ),
    ]
}

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Study file, or the folder of a study; flags override it."),
]

Out = Annotated[Path | None, typer.Option(help="Folder of the study. Default: .choose/…")]

Output = Annotated[
    list[Path] | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Also write report.html, .md or .json. Repeatable."
    ),
]

Yes = Annotated[
    bool, typer.Option("--yes", help="Send requests to endpoints without asking first.")
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

_STUDY = "Folder of a study, or its number"

Store = Annotated[Path, typer.Argument(metavar="STUDY", help=f"{_STUDY} (see choose report).")]

NewestStore = Annotated[
    Path | None, typer.Argument(metavar="STUDY", help=f"{_STUDY} (default: the newest).")
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
    "base_url": _flag("base_url", list[str], *SHORTCUTS["base_url"], "models"),
    "usd_per_million": _flag("usd_per_million", list[str], *SHORTCUTS["usd_per_million"], "models"),
    "quick": _flag("quick", bool, *SHORTCUTS["quick"], "grid"),
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
            return command(*given, **{n: v for n, v in values.items() if n in own.parameters})

        run.__signature__ = own.replace(parameters=[context, data, *added, *after])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in (context, data, *added, *after)}
        return cast("Command", run)

    return add


def overrides(context: typer.Context, **more: Any) -> dict[str, dict[str, Any]]:
    """Return what the command's flags set in a study, by section; `more` adds keys."""
    known, flags = resolve_study.keywords(), context.params
    # A repeatable flag that was not given is empty.
    given = {n: v for n, v in flags.items() if n in known and v not in (None, (), [])}
    return resolve_study.overrides_of(
        {**given, **resolve_study.settings_of(flags.get("set") or ()), **more}
    )

"""The Typer application: its commands by purpose, and help screens in groups."""

import re
from importlib.metadata import version as installed
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from choose.cli.compare import compare, continue_, demo, score
from choose.cli.export import export, predict
from choose.cli.models_and_strategies import explain, models, strategies
from choose.cli.options import ALL
from choose.cli.plan import check, plan
from choose.cli.report import open_, report

# The commands by what they are for, in the order in which help lists them.
GROUPS = {
    "Start": ("demo", "check"),
    "Decide": ("compare", "score", "continue", "report", "open"),
    "Use": ("export", "predict"),
    "Know": ("plan", "strategies", "models", "explain"),
}

# What --help lists of a command with many options, in the order of its lines; --help-all has all.
EVERYDAY = {
    "check": ("text_column", "label_column", "test", "documents", "set", "output"),
    "compare": (
        *("text_column", "label_column", "test", "strategy", "model", "prompt"),
        *("quick", "budget", "max_usd", "volume", "target", "set"),
    ),
    "continue": ("budget", "max_usd", "strategy", "model", "set", "yes"),
    "score": ("gold", "answers", "scores", "volume", "baseline", "target", "output", "set"),
    "plan": ("strategy", "model", "budget", "no_data", "classes", "gain", "hourly_rate", "volume"),
}

# Lines to copy, shown first.
EXAMPLES = {
    "": (
        "choose demo                          see it on 602 support tickets",
        "choose check tickets.csv             are the labels good enough?",
        "choose compare tickets.csv           run everything, get an answer",
        "choose score answers.csv --gold label --answers gpt4,mine",
    ),
    "compare": (
        "choose compare tickets.csv --target 90% --budget 30m",
        "choose compare tickets.csv --model openai:gpt-4o-mini --max-usd 5",
        "choose compare train.csv --test test.csv --text-column subject,body",
    ),
    "continue": ("choose continue", "choose continue --budget 1h", "choose continue 2 -s lora"),
    "report": ("choose report", "choose report 2 --full", "choose report 2 1"),
    "score": (
        "choose score answers.csv",
        "choose score answers.csv --answers gpt4,mine --set family=mine=fine-tuning",
        "choose score answers.csv --answers gpt4=2.50/1k,mine=0.10/1k",
        "choose score gold.csv --answers gpt4=batch_output.jsonl --baseline",
    ),
    "plan": (
        "choose plan tickets.csv",
        "choose plan tickets.csv -s prompt --model openai:gpt-4o-mini",
        "choose plan --no-data --classes 8 --gain 3 --hourly-rate 30 --volume 100000",
    ),
}


def write_examples(command: str, formatter: Any) -> None:
    if examples := EXAMPLES.get(command):
        formatter.write("".join(f"\n  {line}" for line in ("", *examples))[1:] + "\n")


class Commands(TyperGroup):
    """Lists the commands by what they are for."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_examples("", formatter)
        width = max(map(len, self.commands))
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{n:<{width}}", self.commands[n].get_short_help_str(200)) for n in names]
                )
        formatter.write("\nOptions: --version, --help. All of a command: COMMAND --help-all.\n")


class Command(TyperCommand):
    """Lists lines to copy and the everyday options of a command, or all of them by panel."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_examples(str(self.name), formatter)
        everyday = EVERYDAY.get(str(self.name))
        if everyday is None or ctx.meta.get(ALL):
            self._format_panels(ctx, formatter)
            return
        named: dict[str, Any] = {str(param.name): param for param in self.get_params(ctx)}
        arguments = [name for name, p in named.items() if p.param_type_name == "argument"]
        rows = []
        for name in (*arguments, *everyday, "help_all"):
            head, told = named[name].get_help_record(ctx)
            rows.append((head, re.split(r"(?<=\.) (?=[A-Z])", told)[0]))
        with formatter.section("Options"):
            formatter.write_dl(rows)

    def _format_panels(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is not None:
                panel = getattr(param, "rich_help_panel", None) or "Options"
                title = "Arguments" if param.param_type_name == "argument" else panel
                sections.setdefault(title, []).append(record)
        for title in sorted(sections, key="Options".__eq__):  # those of no panel come last
            with formatter.section(title):
                formatter.write_dl(sections[title])


app = typer.Typer(
    cls=Commands,
    help="Prompt, retrieve or fine-tune? Compare them on your labelled data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

_FUNCTIONS = (
    *(demo, check, compare, score, continue_, report, open_),
    *(export, predict, plan, strategies, explain),
)
for function in _FUNCTIONS:
    extra = {"allow_extra_args": function is explain}  # a term of two words
    app.command(function.__name__.rstrip("_"), cls=Command, context_settings=extra)(function)
app.add_typer(models, name="models")


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Prompt, retrieve or fine-tune? Compare them on your labelled data."""
    if version:
        typer.echo(f"choose {installed('choose-llm')}")
        raise typer.Exit

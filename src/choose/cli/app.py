"""The Typer application: its commands by purpose, and help screens in groups."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from choose.cli.check import check
from choose.cli.compare import compare, demo
from choose.cli.export import export, predict
from choose.cli.models_and_strategies import models, strategies
from choose.cli.plan import plan
from choose.cli.report import report
from choose.cli.score import score

# The commands by what they are for, in the order in which help lists them.
GROUPS = {
    "Start": ("demo", "check"),
    "Decide": ("compare", "score", "report"),
    "Use": ("export", "predict"),
    "Know": ("plan", "strategies", "models"),
}

# Shown below the options; the mark keeps the lines as they are.
EXAMPLES = {
    "compare": """\b
    Examples:
      choose compare tickets.csv --quick
      choose compare tickets.csv --target 90% --budget 10m
      choose compare tickets.csv -s prompt --model openai:gpt-4o-mini --max-usd 5
      choose compare tickets.csv -s prompt -s few-shot --model ollama:qwen2.5:7b
      choose compare train.csv --test test.csv --text-column subject,body
    """,
    "score": """\b
    Examples:
      choose score answers.csv
      choose score answers.csv --answers gpt4,mine --family mine=fine-tuning
      choose score answers.csv --answers gpt4=2.50/1k,mine=0.10/1k
      choose score gold.csv --answers gpt4=batch_output.jsonl --baseline
    """,
    "plan": """\b
    Examples:
      choose plan tickets.csv
      choose plan tickets.csv -s prompt --model openai:gpt-4o-mini
      choose plan --no-data --classes 8 --gain 3 --hourly-rate 30
    """,
}


class Commands(TyperGroup):
    """Lists the commands by what they are for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group; no line is cut."""
        width = max(map(len, self.commands))
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{n:<{width}}", self.commands[n].get_short_help_str(200)) for n in names]
                )


class Command(TyperCommand):
    """Lists the options of a command by panel, those without one last."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for the arguments and for each panel."""
        sections: dict[str, list[tuple[str, str]]] = {}
        last: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is None:
                continue
            panel = getattr(param, "rich_help_panel", None)
            kind = "Arguments" if param.param_type_name == "argument" else panel
            (sections.setdefault(kind, []) if kind else last).append(record)
        for title, records in {**sections, "Options": last}.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


app = typer.Typer(
    cls=Commands,
    help="Prompt, retrieve or fine-tune? Compare them on your labelled data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

_FUNCTIONS = (demo, check, compare, score, report, export, predict, plan, strategies)
for function in _FUNCTIONS:
    app.command(cls=Command, epilog=EXAMPLES.get(function.__name__))(function)
app.add_typer(models, name="models")


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Prompt, retrieve or fine-tune? Compare them on your labelled data."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"choose {installed('choose-llm')}")
        raise typer.Exit

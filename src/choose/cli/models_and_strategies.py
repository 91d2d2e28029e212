"""`choose strategies` and `choose models`: list what is installed, fetch weights."""

import json
from dataclasses import asdict
from importlib.resources import files
from inspect import Parameter
from typing import Annotated, Any

import typer

from choose.cli.options import AsJson
from choose.engines.weights.spec import DEFAULTS
from choose.errors import StudyError, did_you_mean
from choose.models.endpoints.provider_names import provider_entries

# What --for takes, with the kind of task that it means.
TASKS = {
    "labels": "classification",
    "sets": "multilabel",
    "records": "extraction",
    "texts": "writing",
    "questions": "answering",
    "rankings": "ranking",
}

models = typer.Typer(help="List or fetch model weights.", rich_markup_mode=None)


@models.callback(invoke_without_command=True)
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """List the embedded weights, and the providers that --model PROVIDER:MODEL names."""
    if context.invoked_subcommand is not None:
        return
    from choose.cli.console import print_record, stdout
    from choose.engines.weights.fetch_wheel import inventory

    entries, served = inventory(), provider_entries()
    if as_json:
        record = {"schema": 1, "models": [asdict(entry) for entry in entries], "providers": served}
        print_record(json.dumps(record, indent=1, ensure_ascii=False))
        return
    from choose.report.terminal.inventory_page import models_page

    stdout().print(models_page(entries, served))


@models.command()
def fetch(
    specs: Annotated[
        list[str] | None, typer.Argument(help="Model specs. Default: the embedded weights.")
    ] = None,
) -> None:
    """Download and verify weights; later runs need no network."""
    from choose.cli.console import say
    from choose.engines.weights.resolve import resolve

    for spec in specs or DEFAULTS:
        resolve(spec)
        say(f"Cached: {spec}")


# Other names of words of the reports.
_SAME = {
    **dict.fromkeys(("95 % ci", "ci", "confidence interval"), "range"),
    **dict.fromkeys(("baseline", "classifier", "cheap classifier"), "cheap baseline"),
    **{"floor": "reference", "label noise": "noise", "likely": "sure", "p (holm)": "holm"},
}


def glossary() -> dict[str, str]:
    """Return the words of the reports, each explained in a sentence or two."""
    from choose.tasks.metrics import METRICS

    lines = (files("choose.report") / "glossary.txt").read_text("utf-8").splitlines()
    words = {name: text for name, _, text in (line.partition(": ") for line in lines)}
    metrics = [metric for metric in METRICS.values() if metric.help]
    return words | {m.name: f"{m.help[:1].upper()}{m.help[1:]}." for m in metrics}


def meaning(word: str) -> str | None:
    """Return what a word means, however it is written; None for one that is not known."""
    from choose.tasks.metrics import METRICS, metric_of

    same = _SAME | {metric.unit: metric.key for metric in METRICS.values()}
    plain = " ".join(word.lower().replace("_", " ").split())
    column = plain.startswith(("against ", "rows of "))
    plain = plain.split()[0] if column else metric_of(same.get(plain, plain)).name.lower()
    known = {name.lower(): text for name, text in glossary().items()}
    spellings = [plain, plain.removesuffix("s"), f"{plain}s", plain.replace(" ", "-")]
    spellings += [f"{plain.removesuffix('@k')}@10"]  # of a ranking's metrics
    return next((known[spelling] for spelling in spellings if spelling in known), None)


def explain(
    context: typer.Context,
    word: Annotated[
        str | None, typer.Argument(help="Word of a report, or a strategy. Default: list all.")
    ] = None,
) -> None:
    """Explain a word of the reports."""
    from choose.cli.console import stdout
    from choose.report.terminal.pages import pairs
    from choose.strategy import available, describe

    known = glossary()
    if word is None:
        stdout().print(pairs([(name, known[name]) for name in sorted(known, key=str.lower)]))
        return
    word = " ".join([word, *context.args])
    text, strategy = meaning(word), word.lower() in available()
    if text is not None:
        stdout().print(text)
    if strategy:
        found = describe(word.lower())
        title = f"{found.title[:1].upper()}{found.title[1:]}"
        needs = f" Needs {found.needs}." * bool(found.needs)
        takes = ", ".join(found.hyperparameters) or "no hyperparameter"
        told = f"{title}. {found.summary} Good for {found.good_for}.{needs} Takes {takes}."
        stdout().print(told, markup=False)
    elif text is None:
        raise StudyError(
            f"{word!r} is not in the glossary.{did_you_mean(word, [*known, *available()])} "
            "choose explain lists all words."
        )


def strategies(
    task: Annotated[
        str | None,
        typer.Option("--for", metavar="TASK", help=f"Only those for a task: {', '.join(TASKS)}."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List strategies; choose explain NAME says more of one."""
    from choose.cli.console import print_record, stdout
    from choose.report.terminal.inventory_page import strategies_page
    from choose.strategy import available, describe

    if task is not None and task not in TASKS:
        raise StudyError(f"--for {task!r} cannot be used. Allowed: {', '.join(TASKS)}.")
    descriptions = [describe(each) for each in available()]
    descriptions = [d for d in descriptions if task is None or TASKS[task] in d.kinds]
    if as_json:
        record = {"schema": 1, "strategies": [asdict(each) for each in descriptions]}
        options: dict[str, Any] = {"indent": 1, "ensure_ascii": False}
        options["default"] = lambda v: None if v is Parameter.empty else str(v)
        print_record(json.dumps(record, **options))
    else:
        stdout().print(strategies_page(descriptions))

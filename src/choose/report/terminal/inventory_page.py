"""Installed strategies, models and stored studies for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import Parameter
from itertools import groupby
from pathlib import PurePath

from rich.console import RenderableType
from rich.text import Text

from choose.formatting import chance, clean, figure, in_percent
from choose.report.screen_text import literal, shorten
from choose.report.terminal.layout import Column, Page, note, pairs, section, split_table
from choose.schema.inventory import CacheUsage, Entry, ProviderEntry, StoredStudy
from choose.strategy import Description
from choose.types import FAMILIES

FIRST_PARTY = "choose-llm"


def strategies_page(strategies: Sequence[Description]) -> Page:
    """Return the installed strategies by family; those that fail to load come last."""
    order = {family: place for place, family in enumerate(FAMILIES)}
    rows = sorted(
        strategies, key=lambda d: order.get(d.family, len(order)) if d.family else len(order)
    )
    parts: list[RenderableType] = []
    for family, group in groupby(rows, key=lambda d: d.family):
        parts.append(section(family or "cannot be loaded", pairs(map(_line, group))))
    parts.append(Text())
    parts.append(
        note(
            "compare runs all for your kind of task, except those with *, which run only if named "
            "(-s all -s NAME). More of one: choose strategies NAME. Fewer: --for labels."
        )
    )
    return Page(lambda width: parts)


def _line(strategy: Description) -> tuple[Text, Text]:
    """Return a strategy with what it is, in a line."""
    if strategy.error is not None:
        return _purpose(strategy)
    star = "*" if strategy.only_if_named else ""
    text = literal(strategy.title or strategy.summary)
    text.append(f": {clean(strategy.good_for)}" if strategy.good_for else "", style="dim")
    _append_origin(text, strategy)
    return literal(f"{strategy.name}{star}", "bold"), text


def _purpose(strategy: Description) -> tuple[Text, Text]:
    """Return a strategy with what it is good for, needs and takes."""
    name = literal(strategy.name, "bold")
    if strategy.error is not None:
        return name, literal(f"{strategy.error} (from {strategy.origin})", "red")
    text = literal(strategy.title or strategy.summary)
    said = {"good for": strategy.good_for, "needs": strategy.needs, "takes": strategy.takes}
    said["tasks"] = ", ".join(strategy.kinds)
    for key, told in said.items():
        if told:
            text.append(f"\n{key}: {clean(told)}", style="dim")
    if strategy.only_if_named:
        text.append(f"\nruns only if named: -s {clean(strategy.name)}", style="dim")
    _append_origin(text, strategy)
    return name, text


def strategy_page(strategy: Description) -> Page:
    """Return one strategy with its hyperparameters, their defaults and its variants."""
    name, text = _purpose(strategy)
    parts: list[RenderableType] = [pairs([(name, text)])]
    if strategy.error is None:
        parts += [Text(), literal(strategy.summary)]
    params = [(literal(k), literal(_default(v))) for k, v in strategy.hyperparameters.items()]
    if params:
        parts.append(section("Hyperparameters and defaults", pairs(params)))
    variants = [
        (literal(name), literal(", ".join(f"{k} = {_default(v)}" for k, v in changed.items())))
        for name, changed in strategy.variants.items()
    ]
    if variants:
        parts.append(section("Variants that compare measures as well", pairs(variants)))
    parts += [Text(), note("Set them in the study file: [[candidates]] params = { ... }.")]
    return Page(lambda width: parts)


def _append_origin(text: Text, strategy: Description) -> None:
    if not strategy.origin.startswith(f"{FIRST_PARTY} "):
        text.append(f"\nfrom {clean(strategy.origin)}", style="yellow")


def _default(value: object) -> str:
    """Return a default as text; a model in a wheel by its package name."""
    if value is Parameter.empty:
        return "(must be given)"
    if value is None:
        return "automatic"
    if isinstance(value, str) and value.startswith("pypi:"):
        return value.removeprefix("pypi:").split("==")[0]
    return repr(value)


def models_page(
    entries: Sequence[Entry], work: CacheUsage, providers: Sequence[ProviderEntry] = ()
) -> Page:
    """Return the embedded and cached weights, the size of the result cache, and the providers."""
    cached = sum(entry.cached_mb or 0.0 for entry in entries)
    parts: list[RenderableType] = [
        pairs([*(_model(entry) for entry in entries), _work(work)]),
        section("Behind an API: --model PROVIDER:MODEL", pairs(map(_provider, providers))),
        Text(),
        note(
            f"{figure(cached)} MB are cached. Download the others: choose models fetch. --model, "
            "--set tune=SPEC and --set encoder=SPEC also take a folder with safetensors, a hub id "
            "(hf:ORG/NAME) or a pypi: spec."
        ),
    ]
    return Page(lambda width: parts)


def _provider(entry: ProviderEntry) -> tuple[Text, Text]:
    text = literal(f"{entry.title}, such as {entry.example}")
    if entry.key_is_set:
        text.append(f"\n✓ {clean(entry.key)} is set", style="green")
    else:
        text.append(f"\n{clean(entry.key)} is not set" if entry.key else "\nno key", style="dim")
    return literal(f"{entry.name}:", "bold"), text


def _model(entry: Entry) -> tuple[Text, Text]:
    if entry.damage is not None:
        text = literal(
            f"damaged: {clean(entry.damage)}; fetch it again: choose models fetch", "red"
        )
    elif entry.cached_mb is not None:
        text = literal(f"✓ cached, {figure(entry.cached_mb)} MB", "green")
    else:
        size = f" ({figure(entry.download_mb)} MB to download)" if entry.download_mb else ""
        text = literal(f"not cached yet{size}", "yellow")
    text.append("".join(f"; {clean(part)}" for part in _facts(entry)), style="default")
    for line in filter(None, (entry.spec, entry.path)):
        text.append(f"\n{clean(line)}", style="dim")
    return literal(entry.name, "bold"), text


def _work(usage: CacheUsage) -> tuple[Text, Text]:
    text = literal(f"{figure(usage.mb)} of at most {figure(usage.limit_mb)} MB (CHOOSE_KEEP_GB)")
    text.append("; embeddings and scores for later studies of the same texts; contains no text")
    text.append("\nto empty it: choose models clear", style="dim")
    if usage.path:
        text.append(f"\n{clean(usage.path)}", style="dim")
    return literal("result cache", "bold"), text


def _facts(entry: Entry) -> Iterator[str]:
    if entry.role:
        yield entry.role
    if entry.licence:
        yield entry.licence


def studies_page(studies: Sequence[StoredStudy]) -> Page:
    """Return a table of the studies in a folder, in the order given."""
    cells: dict[str, list[str]] = {}
    for number, study in enumerate(studies, 1):
        row = {
            "": str(number),
            "written": f"{study.written.astimezone():%Y-%m-%d %H:%M}",
            "data": shorten(study.data, 20),
            "metric": study.metric,
            "use": shorten(study.candidate or "", 16),
            "score": "" if study.score is None else in_percent(study.score),
            "chance": "" if study.chance is None else chance(study.chance),
            "verdict": study.kind or "not decided",
        }
        for head, cell in row.items():
            cells.setdefault(head, []).append(cell)
    columns = [Column(head, [literal(cell) for cell in told]) for head, told in cells.items()]
    folder = clean(str(PurePath(studies[0].path).parent))
    told = note(f"In {folder}. Show one: choose report NUMBER. Its page: choose open NUMBER.")
    return Page(lambda width: [*split_table(columns, width), Text(), told])

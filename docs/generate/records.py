"""The reference pages of the study file and of `decision.json`, from their JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from choose.schema.decision import Decision
from choose.study.config import Study
from choose.tasks.metrics import METRICS
from generate.commands import flag_names
from generate.markdown import code, table
from generate.schemas import Schema, schema_of

STUDY_INTRO = """# The study file

A TOML file that `-c FILE` names ([an example](../your-file.md#a-study-file)). Flags override it,
and `--set KEY=VALUE` sets a key that has no flag of its own; a list takes commas. An unknown key is
refused, with the closest known one. Everything is fixed before the run: the study is written, as
resolved, to `study.toml` in the store. A key without a default may be left out, unless it is
`strategy`.

The same as a JSON Schema, for editors: [study.schema.json](study.schema.json).

"""
METRICS_INTRO = """## Metrics

What `--metric` names; the first of a kind is its default. Each is a mean over rows from 0 to 1, of
which more is better. [Your own](../your-own-strategy.md#a-metric-of-your-own) counts as well.
"""
DECISION_INTRO = """# decision.json

The record of a decision: every figure of a report stands in it. `choose report STORE --json`
prints it, and it lies in the store. A figure that was not measured is null, never zero. Shares and
differences are fractions: 0.02 is two points. Intervals are 95 %.

For programs: [decision.schema.json](decision.schema.json). The number under `schema` is raised
when a reader of the old form would misread the new one; new fields may come without that.

"""

NULL = ", or null"


def study_schema() -> Schema:
    """Return the JSON Schema of a study file."""
    return schema_of(Study, "validation")


def decision_schema() -> Schema:
    """Return the JSON Schema of a decision record."""
    return schema_of(Decision, "serialization")


def study_page() -> str:
    """Return the reference of the study file, section by section."""
    schema, flags = study_schema(), flag_names("compare")
    parts = [STUDY_INTRO]
    for section, found in schema["properties"].items():
        definition = _definition(schema, found)
        if definition is None:
            continue
        parts += [f"## {_head(section, found)}\n", f"{definition['description']}\n"]
        # A section that stands there several times has keys that no one flag sets.
        own = {} if {"items", "additionalProperties"} & set(found) else flags
        rows = [
            (code(key), _meaning(key, prop, own), _taken(prop))
            for key, prop in definition["properties"].items()
        ]
        parts.append(table(("key", "meaning", "takes"), rows))
    return "\n".join([*parts, METRICS_INTRO, _metrics()])


def _metrics() -> str:
    told = [(m.kind, code(m.key), m.name, m.help) for m in METRICS.values() if m.help]
    return table(("kind of task", "`--metric`", "in reports", "what it is"), told)


def decision_page() -> str:
    """Return the reference of the decision record, part by part."""
    schema = decision_schema()
    parts = [DECISION_INTRO]
    for name, definition in {"Decision": schema, **schema["$defs"]}.items():
        parts += [f"## {name}\n", f"{definition['description']}\n"]
        rows = [
            (code(key), prop.get("description", ""), _takes(prop))
            for key, prop in definition["properties"].items()
        ]
        explained = any(meaning for _, meaning, _ in rows)
        heads = ("field", "meaning", "holds")
        parts.append(table(heads, rows) if explained else table(heads[::2], [r[::2] for r in rows]))
    return "\n".join(parts)


def _definition(schema: Schema, found: Schema) -> Schema | None:
    """Return the section behind a top-level key; None for a plain value."""
    inner = found.get("items") or found.get("additionalProperties") or found
    reference = inner.get("$ref")
    return schema["$defs"][reference.split("/")[-1]] if reference else None


def _head(section: str, found: Schema) -> str:
    """Return the head of a section as a study file writes it."""
    if "items" in found:
        return f"[[{section}]]"
    return f"[{section}.NAME]" if "additionalProperties" in found else f"[{section}]"


def _meaning(key: str, prop: Schema, flags: Mapping[str, str]) -> str:
    """Return the description of a key, with the flag that sets it too."""
    flag = flags.get(key)
    return f"{prop.get('description', '')}{f' Flag: {code(flag)}.' if flag else ''}"


def _taken(prop: Schema) -> str:
    """Say what a key of the study file takes; TOML has no null, so it goes unsaid."""
    taken, value = _takes(prop).removesuffix(NULL), prop.get("default")
    if value is None or value in ({}, [], ()):
        return taken
    return f"{taken}; default {code(str(value).lower() if isinstance(value, bool) else value)}"


def _takes(prop: Schema) -> str:
    """Say in words what a property holds."""
    limits = ", ".join(_limits(prop))
    return f"{_kind(prop)} ({limits})" if limits else _kind(prop)


def _kind(prop: Schema) -> str:
    if "$ref" in prop:
        name = prop["$ref"].split("/")[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in prop:
        kinds = [_takes(part) for part in prop["anyOf"] if part.get("type") != "null"]
        null = len(kinds) < len(prop["anyOf"])
        return f"{' or '.join(kinds)}{NULL if null else ''}"
    if "const" in prop or "enum" in prop:
        return ", ".join(code(value) for value in prop.get("enum", [prop.get("const")]))
    if prop.get("type") == "array":
        inner = prop.get("items") or prop["prefixItems"][0]
        return f"{'list' if 'items' in prop else 'pair'} of {_takes(inner)}"
    if prop.get("type") == "object":
        inner = prop.get("additionalProperties")
        return f"table of {_takes(inner)}" if isinstance(inner, dict) and inner else "table"
    if prop.get("format") == "date":
        return "date"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    plain = str(prop.get("type", "anything"))
    return words.get(plain, plain)


def _limits(prop: Schema) -> Iterator[str]:
    said = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    for key, words in said.items():
        if key in prop:
            yield f"{words} {prop[key]:g}"

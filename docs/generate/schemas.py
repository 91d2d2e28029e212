"""JSON Schemas of the study file and of the decision, with the docstrings as descriptions."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Any

from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ATTRIBUTES = re.compile(r"\n\s*Attributes:\n(.*)", re.DOTALL)
_ATTRIBUTE = re.compile(r"^(\w+): ", re.MULTILINE)

Schema = dict[str, Any]


def schema_of(model: type[BaseModel], mode: str) -> Schema:
    """Return the schema of a model and of all it holds.

    Args:
        model: the outermost model.
        mode: "validation" for what may be given, "serialization" for what is written.
    """
    found: Schema = model.model_json_schema(mode=mode)  # type: ignore[arg-type]
    for definition in (found, *found.get("$defs", {}).values()):
        _explain(definition)
    return {"$schema": DIALECT, **found}


def _explain(definition: Schema) -> None:
    """Move what a docstring says of single attributes to those properties."""
    text = dedent(definition.get("description", ""))
    listed = _ATTRIBUTES.search(text)
    definition["description"] = (text[: listed.start()] if listed else text).strip()
    if not listed:
        return
    # Names and texts alternate after whatever stands before the first name.
    parts = _ATTRIBUTE.split(dedent(listed[1]))[1:]
    for name, said in zip(parts[::2], parts[1::2], strict=True):
        definition["properties"][name].setdefault("description", " ".join(said.split()))

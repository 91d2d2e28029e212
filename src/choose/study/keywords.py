"""The study file's keys as keywords of a call: derived, so that no option is written twice."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from choose.errors import StudyError, did_you_mean
from choose.study.durations import seconds
from choose.study.study import Study

# Given as the call's own arguments instead.
_ELSEWHERE = {("data", "path")}


def keywords() -> dict[str, tuple[str, inspect.Parameter]]:
    """Return each keyword with its section and the parameter it makes."""
    found = {"budget": ("grid", _parameter("budget", "float | str | None"))}
    for section, field in Study.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        for name, inner in model.model_fields.items():
            if (section, name) not in _ELSEWHERE and name != "budget_seconds":
                found[name] = (section, _parameter(name, inner.annotation))
    return found


def overrides_of(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort keywords into the sections of a study; None is a keyword that was not given.

    Raises:
        StudyError: for one that does not exist, with the closest that does.
    """
    known, found = keywords(), dict[str, dict[str, Any]]()
    for name, value in given.items():
        if name not in known:
            raise StudyError(
                f"Unknown keyword {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}."
            )
        key, value = _budget(value) if name == "budget" else (name, value)
        found.setdefault(known[name][0], {})[key] = value
    return found


def _budget(value: Any) -> tuple[str, float | None]:
    text = str(value) if isinstance(value, int | float) else value
    return "budget_seconds", seconds(text, "budget")


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )

"""A fitted strategy as files: JSON for facts, safetensors for arrays; nothing that runs code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.errors import StrategyError
from choose.types import Example, Task

FACTS, ARRAYS = "fitted.json", "fitted.safetensors"

Facts = Mapping[str, Any]
Arrays = Mapping[str, npt.NDArray[Any]]


def write_fitted(folder: Path, strategy: Any, facts: Facts, arrays: Arrays | None = None) -> None:
    """Write what was learnt, with the hyperparameters and the weights it was learnt on."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    whole = {"settings": _settings(strategy), "weights": _weights(strategy), **facts}
    # Escaped, so that half of a Unicode character, which no file may hold, survives.
    (folder / FACTS).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    if arrays:
        # Arrays that are not contiguous would be written in the wrong order.
        save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, folder / ARRAYS)


def read_fitted(folder: Path, strategy: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give a strategy its hyperparameters back and return the facts and the arrays.

    Raises:
        StrategyError: if the files cannot be read, or the weights are not those they go with.
    """
    facts = read_json(folder / FACTS)
    try:
        for name in _settings(strategy):
            setattr(strategy, name, facts["settings"][name])
        known = facts["weights"]
    except KeyError as missing:
        raise _damaged(folder / FACTS, f"it lacks {missing}") from missing
    if known != _weights(strategy):
        raise StrategyError(
            f"{str(folder)!r} goes with other weights than those its model names lead to now. Put "
            "the old weights back, or export it again."
        )
    return facts, _arrays(folder / ARRAYS)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object that was saved.

    Raises:
        StrategyError: if there is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(found, dict):
        raise _damaged(path, "it holds no object")
    return found


def task_facts(task: Task) -> dict[str, Any]:
    """Return a task as plain values."""
    return {**asdict(task), "descriptions": dict(task.descriptions)}


def task_from(facts: Facts) -> Task:
    """Read back what `task_facts` returned."""
    return Task(**{**facts, "labels": tuple(facts["labels"]), "names": tuple(facts["names"])})


def row_facts(rows: Sequence[Example]) -> list[list[str]]:
    """Return what a strategy may see of rows, as plain values."""
    return [[row.id, row.text, row.target] for row in rows]


def rows_from(facts: Sequence[Sequence[str]]) -> list[Example]:
    """Read back what `row_facts` returned."""
    return [Example(id=id, text=text, target=target) for id, text, target in facts]


def _settings(strategy: Any) -> dict[str, Any]:
    named = list(inspect.signature(type(strategy).__init__).parameters)[1:]
    return {name: getattr(strategy, name) for name in named}


def _weights(strategy: Any) -> str:
    return str(strategy.weights()) if hasattr(strategy, "weights") else ""


def _arrays(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.exists():
        return {}
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> StrategyError:
    return StrategyError(f"Cannot read {str(path)!r}: {why}. Export it again.")

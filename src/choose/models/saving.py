"""A fitted strategy as files: JSON for facts, safetensors for arrays; nothing that runs code.

What reads an export has compared each file with its digest, and reports any error of a reader here.
Values that would change answers silently are refused here.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.engines.weights.safe_folders import unlike
from choose.errors import StrategyError
from choose.strategy import check_hyperparameters
from choose.types import Example

FACTS, ARRAYS = "fitted.json", "fitted.safetensors"

Facts = Mapping[str, Any]

Arrays = Mapping[str, npt.NDArray[Any]]

# What a fit learns: attributes, each with what restores it from its facts, its arrays or both.
Learnt = Mapping[str, Callable[..., Any]]


def write_fitted(folder: Path, strategy: Any, facts: Facts, arrays: Arrays | None = None) -> None:
    """Write a fitted strategy's state, with its hyperparameters and the digest of its weights.

    Arrays hold finite floats, int64 or bool; others are refused when they are read.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(strategy, name) for name in _names(strategy)}
    content = {"settings": settings, "weights": _weights(strategy), **facts}
    # json escapes lone surrogates, which no UTF-8 file may hold.
    (folder / FACTS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arrays:
        # Arrays that are not contiguous would be written in the wrong order.
        save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, folder / ARRAYS)


def read_fitted(folder: Path, strategy: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set a strategy's saved hyperparameters and return the facts and the arrays.

    Raises:
        StrategyError: if a hyperparameter or an array holds what none may hold.
    """
    facts = json.loads((folder / FACTS).read_text("utf-8"))
    settings = {name: facts["settings"][name] for name in _names(strategy)}
    try:
        check_hyperparameters(type(strategy).__name__, type(strategy), settings)
    except StrategyError as error:
        raise unlike(folder / FACTS, str(error).rstrip(".")) from error
    for name, value in settings.items():
        setattr(strategy, name, value)
    if facts["weights"] != _weights(strategy):
        raise StrategyError(
            f"{str(folder)!r} goes with other weights than those its model names lead to now. Put "
            "the old weights back, or export it again."
        )
    return facts, _read_arrays(folder / ARRAYS) if (folder / ARRAYS).exists() else {}


def write_learnt(folder: Path, strategy: Any) -> None:
    """Write the attributes that a strategy's `learnt` names: arrays, plain values, and others.

    Others say what they are by `state` (facts and arrays) or `facts`.
    """
    facts, arrays = dict[str, Any](), dict[str, Any]()
    for name in strategy.learnt:
        value = getattr(strategy, name)
        if isinstance(value, np.ndarray):
            arrays[name] = value
        elif hasattr(value, "state"):
            facts[name], own = value.state()
            arrays |= {f"{name} {key}": array for key, array in own.items()}
        else:
            facts[name] = value.facts() if hasattr(value, "facts") else value
    write_fitted(folder, strategy, facts, arrays)


def read_learnt(folder: Path, strategy: Any) -> None:
    """Restore these attributes, each by the function that `learnt` has for its name."""
    facts, arrays = read_fitted(folder, strategy)
    for name, restore in strategy.learnt.items():
        parts = [name] if name in arrays else [k for k in arrays if k.startswith(f"{name} ")]
        own = {key.removeprefix(f"{name} "): arrays[key] for key in parts}
        given = [facts[name]] if name in facts else []
        if own:
            given.append(own if given else own[name])
        setattr(strategy, name, restore(*given))


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    from safetensors.numpy import load_file

    arrays: dict[str, npt.NDArray[Any]] = load_file(path)
    for name, array in arrays.items():
        if array.dtype.kind != "f" and array.dtype not in (np.int64, np.bool_):
            raise unlike(path, f"{name} holds {array.dtype}")
        if not np.isfinite(array).all():
            raise unlike(path, f"{name} holds NaN or infinity")
    return arrays


def row_facts(rows: Sequence[Example]) -> list[list[Any]]:
    """Return what a strategy may see of rows, as plain values: id, text, target, and the rest."""
    return [
        [row.id, row.text, row.target]
        + ([dict(row.fields), list(row.accepted)] if row.fields or row.accepted else [])
        for row in rows
    ]


def rows_from(facts: Sequence[Sequence[Any]]) -> list[Example]:
    return [
        Example(
            id=row[0],
            text=row[1],
            target=row[2],
            fields=dict(row[3]) if row[3:] else {},
            accepted=tuple(row[4]) if row[4:] else (),
        )
        for row in facts
    ]


def _names(strategy: Any) -> list[str]:
    return list(inspect.signature(type(strategy).__init__).parameters)[1:]


def _weights(strategy: Any) -> str:
    return str(strategy.weights()) if hasattr(strategy, "weights") else ""

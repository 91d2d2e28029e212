"""A fitted strategy as files: JSON for facts, safetensors for arrays; nothing that runs code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.corpus import Corpus, Document
from choose.errors import StrategyError
from choose.files import check_regular, read_text
from choose.strategy import check_hyperparameters
from choose.types import Example

FACTS, ARRAYS = "fitted.json", "fitted.safetensors"

Facts = Mapping[str, Any]

Arrays = Mapping[str, npt.NDArray[Any]]


def write_fitted(folder: Path, strategy: Any, facts: Facts, arrays: Arrays | None = None) -> None:
    """Write a fitted strategy's state, with its hyperparameters and the digest of its weights."""
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
    """Set a strategy's saved hyperparameters and return the facts and the arrays."""
    facts = read_json(folder / FACTS)
    try:
        settings = {name: facts["settings"][name] for name in _names(strategy)}
        check_hyperparameters(type(strategy).__name__, type(strategy), settings)
        known = facts["weights"]
    except StrategyError as error:
        raise _damaged(folder / FACTS, str(error).rstrip(".")) from error
    except (KeyError, TypeError) as error:
        raise _damaged(folder / FACTS, f"it lacks {error}") from error
    for name, value in settings.items():
        setattr(strategy, name, value)
    if known != _weights(strategy):
        raise StrategyError(
            f"{str(folder)!r} goes with other weights than those its model names lead to now. Put "
            "the old weights back, or export it again."
        )
    return facts, _arrays(folder / ARRAYS)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(content, dict):
        raise _damaged(path, "it holds no object")
    return content


def read_labels(facts: Facts) -> tuple[str, ...]:
    """Return the saved labels.

    Raises:
        ValueError: if they are no distinct texts.
    """
    labels = tuple(facts["labels"])
    if not labels or len(set(labels)) < len(labels) or not all(isinstance(x, str) for x in labels):
        raise ValueError("the labels are no list of different texts")
    return labels


def floats(arrays: Arrays, name: str, *shape: int) -> npt.NDArray[Any]:
    """Return a saved array of that shape; -1 means any length.

    Raises:
        ValueError: if it has another shape or type, or a number that is not finite.
    """
    array = np.asarray(arrays[name])
    fits = len(array.shape) == len(shape) and all(
        wanted in (-1, length) for wanted, length in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(
            f"{name!r} holds {array.dtype} of shape {array.shape}; finite floats of shape {shape} "
            "are needed"
        )
    return array


def row_facts(rows: Sequence[Example]) -> list[list[Any]]:
    """Return what a strategy may see of rows, as plain values: id, text, target, and the rest."""
    return [
        [row.id, row.text, row.target]
        + ([dict(row.fields), list(row.accepted)] if row.fields or row.accepted else [])
        for row in rows
    ]


def rows_from(facts: Sequence[Sequence[Any]]) -> list[Example]:
    """Return the rows that `row_facts` described.

    Raises:
        ValueError: if one is not an id, a text and a target, with fields and further answers.
    """
    for row in facts:
        fields, accepted = row[3:] or ({}, ())
        texts = [*row[:3], *fields, *fields.values(), *accepted]
        if len(row) not in (3, 5) or not all(isinstance(part, str) for part in texts):
            raise ValueError("a row is not an id, a text and a label")
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


def corpus_facts(corpus: Corpus) -> list[list[str]]:
    return [[document.id, document.title, document.text] for document in corpus.documents]


def corpus_from(facts: Sequence[Sequence[Any]]) -> Corpus:
    """Return the documents that `corpus_facts` described.

    Raises:
        ValueError: if one is not an id, a title and a text, or two have the same id.
    """
    for row in facts:
        if len(row) != 3 or not all(isinstance(part, str) for part in row):
            raise ValueError("a document is not an id, a title and a text")
    if len({row[0] for row in facts}) < len(facts):
        raise ValueError("two documents have the same id")
    return Corpus(tuple(Document(id=row[0], title=row[1], text=row[2]) for row in facts))


def _names(strategy: Any) -> list[str]:
    return list(inspect.signature(type(strategy).__init__).parameters)[1:]


def _weights(strategy: Any) -> str:
    return str(strategy.weights()) if hasattr(strategy, "weights") else ""


def _arrays(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.exists():
        return {}
    try:
        check_regular(path)
        arrays = dict(load_file(path))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    for name, array in arrays.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise _damaged(path, f"{name} holds NaN")
    return arrays


def _damaged(path: Path, why: str) -> StrategyError:
    return StrategyError(f"Cannot read {str(path)!r}: {why}. Export it again.")

"""Memory: what two models of a process have in common is held once, what is free is given back."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable

# Models by the digest of what they were loaded from.
_LOADED: dict[str, list[ref[Any]]] = {}


def share_weights(model: Any, digest: str) -> None:
    """Let a frozen model use the tensors of those that were loaded from the same weights before.

    A language model that is prompted and the base of an adapter are the same weights, unless their
    number types differ. Nobody may change them.
    """
    mine = _parameters(model)
    for held in _LOADED.get(digest, ()):
        other = held()
        theirs = _parameters(other) if other is not None else {}
        for name in mine.keys() & theirs.keys():
            own, known = mine[name], theirs[name]
            alike = (own.shape, own.dtype, own.device) == (known.shape, known.dtype, known.device)
            if alike and not known.requires_grad:
                own.data = known.data
    _LOADED.setdefault(digest, []).append(ref(model))


def _parameters(model: Any) -> dict[str, Any]:
    """Return parameters by their names in the model without its head."""
    prefix = f"{model.base_model_prefix}."
    return {name.removeprefix(prefix): tensor for name, tensor in model.named_parameters()}


def give_back() -> None:
    """Give freed memory back to the system, where the C library keeps it (glibc).

    Training and asking allocate tensors of ever other sizes; what they free comes to fill
    gigabytes.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None

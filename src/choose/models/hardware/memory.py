"""How much is computed at a time: what keeps a processor busy, and fits beside a model."""

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


# Tokens of a scored batch of prompts, of a batch of texts that a tuned model is asked, and of one
# pass of several trials that are trained together; texts of a batch that is embedded. Of
# processors, these were measured; of accelerators nothing was.
_SCORED = {"cpu": 1280, "mps": 4096, "cuda": 8192}


_ASKED = {"cpu": 2048, "mps": 8192, "cuda": 16_384}


_TRAINED = {"cpu": 640, "mps": 2048, "cuda": 4096}


_EMBEDDED = {"cpu": 32, "mps": 64, "cuda": 256}


_REMEMBERED = {"cpu": 256 << 20, "mps": 512 << 20, "cuda": 2048 << 20}


# Bytes: of the logits of a scored batch, enough for every pass of the default model; and of what a
# training pass keeps for its way back: on a processor two are under way at a time, and a study of
# 10,000 rows of 128 tokens stays within 4 GB.
_LOGITS = {"cpu": 512 << 20, "mps": 1024 << 20, "cuda": 2048 << 20}


_KEPT = {"cpu": 640_000_000, "mps": 2_400_000_000, "cuda": 4_800_000_000}


def scored_tokens(device: str) -> int:
    """Return the tokens of a pass that scores labels after prompts."""
    return _SCORED.get(device, _SCORED["cpu"])


def scored_rows(device: str, vocabulary: int, size: int) -> int:
    """Return the rows of logits of such a pass, each of so many numbers of `size` bytes."""
    return max(1, _LOGITS.get(device, _LOGITS["cpu"]) // (vocabulary * size))


def asked_tokens(device: str) -> int:
    """Return the padded tokens of a batch that a tuned model answers."""
    return _ASKED.get(device, _ASKED["cpu"])


def trained_tokens(device: str) -> int:
    """Return the tokens of a training pass that several trials share."""
    return _TRAINED.get(device, _TRAINED["cpu"])


def kept_bytes(device: str) -> int:
    """Return the bytes that a training pass may keep for its way back."""
    return _KEPT.get(device, _KEPT["cpu"])


def embedded_texts(device: str) -> int:
    """Return the texts of a batch that is embedded."""
    return _EMBEDDED.get(device, _EMBEDDED["cpu"])


def remembered_bytes(device: str) -> int:
    """Return how much of what lower layers made of texts is kept for the next epoch and trial."""
    return _REMEMBERED.get(device, _REMEMBERED["cpu"])

"""Batch sizes that keep a processor busy and fit into memory; shared weights, released memory."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a kind of device computes in one pass or keeps in memory.

    Attributes:
        scoring_tokens: tokens of a pass that scores labels after prompts.
        scoring_bytes: bytes of the logits of such a pass.
        writing_rows: answers that are generated at a time.
        writing_bytes: bytes of their keys and values.
        prediction_tokens: padded tokens of a batch that an adapted model answers.
        training_tokens: tokens of a training pass that several runs share.
        activation_bytes: bytes that a training pass saves for backward; on a CPU two passes are
            under way at a time, and a study of 10,000 rows of 128 tokens stays within 4 GB.
        lower_layer_bytes: bytes of cached activations of frozen lower layers.
        embedding_texts: texts of a batch that is embedded.
    """

    scoring_tokens: int
    scoring_bytes: int
    writing_rows: int
    writing_bytes: int
    prediction_tokens: int
    training_tokens: int
    activation_bytes: int
    lower_layer_bytes: int
    embedding_texts: int

    def scoring_rows(self, vocabulary: int, itemsize: int) -> int:
        """Return the rows of logits of a scoring pass, each of `vocabulary` numbers."""
        return max(1, self.scoring_bytes // (vocabulary * itemsize))


# Measured on CPUs; on accelerators nothing was measured.
_LIMITS = {
    "cpu": Limits(
        scoring_tokens=1280,
        scoring_bytes=512 << 20,
        writing_rows=64,
        writing_bytes=1024 << 20,
        prediction_tokens=2048,
        training_tokens=640,
        activation_bytes=640_000_000,
        lower_layer_bytes=256 << 20,
        embedding_texts=32,
    ),
    "mps": Limits(
        scoring_tokens=4096,
        scoring_bytes=1024 << 20,
        writing_rows=128,
        writing_bytes=2048 << 20,
        prediction_tokens=8192,
        training_tokens=2048,
        activation_bytes=2_400_000_000,
        lower_layer_bytes=512 << 20,
        embedding_texts=64,
    ),
    "cuda": Limits(
        scoring_tokens=8192,
        scoring_bytes=2048 << 20,
        writing_rows=256,
        writing_bytes=8192 << 20,
        prediction_tokens=16_384,
        training_tokens=4096,
        activation_bytes=4_800_000_000,
        lower_layer_bytes=2048 << 20,
        embedding_texts=256,
    ),
}


def limits_of(device: str) -> Limits:
    """Return the limits of a kind of device; unknown ones get a CPU's."""
    return _LIMITS.get(device, _LIMITS["cpu"])


# Loaded models by the digest of their weights.
_LOADED: dict[str, list[ref[Any]]] = {}


def share_weights(model: Any, digest: str) -> None:
    """Let a frozen model use the tensors of models loaded from the same weights before.

    A prompted language model and the base of an adapter have the same weights, unless their number
    types differ. Shared tensors must not be changed.
    """
    mine = _parameters(model)
    for reference in _LOADED.get(digest, ()):
        other = reference()
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


def release_memory() -> None:
    """Return freed memory to the system, where the C library keeps it (glibc).

    Training and prediction allocate tensors of ever other sizes, and the memory they free would
    otherwise grow to gigabytes.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None

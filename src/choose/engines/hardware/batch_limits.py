"""Batch sizes that keep a processor busy and fit into memory; released memory."""

import ctypes
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Self, TypeVar

from choose.errors import ModelError

T = TypeVar("T")

# Share of an accelerator's free memory that passes may plan with; the rest is for the libraries.
USABLE = 0.7

# After so many halvings a pass holds a single text, and what fails then cannot be made to fit.
MOST_HALVINGS = 10

# What a memory error of the C++ part of torch says, which has no class of its own on every device;
# CUDA's libraries give a status where their workspace does not fit.
_SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "STATUS_ALLOC_FAILED")


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
        embedding_texts: texts of a batch that is embedded.
    """

    scoring_tokens: int
    scoring_bytes: int
    writing_rows: int
    writing_bytes: int
    prediction_tokens: int
    training_tokens: int
    activation_bytes: int
    embedding_texts: int

    @property
    def needed_bytes(self) -> int:
        """Return the most bytes that passes take at a time beside the weights."""
        return max(self.writing_bytes + self.scoring_bytes, self.activation_bytes)

    def halved(self, times: int) -> Self:
        return type(self)(**{f.name: max(1, getattr(self, f.name) >> times) for f in fields(self)})

    def scoring_rows(self, vocabulary: int, itemsize: int) -> int:
        """Return the rows of logits of a scoring pass, each of `vocabulary` numbers."""
        return max(1, self.scoring_bytes // (vocabulary * itemsize))


# Measured on CPUs; on cards nothing was measured, and others get what a CPU does.
_LIMITS = {
    "cpu": Limits(
        scoring_tokens=1280,
        scoring_bytes=512 << 20,
        writing_rows=64,
        writing_bytes=1024 << 20,
        prediction_tokens=2048,
        training_tokens=640,
        activation_bytes=640_000_000,
        embedding_texts=32,
    ),
    # Of a card of 80 GB; halved where less is free.
    "cuda": Limits(
        scoring_tokens=8192,
        scoring_bytes=2048 << 20,
        writing_rows=512,
        writing_bytes=20 << 30,
        prediction_tokens=32_768,
        training_tokens=8192,
        activation_bytes=20 << 30,
        embedding_texts=256,
    ),
}

# How often each kind of device had its limits halved: to fit free memory, and after errors.
_FITTED: Counter[str] = Counter()
_HALVINGS: Counter[str] = Counter()


def limits_of(device: str) -> Limits:
    """Return the present limits of a kind of device; unknown ones get a CPU's."""
    kind = device.partition(":")[0]
    limits = _LIMITS.get(kind, _LIMITS["cpu"])
    times = _FITTED[kind] + _HALVINGS[kind]
    return limits.halved(times) if times else limits


def fit_limits(device: str, free: int | None) -> None:
    """Let the limits of an accelerator fit the bytes that are free after its weights are loaded.

    The figures of a CPU stay as they are: they are small, and answers must not depend on its load.
    """
    kind = device.partition(":")[0]
    if kind not in _LIMITS or kind == "cpu" or free is None:
        return
    needed, times = _LIMITS[kind].needed_bytes, 0
    while needed >> times > USABLE * max(free, 1 << 20):
        times += 1
    _FITTED[kind] = times


def halvings(device: str) -> int:
    return _HALVINGS[device.partition(":")[0]]


def within_memory(device: str, work: Callable[[], T]) -> T:
    """Do some work, again with limits half as large after each out-of-memory error.

    `work` reads its limits anew, and goes on from what is done.

    Raises:
        ModelError: if even a single text does not fit.
    """
    while True:
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = " ".join(str(error).split())[:200]
        # Outside of the handler, which keeps the frames of the error and their tensors alive.
        _halve(device, reason)


def _halve(device: str, reason: str) -> None:
    kind = device.partition(":")[0]
    if _HALVINGS[kind] >= MOST_HALVINGS:
        raise ModelError(
            f"The memory of {kind} does not suffice for a single text: {reason}. Use shorter "
            "texts (max_tokens), a smaller model, or a machine with more memory."
        )
    _HALVINGS[kind] += 1
    release_memory()
    if kind == "cuda":
        import torch

        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whatever device."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _SIGNS)


def memory_notes(device: str) -> list[str]:
    """Return what was made smaller after memory ran out, as sentences for a trial's facts."""
    times = halvings(device)
    if not times:
        return []
    return [f"Memory ran out, so batches were cut to 1/{1 << times} of their usual size."]


def free_bytes(device: str) -> int | None:
    """Return the free bytes of a device; None if unknown.

    What torch keeps of tensors that are gone is free too: it uses it again.
    """
    import torch

    if device.startswith("cuda"):
        kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return torch.cuda.mem_get_info()[0] + kept
    if device.startswith("mps"):
        most = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return max(0, int(most))
    return free_machine_bytes()


def free_machine_bytes(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still take of the machine's memory; None if unknown.

    A container's limit counts where it is lower.
    """
    free = None
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = 1024 * int(next(x for x in lines if x.startswith("MemAvailable")).split()[1])
    if free is None:
        with suppress(OSError, ValueError, AttributeError):
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    group = root / "sys/fs/cgroup"
    with suppress(OSError, ValueError):
        most = int((group / "memory.max").read_text(encoding="utf-8"))
        used = int((group / "memory.current").read_text(encoding="utf-8"))
        cached = dict(x.split() for x in (group / "memory.stat").read_text().splitlines())
        inside = max(0, most - used + int(cached.get("inactive_file", 0)))
        free = inside if free is None else min(free, inside)
    return free


def release_memory() -> None:
    """Return freed memory to the system, where the C library keeps it (glibc).

    Training and prediction allocate tensors of changing sizes, and the memory they free would
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

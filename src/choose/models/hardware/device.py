"""How models compute here: device, number type, threads."""

from __future__ import annotations

import io
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from functools import cache
from typing import TYPE_CHECKING

from choose.models.hardware.environment import cores, stated_dtype, stated_threads
from choose.models.hardware.speed_test import halves_fast

if TYPE_CHECKING:
    import torch


@cache
def device() -> str:
    """Return the accelerator to use, or ``cpu``."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def named(device: torch.device) -> str:
    """Name a device for what is kept: an accelerator with its model, since bits and costs differ.

    The kind of processor is known to what is kept already.
    """
    import torch

    model = f" {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return f"{device}{model}"


def settle(device: str) -> None:
    """Wait until an accelerator has done all that it was given, so that a clock can be read."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


@cache
def dtype() -> torch.dtype:
    """Return the faster of float32 and bfloat16 on this machine, as measured once.

    CHOOSE_DTYPE overrides the measurement.

    Raises:
        ModelError: if CHOOSE_DTYPE names another type.
    """
    import torch

    if (wanted := stated_dtype()) is not None:
        found: torch.dtype = getattr(torch, wanted)
        return found
    if device() == "cuda":
        # Older cards compute bfloat16 in float32, step by step.
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    if device() == "mps":
        return torch.float32
    return torch.bfloat16 if halves_fast() else torch.float32


def threads() -> int:
    """Return the number of threads torch computes with: one, half, all but one, or all cores.

    Cores are those that the process may use: affinity and the quota of a container limit them.
    Where another program keeps a core busy, threads wait for each other at every product, and all
    of them are many times slower than one. Programs come and go, so the fastest number is measured
    again, in this very process and load, when the last measurement is some seconds old: call it
    before each stretch of work. CHOOSE_THREADS sets the number instead.

    Raises:
        ModelError: if CHOOSE_THREADS is not a positive integer.
    """
    import torch

    wanted = stated_threads()
    if wanted is None:
        return _pace().threads()
    torch.set_num_threads(wanted)
    return wanted


# A number of threads is nearly as fast as another at this part of its speed.
NEARLY = 0.9


class _Pace:
    """The choice of a number of threads up to all cores, with the time it was made."""

    fresh_seconds = 10.0

    def __init__(self) -> None:
        import torch

        most = min(torch.get_num_threads(), cores())
        torch.set_num_threads(most)
        self.counts = sorted({1, most // 2 or 1, most - 1 or 1, most})
        self.measured = -self.fresh_seconds

    def threads(self) -> int:
        import torch

        if len(self.counts) > 1 and time.monotonic() - self.measured > self.fresh_seconds:
            taken = {count: self._seconds(count) for count in self.counts}
            # The fewest that are nearly as fast as the fastest: more would only be in the way.
            quick = min(taken.values()) / NEARLY
            torch.set_num_threads(next(n for n in self.counts if taken[n] <= quick))
            self.measured = time.monotonic()
        return torch.get_num_threads()

    @staticmethod
    def _seconds(count: int) -> float:
        import torch

        torch.set_num_threads(count)
        left, right = torch.ones(64, 576), torch.ones(576, 1536)
        left @ right
        start = time.perf_counter()
        # Many small products, as in a layer: it is the waiting between them that costs.
        for _ in range(24):
            left @ right
        return time.perf_counter() - start


@cache
def _pace() -> _Pace:
    return _Pace()


@contextmanager
def quiet(message: str) -> Iterator[None]:
    """Silence the loaders' own bars and warnings; show `message` where a person waits for it."""
    from rich.console import Console
    from transformers.utils import logging

    level = logging.get_verbosity()
    console = Console(file=sys.stderr)
    waiting = console.status(message) if console.is_terminal else nullcontext()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        # Bars that cannot be switched off are written to nowhere.
        with waiting, warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def megabytes(tensors: Iterable[torch.Tensor]) -> float:
    """Return what tensors take in memory."""
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6

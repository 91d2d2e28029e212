"""The device, number type and number of threads that models compute with."""

from __future__ import annotations

import io
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from functools import cache
from typing import TYPE_CHECKING

from choose.models.environment_settings import cores, dtype_setting, threads_setting
from choose.models.hardware.bfloat16_speed import bfloat16_is_fast

if TYPE_CHECKING:
    import torch

# The fewest threads that reach this part of the best speed are used.
NEARLY_AS_FAST = 0.9


@cache
def device() -> str:
    """Return the accelerator to use, or ``cpu``."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_name(device: torch.device) -> str:
    """Return a name for cache keys: an accelerator with its model, since bits and costs differ.

    The kind of processor is part of every key already.
    """
    import torch

    model = f" {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return f"{device}{model}"


def synchronise(device: str) -> None:
    """Wait for an accelerator to finish its queue, so that a clock can be read."""
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

    if (setting := dtype_setting()) is not None:
        named: torch.dtype = getattr(torch, setting)
        return named
    if device() == "cuda":
        # Older cards emulate bfloat16 in float32.
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    if device() == "mps":
        return torch.float32
    return torch.bfloat16 if bfloat16_is_fast() else torch.float32


def trains_in_bfloat16(device: str) -> bool:
    """Return whether adapters are trained in bfloat16; decided by hardware, so that it repeats."""
    import torch

    if device != "cpu" or dtype_setting() is not None:
        return dtype() is torch.bfloat16
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def set_threads() -> int:
    """Set and return torch's number of threads: one, half, all but one, or all cores.

    Cores are the ones that the process may use: affinity and a container's quota limit them. Where
    another program keeps a core busy, threads wait for each other at every product, and all of
    them are many times slower than one. Load changes, so the fastest number is measured again when
    the last measurement is some seconds old: call this before each stretch of work.
    CHOOSE_THREADS sets the number instead.

    Raises:
        ModelError: if CHOOSE_THREADS is not a positive integer.
    """
    import torch

    setting = threads_setting()
    if setting is None:
        return _thread_tuner().threads()
    torch.set_num_threads(setting)
    return setting


class _ThreadTuner:
    """The chosen number of threads, up to all cores, with the time of the measurement."""

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
            seconds = {count: self._seconds(count) for count in self.counts}
            slowest = min(seconds.values()) / NEARLY_AS_FAST
            torch.set_num_threads(next(n for n in self.counts if seconds[n] <= slowest))
            self.measured = time.monotonic()
        return torch.get_num_threads()

    @staticmethod
    def _seconds(count: int) -> float:
        import torch

        torch.set_num_threads(count)
        left, right = torch.ones(64, 576), torch.ones(576, 1536)
        left @ right
        start = time.perf_counter()
        # Many small products, as in a layer: the waiting between them is what costs.
        for _ in range(24):
            left @ right
        return time.perf_counter() - start


@cache
def _thread_tuner() -> _ThreadTuner:
    return _ThreadTuner()


@contextmanager
def quiet_loading(message: str) -> Iterator[None]:
    """Silence the loaders' own bars and warnings; show `message` on a terminal."""
    from rich.console import Console
    from transformers.utils import logging

    level = logging.get_verbosity()
    console = Console(file=sys.stderr)
    waiting = console.status(message) if console.is_terminal else nullcontext()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        # Bars that cannot be switched off are discarded.
        with waiting, warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def megabytes(tensors: Iterable[torch.Tensor]) -> float:
    """Return the megabytes that tensors take in memory."""
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6

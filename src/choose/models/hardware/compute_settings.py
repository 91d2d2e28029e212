"""The device, number type and number of threads that models compute with.

Run as a program, it prints the seconds of products in bfloat16 and float32 on this machine.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from choose.errors import ModelError
from choose.files import digest
from choose.models.environment_settings import (
    cache_dir,
    check_environment,
    cores,
    device_setting,
    dtype_setting,
    processor,
    threads_setting,
)

if TYPE_CHECKING:
    import torch


# The fewest threads that reach this part of the best speed are used.
NEARLY_AS_FAST = 0.9


@cache
def device() -> str:
    """Return the accelerator to use, or ``cpu``; CHOOSE_DEVICE overrides the choice.

    Raises:
        ModelError: if CHOOSE_DEVICE names one that torch does not find.
    """
    import torch

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here = [name for name, is_here in found.items() if is_here] + ["cpu"]
    wanted = device_setting() or here[0]
    if wanted not in here:
        raise ModelError(
            f"CHOOSE_DEVICE is {wanted!r}, and torch {torch.__version__} finds no such GPU; here "
            f"it can be {' or '.join(here)}. Leave it unset, or install the driver and a torch "
            "that is built for the card."
        )
    return wanted


def check_compute() -> None:
    """Refuse settings in variables that cannot be computed with, before anything is run.

    Raises:
        ModelError: if one has another value than it can have, or names a GPU that is not here.
    """
    check_environment()
    if device_setting() is not None:
        device()


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
    mps = device() == "mps"
    fast = torch.backends.mps.is_macos_or_newer(14, 0) if mps else bfloat16_is_fast()
    return torch.bfloat16 if fast else torch.float32


def base_dtype() -> torch.dtype:
    """Return the number type of the weights that adapters are trained over.

    On a CPU it is float32: labels are predicted in it, and what trains in bfloat16 casts a copy.
    """
    import torch

    return torch.float32 if device() == "cpu" else dtype()


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


def threads_in_use() -> int:
    """Return the number of threads of the last stretch of work, measuring nothing."""
    import torch

    return threads_setting() or torch.get_num_threads()


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


# bfloat16 without hardware support is up to 500 times slower, so it is measured. Where the two are
# close float32 is used, lest a small difference between measurements change the answers.
MIN_SPEEDUP = 1.3

TIMEOUT = 60.0


@cache
def bfloat16_is_fast() -> bool:
    """Return whether products of bfloat16 are clearly faster here than those of float32.

    A fresh process measures on one thread, and the result is cached on disk, so that neither this
    process's past nor the machine's present load changes a study's number type.
    """
    file = cache_dir() / f"machine-{_machine_identity()}.json"
    seconds = _read_speeds(file)
    if seconds is None:
        seconds = _measure_in_subprocess()
        _write_speeds(file, seconds)
    return MIN_SPEEDUP * seconds["bfloat16"] < seconds["float32"]


def known_speed_of_products() -> float | None:
    """Return the seconds of a product of 256 x 576 x 1536 on one thread, if measured before.

    That of the faster number type. Nothing is measured or loaded.
    """
    seconds = _read_speeds(cache_dir() / f"machine-{_machine_identity()}.json")
    return None if seconds is None else min(seconds.values())


def _machine_identity() -> str:
    """Return a digest of processor and torch: another of either is measured again."""
    return digest([processor(), os.cpu_count(), version("torch")])[:12]


def _read_speeds(file: Path) -> dict[str, float] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {name: float(content[name]) for name in ("float32", "bfloat16")}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write_speeds(file: Path, seconds: dict[str, float]) -> None:
    scratch = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(OSError):  # without a cache the next process measures again, for a second
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(seconds), encoding="utf-8")
        scratch.replace(file)


def _measure_in_subprocess() -> dict[str, float]:
    """Measure in a fresh process; where none can be started, measure here."""
    try:
        done = subprocess.run(
            # -P: a json.py in the working directory must not shadow Python's.
            [sys.executable, "-P", "-m", __name__],
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
            text=True,
        )
        seconds: dict[str, float] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return measure_products()
    return seconds


def measure_products() -> dict[str, float]:
    """Return seconds of a matrix product by number type, the best of several, on one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: _seconds(getattr(torch, name)) for name in ("float32", "bfloat16")}
    finally:
        torch.set_num_threads(before)


def _seconds(dtype: object) -> float:
    import torch

    left = torch.ones(256, 576).to(dtype)  # type: ignore[call-overload]
    right = torch.ones(576, 1536).to(dtype)  # type: ignore[call-overload]
    times = []
    for _ in range(12):  # the first ones warm up
        start = perf_counter()
        left @ right
        times.append(perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_products()))

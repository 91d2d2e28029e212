"""A micro-benchmark of bfloat16 products, run once a machine in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

from choose.files import digest
from choose.models.environment_settings import cache_dir, processor

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
    file = cache_dir() / f"machine-{_identity()}.json"
    seconds = _read(file)
    if seconds is None:
        seconds = _measure_in_subprocess()
        _write(file, seconds)
    return MIN_SPEEDUP * seconds["bfloat16"] < seconds["float32"]


def _identity() -> str:
    """Return a digest of processor and torch: another of either is measured again."""
    return digest([processor(), os.cpu_count(), version("torch")])[:12]


def _read(file: Path) -> dict[str, float] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {name: float(content[name]) for name in ("float32", "bfloat16")}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(file: Path, seconds: dict[str, float]) -> None:
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
        return measure()
    return seconds


def measure() -> dict[str, float]:
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
    sys.stdout.write(json.dumps(measure()))

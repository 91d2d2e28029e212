"""What this machine computes fast: measured once in a process of its own, and kept."""

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
from choose.models.hardware.environment import cache_dir, processor

# bfloat16 without hardware support is up to 500 times slower, so nothing is assumed; where the two
# are close, float32, lest a small difference between measurements change the answers.
WORTH = 1.3


TIMEOUT = 60.0


@cache
def halves_fast() -> bool:
    """Return whether products of bfloat16 are clearly faster here than those of float32.

    It is measured on one thread by a fresh process and kept for later ones, so that neither what
    this process has done before nor what else the machine does then changes a study's number type.
    """
    kept = cache_dir() / f"machine-{_identity()}.json"
    known = _read(kept)
    if known is None:
        known = _measured()
        _keep(kept, known)
    return WORTH * known["bfloat16"] < known["float32"]


def _identity() -> str:
    """Name processor and torch: another of either is measured anew."""
    return digest([processor(), os.cpu_count(), version("torch")])[:12]


def _read(kept: Path) -> dict[str, float] | None:
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
        return {name: float(found[name]) for name in ("float32", "bfloat16")}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _keep(kept: Path, found: dict[str, float]) -> None:
    beside = kept.with_name(f"{kept.name}.{os.getpid()}")
    with suppress(OSError):  # a cache that cannot be written only costs the next process a second
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(found), encoding="utf-8")
        beside.replace(kept)


def _measured() -> dict[str, float]:
    """Ask a fresh process; where none can be had, measure here."""
    try:
        done = subprocess.run(
            # -P: a json.py of the folder we are called in is not Python's.
            [sys.executable, "-P", "-m", __name__],
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
            text=True,
        )
        found: dict[str, float] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return measure()
    return found


def measure() -> dict[str, float]:
    """Return seconds of a matrix product by number type, the best of several, on one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {
            "float32": _seconds(torch.float32),
            "bfloat16": _seconds(torch.bfloat16),
        }
    finally:
        torch.set_num_threads(before)


def _seconds(kind: object) -> float:
    import torch

    left = torch.ones(256, 576).to(kind)  # type: ignore[call-overload]
    right = torch.ones(576, 1536).to(kind)  # type: ignore[call-overload]
    times = []
    for _ in range(12):  # the first ones warm up
        start = perf_counter()
        left @ right
        times.append(perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()))

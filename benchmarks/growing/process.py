"""Run a program and learn what it took of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Took:
    """Processor and wall seconds, the largest memory in megabytes, and what was printed."""

    processor: float
    wall: float
    peak_mb: float
    out: str


def run(arguments: Sequence[str], threads: int = 1) -> Took:
    """Run Python with these arguments, nothing kept from or for other runs.

    Raises:
        RuntimeError: if it fails.
    """
    own = {
        "CHOOSE_KEEP_GB": "0",
        "CHOOSE_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "tests")]),
    }
    start = perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [sys.executable, *arguments], env={**os.environ, **own}, stdout=out, stderr=err
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = perf_counter() - start
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)[:200]}: {err.read()[-2000:]}")
        # Linux counts kilobytes, macOS bytes.
        unit = 1e6 if sys.platform == "darwin" else 1e3
        return Took(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / unit, out.read())

"""The machine that a benchmark runs on."""

from __future__ import annotations

import platform
from pathlib import Path


def machine(threads: int) -> str:
    """Return the processor, its cores and the threads used."""
    import os

    return f"{_processor()}, {os.cpu_count()} cores, {threads} threads"


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    if known.is_file():
        for line in known.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

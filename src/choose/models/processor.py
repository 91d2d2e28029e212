"""What kind of processor this machine has: bits and costs of what is kept depend on it."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """Name the kind of processor that this machine has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"

"""The machine that a benchmark runs on, and the operations that it is given."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch


def machine(threads: int) -> str:
    """Return the processor, its cores and the threads used."""
    return f"{_processor()}, {os.cpu_count()} cores, {threads} threads"


def environment(side: str, threads: int, **more: str) -> dict[str, str]:
    """Return the variables of a process of a side, which may use so many threads.

    Importing choose sets how long threads wait in a loop; a peer waits as torch does by itself.
    """
    given = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads), **more}
    return {n: value for n, value in given.items() if side == "choose" or n != "GOMP_SPINCOUNT"}


def _processor(known: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, and its generation: rented ones of several have one name."""
    facts: dict[str, str] = {}
    if known.is_file():
        for line in known.read_text(encoding="utf-8").splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            facts.setdefault(name, value)
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    numbers = [f"{name} {facts[name]}" for name in ("cpu family", "model") if name in facts]
    return f"{facts['model name']} ({', '.join(numbers)})" if numbers else facts["model name"]


def operations(work: Callable[[], object]) -> int:
    """Return the floating-point operations of some work, products of packed weights among them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def product(x: Any, *more: Any, **named: Any) -> int:
        # (weight, bias, activation, ...), or (factor, weight, bias, operation).
        weight = more[0] if isinstance(more[2], str) else more[1]
        return int(2 * math.prod(x) * weight[0])

    formulas = {torch.ops.mkldnn._linear_pointwise: product}
    # Operations are counted in this thread only, so none else may compute.
    alone = patch.dict(os.environ, CHOOSE_THREADS="1")
    with alone, FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        work()
    return int(counter.get_total_flops())

"""What several tasks need that share one base, against a model for each task."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import median

from choose.judge.record_costs import Serving
from choose.judge.rule import Rule
from choose.types import Run


def serving(runs: Sequence[Run], rule: Rule) -> Serving | None:
    """Return the memory of the weights, and the machines that hold them; None if not measured.

    Weights alone are counted: what a batch of requests needs beside them is the server's affair,
    and the same either way.
    """
    plan = rule.deployment
    adapters = [run.artefact_mb for run in runs if run.artefact_mb is not None]
    bases = [run.base_mb for run in runs if run.base_mb is not None]
    if plan.tasks is None or not adapters or not bases:
        return None
    adapter, base = median(adapters), median(bases)
    shared, apart = base + plan.tasks * adapter, plan.tasks * (base + adapter)
    few = _machines(shared, 1, plan.machine_gb)
    many = _machines(base + adapter, plan.tasks, plan.machine_gb)
    price = rule.usd_per_machine_hour
    return Serving(
        tasks=plan.tasks,
        on_one_base_mb=shared,
        one_each_mb=apart,
        machines=few,
        machines_one_each=many,
        usd_per_hour=few * price if few is not None and price is not None else None,
        usd_per_hour_one_each=many * price if many is not None and price is not None else None,
    )


def _machines(megabytes: float, copies: int, gigabytes: float | None) -> int | None:
    """Return how many machines hold so many copies of weights, none of them split.

    None where the machine's memory is not known, or does not hold one copy.
    """
    if gigabytes is None or megabytes > 1000 * gigabytes:
        return None
    return ceil(copies / int(1000 * gigabytes // megabytes))

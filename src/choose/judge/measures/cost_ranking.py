"""What a candidate costs, from the clock of its trials and the prices of the study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from statistics import median

import numpy as np

from choose.judge.evidence import Rule
from choose.judge.measures.cost_total import (
    Running,
    bill_of,
    build_usd,
    engineer_hours,
    label_hours,
    missing,
    months_left,
    refresh_usd,
    running,
    seconds_an_answer,
    training_usd,
)
from choose.judge.panel.score_tables import CLEAN, Measured
from choose.schema.base import Interval
from choose.schema.costs import Cost, Serving
from choose.types import FAMILIES, Run


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


# Costs that differ by less than this factor pass for equal: clocks are not exact, and of a total
# over the horizon, which is mostly hours and prices that the study states, they are a small part.
ALIKE, ALIKE_IN_ALL = 3.0, 1.1


# Dollars over the horizon below which nobody minds.
CHEAP = 1.0


def cost_of(candidate: Measured, rule: Rule) -> Cost:
    """Return the cost of one fit and of one answer, as if nothing had been cached.

    Dollars are null unless the study prices everything that they are made of.
    """
    if candidate.main is None:
        return Cost()
    runs, plan = candidate.main.runs, rule.deployment
    fit = _median(run.fit_seconds for run in runs)
    times, answer, bill = (
        seconds_an_answer(runs),
        running(candidate, rule),
        bill_of(candidate, rule),
    )
    day = candidate.info.retires
    return Cost(
        fit_seconds=fit,
        turnaround_seconds=fit,
        ms_per_item=1000 * median(times) if times else None,
        tokens_in=_tokens(runs, "tokens_in"),
        tokens_cached=_tokens(runs, "tokens_cached"),
        tokens_out=_tokens(runs, "tokens_out"),
        usd_per_1k=1000 * answer.value if answer else None,
        per_1k=_per_1k(answer),
        artefact_mb=_median(run.artefact_mb for run in runs),
        base_mb=_median(run.base_mb for run in runs),
        labelling_hours=label_hours(candidate.pool if candidate.info.learns else 0, rule),
        engineer_hours=engineer_hours(candidate, rule),
        build_usd=build_usd(candidate, rule),
        refresh_usd=refresh_usd(candidate, rule) if plan.refresh_months else None,
        total_usd=bill.total(plan) if bill else None,
        retires=day.isoformat() if day else None,
        months=months_left(candidate, plan),
        serving=serving(runs, rule),
        missing=missing(candidate, rule),
    )


def _per_1k(found: Running | None) -> Interval | None:
    if found is None or not found.measured:
        return None
    return Interval(
        value=1000 * found.value,
        low=1000 * found.low,
        high=1000 * found.high,
        estimand="1,000 answers",
    )


def cheapest_first(
    candidates: Sequence[Measured], rule: Rule, totals: Mapping[str, float] | None = None
) -> list[Measured]:
    """Order candidates by what they cost: in all where that is known, else a fit and 1,000 answers.

    Costs within a factor of the least that is not yet placed pass for equal (`ALIKE`); among equals
    the simpler family comes first. A candidate whose cost is unknown stands last.

    Args:
        candidates: to order.
        rule: prices.
        totals: dollars over the horizon by candidate; empty unless all of them are known.
    """
    if totals:
        return _in_tiers(candidates, totals, ALIKE_IN_ALL, CHEAP)
    costs = {c.info.name: cost_of(c, rule) for c in candidates}
    figures = burdens(costs, {c.info.name: training_usd(c, rule) for c in candidates})
    # Below a second nobody minds, whatever a second costs.
    dollars = in_dollars(costs)
    second = (rule.usd_per_machine_hour or 3600) / 3600 if dollars else 1.0
    return _in_tiers(candidates, figures, ALIKE, second)


def _in_tiers(
    candidates: Sequence[Measured],
    figures: Mapping[str, float | None],
    alike: float,
    least: float,
) -> list[Measured]:
    known = sorted(figure for figure in figures.values() if figure is not None)
    tiers: list[float] = []
    for figure in known:
        if not tiers or figure > alike * tiers[-1]:
            tiers.append(max(figure, least))

    def place(candidate: Measured) -> tuple[int, int, float, str]:
        figure, name = figures[candidate.info.name], candidate.info.name
        family = FAMILIES.index(candidate.info.family)
        if figure is None:
            return len(tiers), family, 0.0, name
        tier = max((i for i, first in enumerate(tiers) if figure >= first), default=0)
        return tier, family, figure, name

    return sorted(candidates, key=place)


def in_dollars(costs: Mapping[str, Cost]) -> bool:
    """Return whether an answer of every candidate is priced that was timed."""
    timed = [cost for cost in costs.values() if cost.ms_per_item is not None]
    return bool(timed) and all(cost.usd_per_1k is not None for cost in timed)


def burdens(
    costs: Mapping[str, Cost], training: Mapping[str, float | None]
) -> dict[str, float | None]:
    """Return dollars of a fit and 1,000 answers where all are priced, else their seconds."""
    dollars = in_dollars(costs)
    return {
        name: _sum(training[name] or 0.0, cost.usd_per_1k)
        if dollars
        else _sum(cost.fit_seconds, cost.ms_per_item)
        for name, cost in costs.items()
    }


def _sum(fit: float | None, answers: float | None) -> float | None:
    return None if fit is None or answers is None else fit + answers


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _tokens(runs: Sequence[Run], name: str) -> float | None:
    counted = [count for run in runs if (count := getattr(run.answers[CLEAN], name)) is not None]
    return float(np.mean(np.concatenate(counted))) if counted else None

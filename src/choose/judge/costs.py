"""What a candidate costs, from the clock of its trials and the prices of the study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import numpy as np

from choose.judge.answers import CLEAN
from choose.judge.panel import Measured
from choose.judge.record import Cost
from choose.judge.rule import Rule
from choose.types import FAMILIES, Run

# Costs that differ by less than this factor pass for equal.
ALIKE = 3.0


def cost_of(candidate: Measured, rule: Rule) -> Cost:
    """Return the cost of one fit and of one answer, as if nothing had been cached.

    Dollars are null unless the study prices an hour of the machine.
    """
    if candidate.main is None:
        return Cost()
    runs = candidate.main.runs
    fit = _median(run.fit_seconds for run in runs)
    answer = _median(_answer_ms(run) for run in runs)
    price = rule.usd_per_machine_hour
    return Cost(
        fit_seconds=fit,
        turnaround_seconds=fit,
        ms_per_item=answer,
        tokens_in=_tokens(runs, "tokens_in"),
        tokens_out=_tokens(runs, "tokens_out"),
        # A millisecond an item is a second for a thousand items.
        usd_per_1k=answer * price / 3600 if answer is not None and price is not None else None,
        artefact_mb=_median(run.artefact_mb for run in runs),
    )


def cheapest_first(candidates: Sequence[Measured], rule: Rule) -> list[Measured]:
    """Order candidates by what they cost: dollars where priced, else seconds.

    Costs within a factor of three of the least that is not yet placed pass for equal, since clocks
    are not that exact; among equals the simpler family comes first. A candidate whose cost is
    unknown stands last.
    """
    figures = {c.info.name: burden(cost_of(c, rule), rule) for c in candidates}
    known = sorted(figure for figure in figures.values() if figure is not None)
    # Below a second nobody minds, whatever a second costs.
    second = (rule.usd_per_machine_hour or 3600) / 3600
    tiers: list[float] = []
    for figure in known:
        if not tiers or figure > ALIKE * tiers[-1]:
            tiers.append(max(figure, second))

    def place(candidate: Measured) -> tuple[int, int, float, str]:
        figure, name = figures[candidate.info.name], candidate.info.name
        family = FAMILIES.index(candidate.info.family)
        if figure is None:
            return len(tiers), family, 0.0, name
        tier = max((i for i, first in enumerate(tiers) if figure >= first), default=0)
        return tier, family, figure, name

    return sorted(candidates, key=place)


def burden(cost: Cost, rule: Rule) -> float | None:
    """Return the figure that orders candidates: dollars or seconds of a fit and 1,000 answers."""
    if cost.fit_seconds is None or cost.ms_per_item is None:
        return None
    seconds = cost.fit_seconds + cost.ms_per_item
    price = rule.usd_per_machine_hour
    return seconds if price is None else seconds * price / 3600


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _answer_ms(run: Run) -> float | None:
    asked = len(run.asked[CLEAN])
    if run.predict_seconds is None or not asked:
        return None
    return 1000 * run.predict_seconds / asked


def _tokens(runs: Sequence[Run], name: str) -> float | None:
    counted = [count for run in runs if (count := getattr(run.answers[CLEAN], name)) is not None]
    return float(np.mean(np.concatenate(counted))) if counted else None

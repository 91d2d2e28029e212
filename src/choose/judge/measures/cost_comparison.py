"""Costs of candidates compared: their order, and the smallest gain that pays for a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from choose.judge.goal import Rule
from choose.judge.measures.cost_sheet import CostSheet, YearCost
from choose.judge.scores.score_tables import CandidateScores
from choose.types import FAMILIES

# Costs that differ by less than this factor pass for equal: clocks are not exact. Of a year's total
# they are a small part.
EQUAL_COST, EQUAL_TOTAL = 3.0, 1.1

# Totals of a year below this many dollars pass for equal.
NEGLIGIBLE_USD = 1.0

# The smallest margin that prices may set: a thousand rows do not hold one answer for less.
SMALLEST_MARGIN = 0.001


def cheapest_first(
    candidates: Sequence[CandidateScores],
    costs: Mapping[str, CostSheet],
    rule: Rule,
    *,
    totals: bool,
) -> list[CandidateScores]:
    """Order candidates by total cost, or by that of a fit and 1,000 answers.

    Costs within a factor of the least that is not yet placed pass for equal (`EQUAL_COST`); among
    equals the simpler family comes first, and in it who needs no model. A candidate whose cost is
    unknown comes last.

    Args:
        candidates: to order.
        costs: by name of the candidate.
        rule: prices.
        totals: whether to order by dollars of a year, which all must have.
    """
    sheets = {c.info.name: costs[c.info.name] for c in candidates}
    if totals:
        figures = {name: sheet.record.total_usd for name, sheet in sheets.items()}
        return _in_tiers(candidates, figures, EQUAL_TOTAL, NEGLIGIBLE_USD)
    # Less than a second passes for equal, whatever a second costs.
    second = (rule.usd_per_machine_hour or 3600) / 3600 if in_dollars(sheets) else 1.0
    return _in_tiers(candidates, fit_and_1k_answers(sheets), EQUAL_COST, second)


def _in_tiers(
    candidates: Sequence[CandidateScores],
    figures: Mapping[str, float | None],
    factor: float,
    least: float,
) -> list[CandidateScores]:
    known = sorted(figure for figure in figures.values() if figure is not None)
    tiers: list[float] = []
    for figure in known:
        if not tiers or figure > factor * tiers[-1]:
            tiers.append(max(figure, least))

    # What given answers cost is often not known: then the order is that of the families, and the
    # best of those that nothing tells apart comes first.
    unpriced = any(c.info.given and figures[c.info.name] is None for c in candidates)

    def place(candidate: CandidateScores) -> tuple[int, int, float, str]:
        figure, name = figures[candidate.info.name], candidate.info.name
        family = FAMILIES.index(candidate.info.family)
        if figure is None:
            score = 0.0 if candidate.main is None else float(np.nanmean(candidate.main.right))
            return (family, len(tiers), -score, name) if unpriced else (len(tiers), family, 0, name)
        tier = max((i for i, first in enumerate(tiers) if figure >= first), default=0)
        model = candidate.info.model is not None
        return (family, tier, model, name) if unpriced else (tier, family, model, name)

    return sorted(candidates, key=place)


def in_dollars(costs: Mapping[str, CostSheet]) -> bool:
    """Return whether an answer of every candidate is priced that was timed."""
    costed = [s.record for s in costs.values() if s.record.ms_per_item or s.record.usd_per_1k]
    return bool(costed) and all(cost.usd_per_1k is not None for cost in costed)


def fit_and_1k_answers(costs: Mapping[str, CostSheet]) -> dict[str, float | None]:
    """Return dollars of a fit and 1,000 answers where all are priced, else their seconds."""
    priced = in_dollars(costs)
    return {
        name: _sum(sheet.record.training_usd or 0.0, sheet.record.usd_per_1k)
        if priced
        else _sum(sheet.record.fit_seconds, sheet.record.ms_per_item)
        for name, sheet in costs.items()
    }


def _sum(fit: float | None, answers: float | None) -> float | None:
    return None if fit is None or answers is None else fit + answers


@dataclass(frozen=True)
class Margins:
    """The smallest gain that matters between any two candidates; fractions.

    Attributes:
        rule: with the margin between candidates that no price sets apart.
        costs: by candidate; empty unless every candidate is priced.
    """

    rule: Rule
    costs: Mapping[str, YearCost]

    @property
    def derived(self) -> bool:
        """Return whether prices set the margins."""
        return self.rule.margin_from == "derived"

    def between(self, a: str, b: str) -> float:
        """Return the smallest gain that matters of the more expensive of two candidates."""
        if not self.derived or a == b:
            return self.rule.margin
        gain = break_even_gain(self.costs[a], self.costs[b], self.rule)
        return max(gain, self.rule.margin)


def margins_of(costs: Mapping[str, CostSheet], rule: Rule) -> Margins:
    """Derive the margins where the study states none and prices everything."""
    priced = {name: sheet.year for name, sheet in costs.items() if sheet.year}
    if len(priced) < len(costs):
        return Margins(rule, {})
    if rule.margin_from == "stated" or rule.value_per_right_answer is None:
        return Margins(rule, priced)
    gains = [break_even_gain(a, b, rule) for a, b in combinations(priced.values(), 2)]
    if not gains:
        return Margins(rule, priced)
    least = max(min(rule.margin, max(gains)), SMALLEST_MARGIN)
    return Margins(replace(rule, margin=least, margin_from="derived"), priced)


def break_even_gain(a: YearCost, b: YearCost, rule: Rule) -> float:
    """Return the gain in accuracy that pays for a year's difference in cost of two; at most 1."""
    assert rule.answers is not None
    assert rule.value_per_right_answer is not None
    usd = abs(a.total(rule.answers) - b.total(rule.answers))
    return min(usd / (rule.value_per_right_answer * rule.answers), 1.0)

"""Costs of candidates compared: their order, and the smallest gain that pays for a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from choose.formatting import duration, milliseconds
from choose.judge.goal import Rule
from choose.judge.measures.cost_sheet import CostSheet, YearCost
from choose.judge.scores.score_tables import CandidateScores
from choose.types import FAMILIES

# Costs that differ by less than this factor pass for equal: clocks are not exact. Of a year's total
# they are a small part.
EQUAL_COST, EQUAL_TOTAL = 3.0, 1.1

# Figures that differ by less than this factor show no difference in cost to a reader.
NOTICEABLE = 1.2

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
    equals the simpler family comes first. A candidate whose cost is unknown comes last.

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
        return (family, tier, figure, name) if unpriced else (tier, family, figure, name)

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


def costs_less(costs: Mapping[str, CostSheet], a: str, b: str) -> str:
    """Return what `a`, the cheaper one, costs beside `b`: ``costs less``, or ``about as much``."""
    if _unknown(costs, a, b):
        return "is not known to cost more"
    shown = cheaper_by(costs, a, b, least=NOTICEABLE)
    return _about_as_much(costs, a, b, shown) or f"costs less{shown}"


def costs_more(costs: Mapping[str, CostSheet], a: str, b: str) -> str:
    """Return what `b` costs beside `a`, the cheaper one: ``costs more``, or ``about as much``."""
    if _unknown(costs, a, b):
        return "is not known to cost less"
    shown = cheaper_by(costs, a, b, costlier_first=True, least=NOTICEABLE)
    return _about_as_much(costs, a, b, shown) or f"costs more{shown}"


def _unknown(costs: Mapping[str, CostSheet], a: str, b: str) -> bool:
    return None in fit_and_1k_answers({name: costs[name] for name in (a, b)}).values()


def _about_as_much(costs: Mapping[str, CostSheet], a: str, b: str, shown: str) -> str:
    return "costs about as much" if not shown and equal_costs(costs, a, b) else ""


def cheaper_by(
    costs: Mapping[str, CostSheet],
    a: str,
    b: str,
    *,
    costlier_first: bool = False,
    least: float = 1.0,
) -> str:
    """Return `` (0.75 ms against 14.5 ms per answer)``; empty where no figure shows it.

    `a` is the cheaper one; its figure comes second where the sentence is about the other. Answers
    that take about as long explain nothing: there the time of training does. Figures that differ
    by no more than a factor of `least` show nothing.
    """
    order = -1 if costlier_first else 1
    costs = {name: costs[name] for name in (a, b)}
    answers = [costs[name].record.ms_per_item for name in (a, b)]
    totals = [fit_and_1k_answers(costs)[name] for name in (a, b)]
    of_totals = 0.0 if in_dollars(costs) else _ratio(totals)
    if _ratio(answers) >= min(EQUAL_COST, of_totals):
        ratio, what = _ratio(answers), "per answer"
        figures = [milliseconds(ms or 0.0) for ms in answers]
    else:
        ratio, what = of_totals, "to train and answer 1,000 rows"
        figures = [duration(seconds or 0.0) for seconds in totals]
    if ratio <= least or figures[0] == figures[1]:
        return ""
    low, high = figures[::order]
    return f" ({low} against {high} {what})"


def equal_costs(costs: Mapping[str, CostSheet], a: str, b: str) -> bool:
    """Return whether `b` costs about as much as `a`, or less, in what orders them by cost."""
    totals = fit_and_1k_answers({name: costs[name] for name in (a, b)})
    years = [costs[name].record.total_usd for name in (a, b)]
    return _ratio([totals[a], totals[b]]) <= EQUAL_COST and _ratio(years) <= EQUAL_TOTAL


def _ratio(figures: Sequence[float | None]) -> float:
    """Return how many times as much the second costs; 0 where it is not known."""
    first, second = figures
    return 0.0 if first is None or second is None else second / max(first, 1e-9)


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

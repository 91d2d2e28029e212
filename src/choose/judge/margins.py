"""The smallest gain that matters, from what it costs and what it is worth.

A candidate that costs more than another over the horizon must gain extra cost / (value x answers):
less does not pay for it. Where nobody costs that much more, two points are the smallest gain that
matters, or what pays for the dearest of all if that is less: a gain that would pay for everything
on the table cannot be too small. A margin that the study states counts for all alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from choose.judge.bills import Bill, bill_of
from choose.judge.deployment import Deployment
from choose.judge.panel import Measured
from choose.judge.rule import Rule

# A thousand rows do not hold one answer for a gain below this.
LEAST = 0.001


@dataclass(frozen=True)
class Margins:
    """The smallest gain that matters between any two candidates; fractions.

    Attributes:
        rule: with the margin between candidates that no price sets apart.
        bills: by candidate; empty unless every candidate is priced.
    """

    rule: Rule
    bills: Mapping[str, Bill]

    @property
    def derived(self) -> bool:
        """Return whether prices say what matters."""
        return self.rule.margin_from == "derived"

    def between(self, a: str, b: str) -> float:
        """Return the smallest gain of the dearer of two that matters."""
        if not self.derived or a == b:
            return self.rule.margin
        return max(paying(self.bills[a], self.bills[b], self.rule.deployment), self.rule.margin)


def margins_of(candidates: Sequence[Measured], rule: Rule) -> Margins:
    """Derive the margins where the study states none and prices everything."""
    bills = {c.info.name: found for c in candidates if (found := bill_of(c, rule))}
    if len(bills) < len(candidates):
        return Margins(rule, {})
    if rule.margin_from == "stated" or rule.deployment.value_per_right_answer is None:
        return Margins(rule, bills)
    steps = [paying(a, b, rule.deployment) for a, b in combinations(bills.values(), 2)]
    if not steps:
        return Margins(rule, bills)
    least = max(min(rule.margin, max(steps)), LEAST)
    return Margins(replace(rule, margin=least, margin_from="derived"), bills)


def window(a: Bill, b: Bill, plan: Deployment) -> float:
    """Return the months in which the one that costs more to build must pay for itself."""
    assert plan.horizon_months is not None
    first = max(a, b, key=lambda bill: (bill.build, bill.refresh, -bill.months))
    return min(plan.horizon_months, first.months)


def paying(a: Bill, b: Bill, plan: Deployment) -> float:
    """Return the gain in accuracy that pays for what the dearer of two costs more; at most 1."""
    assert plan.volume_per_month is not None
    assert plan.value_per_right_answer is not None
    months = window(a, b, plan)
    answers = plan.volume_per_month * months
    if not answers:
        return 1.0
    return min(abs(extra(a, b, plan, months)) / (plan.value_per_right_answer * answers), 1.0)


def extra(a: Bill, b: Bill, plan: Deployment, months: float) -> float:
    """Return dollars that one costs more than another in all, over so many months."""
    assert plan.volume_per_month is not None
    an_answer = a.answer.value - b.answer.value
    return (
        a.fixed(plan, months) - b.fixed(plan, months) + plan.volume_per_month * months * an_answer
    )

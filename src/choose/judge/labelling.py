"""What labels take, at the study's pace and price."""

from __future__ import annotations

from choose.judge.rule import Rule
from choose.judge.words import number


def label_hours(labels: float, rule: Rule) -> float | None:
    """Return hours for so many labels and their checks; None where the pace is not known."""
    if labels == 0:
        return 0.0
    if rule.minutes_per_label is None:
        return None
    return labels * rule.minutes_per_label * (1 + rule.qa_share) / 60


def label_usd(labels: float, rule: Rule) -> float | None:
    """Return dollars for so many labels and their checks; None where they are not priced."""
    hours = label_hours(labels, rule)
    if hours == 0:
        return 0.0
    return None if hours is None or rule.hourly_rate is None else hours * rule.hourly_rate


def priced(rule: Rule, low: float, high: float | None = None) -> str:
    """Return `` (1.5 to 4 hours, $45 to $120)`` for between so many labels; empty if unpriced."""
    ends = [low] if high is None or high == low else [low, high]
    hours = [label_hours(n, rule) for n in ends]
    if rule.minutes_per_label is None:
        return ""
    said = f" ({' to '.join(number(h) for h in hours if h is not None)} hours"
    if rule.hourly_rate is not None:
        said += f", {' to '.join(f'${label_usd(n, rule):,.0f}' for n in ends)}"
    return said + ")"

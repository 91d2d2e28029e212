"""What a candidate costs from the first day of use to the last: built, refreshed, asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations
from math import exp, inf, sqrt
from statistics import median

import numpy as np
from scipy.special import stdtrit

from choose.formatting import number
from choose.judge.evidence import DAYS, Deployment, Rule, hours_of
from choose.judge.panel.score_tables import CLEAN, Measured
from choose.schema.costs import TokenPrices, dollars
from choose.types import Floats, Run


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


@dataclass(frozen=True, slots=True)
class Running:
    """Dollars an answer with a 95 % interval; `measured` says whether anything shows its width."""

    value: float
    low: float
    high: float
    measured: bool


def running(candidate: Measured, rule: Rule) -> Running | None:
    """Return what an answer costs, or None where it was not measured or is not priced."""
    if candidate.main is None:
        return None
    runs = candidate.main.runs
    if candidate.info.remote:
        return _by_tokens(runs, candidate.info.token_prices)
    price = rule.usd_per_machine_hour
    times = seconds_an_answer(runs)
    return None if price is None or not times else _by_time(times, price / 3600)


def seconds_an_answer(runs: Sequence[Run]) -> list[float]:
    """Return the seconds that an answer took, by run."""
    return [
        run.predict_seconds / len(run.asked[CLEAN])
        for run in runs
        if run.predict_seconds is not None and run.asked[CLEAN]
    ]


def _by_time(times: Sequence[float], price: float) -> Running:
    """Take the median, and as its error Student's on the logarithms: clocks err by factors."""
    value = float(median(times))
    # Too short for the clock, a run says nothing of a factor.
    logs = np.log([time for time in times if time > 0])
    if len(logs) < 2:
        return Running(value * price, value * price, value * price, False)
    half = _student(len(logs)) * float(logs.std(ddof=1)) / sqrt(len(logs))
    return Running(value * price, value * exp(-half) * price, value * exp(half) * price, True)


def _by_tokens(runs: Sequence[Run], prices: TokenPrices | None) -> Running | None:
    """Take the mean over rows, each the mean of its repetitions."""
    if prices is None:
        return None
    paid: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        answers = run.answers[CLEAN]
        found = dollars(prices, answers.tokens_in, answers.tokens_cached, answers.tokens_out)
        if found is None:
            return None
        for id, cost in zip(run.asked[CLEAN], found.tolist(), strict=True):
            paid[id].append(cost)
    rows: Floats = np.array([np.mean(costs) for costs in paid.values()], dtype=np.float64)
    if len(rows) < 2:
        return Running(float(rows[0]), float(rows[0]), float(rows[0]), False) if len(rows) else None
    value = float(rows.mean())
    half = _student(len(rows)) * float(rows.std(ddof=1)) / sqrt(len(rows))
    return Running(value, max(value - half, 0.0), value + half, True)


def _student(n: int) -> float:
    return float(stdtrit(n - 1, 0.975)) if n > 1 else inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Dollars of one candidate under a deployment.

    Attributes:
        build: training, new labels and engineering.
        refresh: the same for each refresh.
        answer: one answer.
        months: of use until its model retires; infinite where no date is known.
    """

    build: float
    refresh: float
    answer: Running
    months: float = inf

    def fixed(self, plan: Deployment, months: float) -> float:
        """Return what does not grow with volume; a model that retires meanwhile is built again."""
        builds = 2 if self.months < months else 1
        return builds * self.build + plan.refreshes(months) * self.refresh

    def total(self, plan: Deployment) -> float:
        """Return everything over the horizon."""
        assert plan.horizon_months is not None
        assert plan.volume_per_month is not None
        asked = plan.volume_per_month * plan.horizon_months
        return self.fixed(plan, plan.horizon_months) + asked * self.answer.value


def bill_of(candidate: Measured, rule: Rule) -> Bill | None:
    """Return a candidate's bill, or None where the study leaves a part of it unpriced."""
    build, refresh = build_usd(candidate, rule), refresh_usd(candidate, rule)
    answer, plan = running(candidate, rule), rule.deployment
    if build is None or refresh is None or answer is None:
        return None
    if plan.horizon_months is None or plan.volume_per_month is None:
        return None
    life = months_left(candidate, plan)
    return Bill(build=build, refresh=refresh, answer=answer, months=inf if life is None else life)


def months_left(candidate: Measured, plan: Deployment) -> float | None:
    """Return the months of use until the candidate's model retires; None without a date."""
    day = candidate.info.retires
    if day is None or plan.start is None:
        return None
    return max((day - date.fromisoformat(plan.start)).days, 0) / DAYS


def build_usd(candidate: Measured, rule: Rule) -> float | None:
    """Return what building it costs once."""
    plan = rule.deployment
    return _work(candidate, rule, plan.new_labels, engineer_hours(candidate, rule))


def refresh_usd(candidate: Measured, rule: Rule) -> float | None:
    """Return what a refresh costs; nothing where the study plans none."""
    plan, info = rule.deployment, candidate.info
    if plan.refresh_months is None:
        return 0.0
    hours = hours_of(plan.refresh_hours, info.name, info.family)
    return _work(candidate, rule, plan.refresh_labels, hours)


def engineer_hours(candidate: Measured, rule: Rule) -> float | None:
    """Return the hours that the study says it takes to build."""
    info = candidate.info
    return hours_of(rule.deployment.engineer_hours, info.name, info.family)


def training_usd(candidate: Measured, rule: Rule) -> float | None:
    """Return what a fit costs on the study's machine."""
    fits = [r.fit_seconds for r in candidate.main.runs] if candidate.main else []
    known = [seconds for seconds in fits if seconds is not None]
    price = rule.usd_per_machine_hour
    return median(known) * price / 3600 if known and price is not None else None


def _work(candidate: Measured, rule: Rule, labels: int | None, hours: float | None) -> float | None:
    if labels is None or hours is None:
        return None
    rate = rule.deployment.engineer_rate
    parts = (
        training_usd(candidate, rule),
        label_usd(labels if candidate.info.learns else 0, rule),
        hours * rate if rate is not None else (0.0 if hours == 0 else None),
    )
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def missing(candidate: Measured, rule: Rule) -> tuple[str, ...]:
    """Return the keys of the study file without which the candidate has no total."""
    return tuple(_missing(candidate, rule))


def _missing(candidate: Measured, rule: Rule) -> Iterator[str]:
    plan, info = rule.deployment, candidate.info
    labels = [plan.new_labels] + ([plan.refresh_labels] if plan.refresh_months else [])
    hours = hours_of(plan.engineer_hours, info.name, info.family)
    again = hours_of(plan.refresh_hours, info.name, info.family) if plan.refresh_months else 0.0
    bought = info.learns and any(labels)
    wanted = {
        "usd_per_machine_hour": rule.usd_per_machine_hour,
        f"engineer_hours.{info.family}": hours,
        "engineer_rate": plan.engineer_rate if hours or again else 0.0,
        "minutes_per_label": rule.minutes_per_label if bought else 0.0,
        "hourly_rate": rule.hourly_rate if bought else 0.0,
        "refresh_labels": labels[-1],
        f"refresh_hours.{info.family}": again,
        "volume_per_month": plan.volume_per_month,
        "horizon_months": plan.horizon_months,
    }
    yield from (f"costs.{key}" for key, value in wanted.items() if value is None)
    if info.remote and running(candidate, rule) is None:
        yield f"token prices of endpoints.{(info.model or '').removeprefix('endpoint:')}"


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

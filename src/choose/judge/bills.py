"""What a candidate costs from the first day of use to the last: built, refreshed, asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from math import inf
from statistics import median

from choose.judge.deployment import DAYS, Deployment, hours_of
from choose.judge.labelling import label_usd
from choose.judge.panel import Measured
from choose.judge.rule import Rule
from choose.judge.running import Running, running


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

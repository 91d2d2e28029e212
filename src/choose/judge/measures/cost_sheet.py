"""What one candidate costs: an answer, its build and refreshes, and all of it over the horizon."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import ceil, exp, inf, sqrt
from statistics import median

import numpy as np
from scipy.special import stdtrit

from choose.formatting import number
from choose.judge.evidence import CandidateInfo
from choose.judge.goal import DAYS, Deployment, Rule, hours_of
from choose.judge.scores.score_tables import CLEAN, CandidateScores
from choose.schema.base import Interval
from choose.schema.costs import Cost, Serving, TokenPrices, dollars
from choose.types import Floats, Run


@dataclass(frozen=True, slots=True)
class AnswerCost:
    """Dollars an answer with a 95 % interval; without width if not `measured` more than once."""

    value: float
    low: float
    high: float
    measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeCost:
    """Dollars of one candidate under a deployment.

    Attributes:
        build: training, new labels and engineering.
        refresh: the same for each refresh.
        answer: one answer.
        months: of use until its model retires; infinite where no date is known.
    """

    build: float
    refresh: float
    answer: AnswerCost
    months: float = inf

    def fixed(self, plan: Deployment, months: float) -> float:
        """Return what does not grow with volume; a model that retires earlier is built again."""
        builds = 2 if self.months < months else 1
        return builds * self.build + plan.refreshes(months) * self.refresh

    def total(self, plan: Deployment) -> float:
        """Return the sum over the horizon."""
        assert plan.horizon_months is not None
        assert plan.volume_per_month is not None
        answers = plan.volume_per_month * plan.horizon_months
        return self.fixed(plan, plan.horizon_months) + answers * self.answer.value


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSheet:
    """All costs of one candidate, computed once for a decision; None where unmeasured or unpriced.

    Attributes:
        record: what the scorecard shows.
        training_usd: dollars of one fit on the study's machine.
        answer: dollars an answer.
        lifetime: dollars from the first day of use to the last.
    """

    record: Cost = field(default_factory=Cost)
    training_usd: float | None = None
    answer: AnswerCost | None = None
    lifetime: LifetimeCost | None = None


def cost_sheet(candidate: CandidateScores, rule: Rule) -> CostSheet:
    """Return a candidate's costs, those of a fit and an answer as if nothing had been cached."""
    if candidate.main is None:
        return CostSheet()
    runs, info, plan = candidate.main.runs, candidate.info, rule.deployment
    fit = _median(run.fit_seconds for run in runs)
    training = _training_usd(fit, rule)
    hours = hours_of(plan.engineer_hours, info.name, info.family)
    build = _work_usd(info, rule, training, plan.new_labels, hours)
    refresh = _refresh_usd(info, rule, training)
    answer = _answer_cost(runs, info, rule)
    months = _months_left(info, plan)
    lifetime = _lifetime_cost(build, refresh, answer, months, plan)
    times = _seconds_per_answer(runs)
    record = Cost(
        fit_seconds=fit,
        turnaround_seconds=fit,
        ms_per_item=1000 * median(times) if times else None,
        tokens_in=_mean_tokens(runs, "tokens_in"),
        tokens_cached=_mean_tokens(runs, "tokens_cached"),
        tokens_out=_mean_tokens(runs, "tokens_out"),
        usd_per_1k=1000 * answer.value if answer else None,
        per_1k=_per_1k(answer),
        artefact_mb=_median(run.artefact_mb for run in runs),
        base_mb=_median(run.base_mb for run in runs),
        index_seconds=_median(run.reread_seconds for run in runs),
        labelling_hours=label_hours(candidate.pool if info.learns else 0, rule),
        engineer_hours=hours,
        build_usd=build,
        refresh_usd=refresh if plan.refresh_months else None,
        total_usd=lifetime.total(plan) if lifetime else None,
        retires=info.retires.isoformat() if info.retires else None,
        months=months,
        serving=serving(runs, rule),
        missing=tuple(_missing_keys(info, rule, answer)),
    )
    return CostSheet(record=record, training_usd=training, answer=answer, lifetime=lifetime)


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
    """Return `` (1.5 to 4 hours, $45 to $120)`` for low to high labels; empty if unpriced."""
    ends = [low] if high is None or high == low else [low, high]
    if rule.minutes_per_label is None:
        return ""
    hours = [label_hours(n, rule) for n in ends]
    text = f" ({' to '.join(number(h) for h in hours if h is not None)} hours"
    if rule.hourly_rate is not None:
        text += f", {' to '.join(f'${label_usd(n, rule):,.0f}' for n in ends)}"
    return text + ")"


def serving(runs: Sequence[Run], rule: Rule) -> Serving | None:
    """Return the memory of the weights, and the machines that hold them; None if not measured.

    Only weights count: what a batch of requests needs in addition depends on the server, and is
    the same with one base and with several.
    """
    plan = rule.deployment
    adapters = [run.artefact_mb for run in runs if run.artefact_mb is not None]
    bases = [run.base_mb for run in runs if run.base_mb is not None]
    if plan.tasks is None or not adapters or not bases:
        return None
    adapter, base = median(adapters), median(bases)
    shared, separate = base + plan.tasks * adapter, plan.tasks * (base + adapter)
    few = _machines(shared, 1, plan.machine_gb)
    many = _machines(base + adapter, plan.tasks, plan.machine_gb)
    price = rule.usd_per_machine_hour
    return Serving(
        tasks=plan.tasks,
        on_one_base_mb=shared,
        one_each_mb=separate,
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


def _answer_cost(runs: Sequence[Run], info: CandidateInfo, rule: Rule) -> AnswerCost | None:
    """Return what an answer costs, or None where it was not measured or is not priced."""
    if info.remote:
        return _cost_by_tokens(runs, info.token_prices)
    price, times = rule.usd_per_machine_hour, _seconds_per_answer(runs)
    return None if price is None or not times else _cost_by_time(times, price / 3600)


def _seconds_per_answer(runs: Sequence[Run]) -> list[float]:
    """Return the mean seconds of an answer, by run."""
    return [
        run.predict_seconds / len(run.asked[CLEAN])
        for run in runs
        if run.predict_seconds is not None and run.asked[CLEAN]
    ]


def _cost_by_time(times: Sequence[float], price: float) -> AnswerCost:
    """Take the median, with Student's interval on the logarithms: clocks err by factors."""
    value = float(median(times))
    # A run too short for the clock has no logarithm.
    logs = np.log([time for time in times if time > 0])
    if len(logs) < 2:
        return AnswerCost(value * price, value * price, value * price, False)
    half = _student(len(logs)) * float(logs.std(ddof=1)) / sqrt(len(logs))
    return AnswerCost(value * price, value * exp(-half) * price, value * exp(half) * price, True)


def _cost_by_tokens(runs: Sequence[Run], prices: TokenPrices | None) -> AnswerCost | None:
    """Take the mean over rows, each the mean of its repetitions."""
    if prices is None:
        return None
    usd_by_row: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        answers = run.answers[CLEAN]
        usd = dollars(prices, answers.tokens_in, answers.tokens_cached, answers.tokens_out)
        if usd is None:
            return None
        for id, cost in zip(run.asked[CLEAN], usd.tolist(), strict=True):
            usd_by_row[id].append(cost)
    rows: Floats = np.array([np.mean(costs) for costs in usd_by_row.values()], dtype=np.float64)
    if not len(rows):
        return None
    value = float(rows.mean())
    if len(rows) < 2:
        return AnswerCost(value, value, value, False)
    half = _student(len(rows)) * float(rows.std(ddof=1)) / sqrt(len(rows))
    return AnswerCost(value, max(value - half, 0.0), value + half, True)


def _student(n: int) -> float:
    return float(stdtrit(n - 1, 0.975))


def _per_1k(answer: AnswerCost | None) -> Interval | None:
    if answer is None or not answer.measured:
        return None
    return Interval.of(answer, "1,000 answers", times=1000)


def _training_usd(seconds: float | None, rule: Rule) -> float | None:
    price = rule.usd_per_machine_hour
    return seconds * price / 3600 if seconds is not None and price is not None else None


def _work_usd(
    info: CandidateInfo, rule: Rule, training: float | None, labels: int | None, hours: float | None
) -> float | None:
    """Return dollars of a build or refresh: one fit, new labels, engineering."""
    if labels is None or hours is None:
        return None
    rate = rule.deployment.engineer_rate
    parts = (
        training,
        label_usd(labels if info.learns else 0, rule),
        hours * rate if rate is not None else (0.0 if hours == 0 else None),
    )
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _refresh_usd(info: CandidateInfo, rule: Rule, training: float | None) -> float | None:
    """Return what a refresh costs; nothing where the study plans none."""
    plan = rule.deployment
    if plan.refresh_months is None:
        return 0.0
    hours = hours_of(plan.refresh_hours, info.name, info.family)
    return _work_usd(info, rule, training, plan.refresh_labels, hours)


def _months_left(info: CandidateInfo, plan: Deployment) -> float | None:
    """Return the months of use until the candidate's model retires; None without a date."""
    if info.retires is None or plan.start is None:
        return None
    return max((info.retires - date.fromisoformat(plan.start)).days, 0) / DAYS


def _lifetime_cost(
    build: float | None,
    refresh: float | None,
    answer: AnswerCost | None,
    months: float | None,
    plan: Deployment,
) -> LifetimeCost | None:
    if build is None or refresh is None or answer is None:
        return None
    if plan.horizon_months is None or plan.volume_per_month is None:
        return None
    return LifetimeCost(
        build=build, refresh=refresh, answer=answer, months=inf if months is None else months
    )


def _missing_keys(info: CandidateInfo, rule: Rule, answer: AnswerCost | None) -> Iterator[str]:
    """Yield the keys of the study file without which the candidate has no total."""
    plan = rule.deployment
    labels = [plan.new_labels] + ([plan.refresh_labels] if plan.refresh_months else [])
    hours = hours_of(plan.engineer_hours, info.name, info.family)
    again = hours_of(plan.refresh_hours, info.name, info.family) if plan.refresh_months else 0.0
    buys_labels = info.learns and any(labels)
    wanted = {
        "usd_per_machine_hour": rule.usd_per_machine_hour,
        f"engineer_hours.{info.family}": hours,
        "engineer_rate": plan.engineer_rate if hours or again else 0.0,
        "minutes_per_label": rule.minutes_per_label if buys_labels else 0.0,
        "hourly_rate": rule.hourly_rate if buys_labels else 0.0,
        "refresh_labels": labels[-1],
        f"refresh_hours.{info.family}": again,
        "volume_per_month": plan.volume_per_month,
        "horizon_months": plan.horizon_months,
    }
    yield from (f"costs.{key}" for key, value in wanted.items() if value is None)
    if info.remote and answer is None:
        yield f"token prices of endpoints.{(info.model or '').removeprefix('endpoint:')}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _mean_tokens(runs: Sequence[Run], name: str) -> float | None:
    counted = [count for run in runs if (count := getattr(run.answers[CLEAN], name)) is not None]
    return float(np.mean(np.concatenate(counted))) if counted else None

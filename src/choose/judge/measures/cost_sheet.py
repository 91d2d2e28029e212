"""What one candidate costs: a fit, an answer, and both over a year of use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import exp, sqrt
from statistics import median

import numpy as np
from scipy.special import stdtrit

from choose.judge.evidence import CandidateInfo
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import CLEAN, CandidateScores
from choose.schema.scorecard import Cost, TokenPrices, dollars
from choose.types import Floats, Run


@dataclass(frozen=True, slots=True)
class AnswerCost:
    """Dollars an answer with a 95 % interval; without width if not measured more than once."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class YearCost:
    """Dollars of one candidate in a year: one fit, and an answer."""

    training: float
    answer: AnswerCost

    def total(self, answers: float) -> float:
        """Return the dollars of a fit and so many answers."""
        return self.training + answers * self.answer.value


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSheet:
    """All costs of one candidate, computed once for a decision; None where unmeasured or unpriced.

    Attributes:
        record: what the scorecard shows.
        answer: dollars an answer.
        year: dollars of a fit and of an answer, where both are known and the volume is stated.
    """

    record: Cost = field(default_factory=Cost)
    answer: AnswerCost | None = None
    year: YearCost | None = None


def cost_sheet(candidate: CandidateScores, rule: Rule) -> CostSheet:
    """Return a candidate's costs, those of a fit and an answer as if nothing had been cached."""
    if candidate.main is None:
        return CostSheet()
    runs, info = candidate.main.runs, candidate.info
    fit = _median(run.fit_seconds for run in runs)
    training, answer = _training_usd(fit, rule), _answer_cost(runs, info, rule)
    year, ahead = None, 0.0 if info.given else training  # a given model was fitted before
    if ahead is not None and answer is not None and rule.answers is not None:
        year = YearCost(training=ahead, answer=answer)
    times = _seconds_per_answer(runs)
    record = Cost(
        fit_seconds=fit,
        ms_per_item=1000 * median(times) if times else None,
        tokens_in=_mean_tokens(runs, "tokens_in"),
        tokens_cached=_mean_tokens(runs, "tokens_cached"),
        tokens_out=_mean_tokens(runs, "tokens_out"),
        usd_per_1k=1000 * answer.value if answer else None,
        artefact_mb=_median(run.artefact_mb for run in runs),
        base_mb=_median(run.base_mb for run in runs),
        index_seconds=_median(run.reread_seconds for run in runs),
        training_usd=training,
        total_usd=year.total(rule.answers) if year and rule.answers is not None else None,
        missing=tuple(_missing_keys(info, rule, answer)),
    )
    return CostSheet(record=record, answer=answer, year=year)


def answer_ms(candidate: CandidateScores) -> float | None:
    """Return the milliseconds that a user waits for an answer; None where nothing was timed.

    Of an endpoint it is the median from request to answer, which many requests at once do not
    shorten; else the time of all answers over their number.
    """
    runs = candidate.main.runs if candidate.main else ()
    waits = [wait for run in runs if (wait := run.answers[CLEAN].latency) is not None]
    times = np.concatenate(waits) if waits else np.array(_seconds_per_answer(runs))
    times = times[np.isfinite(times)]
    return 1000 * float(np.median(times)) if len(times) else None


def label_hours(labels: float, rule: Rule) -> float | None:
    """Return hours for so many labels; None where the pace is not known."""
    if labels == 0:
        return 0.0
    if rule.minutes_per_label is None:
        return None
    return labels * rule.minutes_per_label / 60


def label_usd(labels: float, rule: Rule) -> float | None:
    """Return dollars for so many labels; None where they are not priced."""
    hours = label_hours(labels, rule)
    if hours == 0:
        return 0.0
    return None if hours is None or rule.hourly_rate is None else hours * rule.hourly_rate


def _answer_cost(runs: Sequence[Run], info: CandidateInfo, rule: Rule) -> AnswerCost | None:
    """Return what an answer costs, or None where it was not measured or is not priced."""
    if info.usd_per_1k is not None:
        usd = info.usd_per_1k / 1000
        return AnswerCost(usd, usd, usd)
    if info.given:  # an hour of this machine prices no answer that it did not give
        return None
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
        return AnswerCost(value * price, value * price, value * price)
    half = _student(len(logs)) * float(logs.std(ddof=1)) / sqrt(len(logs))
    return AnswerCost(value * price, value * exp(-half) * price, value * exp(half) * price)


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
        return AnswerCost(value, value, value)
    half = _student(len(rows)) * float(rows.std(ddof=1)) / sqrt(len(rows))
    return AnswerCost(value, max(value - half, 0.0), value + half)


def _student(n: int) -> float:
    return float(stdtrit(n - 1, 0.975))


def _training_usd(seconds: float | None, rule: Rule) -> float | None:
    price = rule.usd_per_machine_hour
    return seconds * price / 3600 if seconds is not None and price is not None else None


def _missing_keys(info: CandidateInfo, rule: Rule, answer: AnswerCost | None) -> Iterator[str]:
    """Yield the keys of the study file without which the candidate has no total."""
    for key in (
        ("volume_per_month",) if info.given else ("usd_per_machine_hour", "volume_per_month")
    ):
        if getattr(rule, key) is None:
            yield f"costs.{key}"
    if info.remote and answer is None:
        yield f"token prices of endpoints.{(info.model or '').removeprefix('endpoint:')}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _mean_tokens(runs: Sequence[Run], name: str) -> float | None:
    counted = [count for run in runs if (count := getattr(run.answers[CLEAN], name)) is not None]
    return float(np.mean(np.concatenate(counted))) if counted else None

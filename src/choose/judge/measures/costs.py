"""What candidates cost: a fit, an answer, a year; their order, and the gain that pays for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import exp, sqrt
from statistics import median

import numpy as np
from scipy.special import stdtrit

from choose.judge.evidence import CandidateInfo
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import CLEAN, CandidateScores
from choose.schema.scorecard import Cost, TokenPrices, dollars
from choose.stats.intervals import Estimate
from choose.types import FAMILIES, Floats, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSheet:
    """All costs of one candidate, computed once for a decision; None where unmeasured or unpriced.

    Attributes:
        record: what the scorecard shows.
        training: dollars of a fit; none for answers that existed.
        answer: dollars an answer; an interval without width was not measured more than once.
    """

    record: Cost = field(default_factory=Cost)
    training: float | None = None
    answer: Estimate | None = None


def cost_sheet(candidate: CandidateScores, rule: Rule) -> CostSheet:
    """Return a candidate's costs, those of a fit and an answer as if nothing had been cached."""
    if candidate.main is None:
        return CostSheet()
    runs, info = candidate.main.runs, candidate.info
    fit = _median(run.fit_seconds for run in runs)
    price, answer, total = rule.usd_per_hour, _answer_cost(runs, info, rule), None
    training = None if fit is None or price is None else fit * price / 3600
    ahead = 0.0 if info.given else training
    if ahead is not None and answer is not None and rule.answers is not None:
        total = ahead + rule.answers * answer.value
    times = _seconds_per_answer(runs)
    record = Cost(
        fit_seconds=fit,
        ms_per_item=1000 * median(times) if times else None,
        tokens_in=_mean_tokens(runs, "tokens_in"),
        tokens_out=_mean_tokens(runs, "tokens_out"),
        usd_per_1k=1000 * answer.value if answer else None,
        artefact_mb=_median(run.artefact_mb for run in runs),
        base_mb=_median(run.base_mb for run in runs),
        index_seconds=_median(run.reread_seconds for run in runs),
        training_usd=training,
        total_usd=total,
        missing=tuple(_missing_keys(info, rule, answer)),
    )
    return CostSheet(record=record, training=ahead, answer=answer)


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


def _answer_cost(runs: Sequence[Run], info: CandidateInfo, rule: Rule) -> Estimate | None:
    """Return what an answer costs, or None where it was not measured or is not priced."""
    if info.usd_per_1k is not None:
        usd = info.usd_per_1k / 1000
        return Estimate(value=usd, low=usd, high=usd)
    if info.given:  # an hour of this machine prices no answer that it did not give
        return None
    if info.remote:
        return _cost_by_tokens(runs, info.token_prices)
    price, times = rule.usd_per_hour, _seconds_per_answer(runs)
    return None if price is None or not times else _cost_by_time(times, price / 3600)


def _seconds_per_answer(runs: Sequence[Run]) -> list[float]:
    """Return the mean seconds of an answer, by run."""
    return [
        run.predict_seconds / len(run.asked[CLEAN])
        for run in runs
        if run.predict_seconds is not None and run.asked[CLEAN]
    ]


def _cost_by_time(times: Sequence[float], price: float) -> Estimate:
    """Take the median, with Student's interval on the logarithms: clocks err by factors."""
    value = float(median(times))
    # A run too short for the clock has no logarithm.
    logs = np.log([time for time in times if time > 0])
    if len(logs) < 2:
        return Estimate(value=value * price, low=value * price, high=value * price)
    half = _student(len(logs)) * float(logs.std(ddof=1)) / sqrt(len(logs))
    low, high = value * exp(-half) * price, value * exp(half) * price
    return Estimate(value=value * price, low=low, high=high)


def _cost_by_tokens(runs: Sequence[Run], prices: TokenPrices | None) -> Estimate | None:
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
        return Estimate(value=value, low=value, high=value)
    half = _student(len(rows)) * float(rows.std(ddof=1)) / sqrt(len(rows))
    return Estimate(value=value, low=max(value - half, 0.0), high=value + half)


def _student(n: int) -> float:
    return float(stdtrit(n - 1, 0.975))


def _missing_keys(info: CandidateInfo, rule: Rule, answer: Estimate | None) -> Iterator[str]:
    """Yield the keys of the study file without which the candidate has no total."""
    for key in ("volume",) if info.given else ("usd_per_hour", "volume"):
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
    second = (rule.usd_per_hour or 3600) / 3600 if in_dollars(sheets) else 1.0
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
    costs: Mapping[str, CostSheet]

    def between(self, a: str, b: str) -> float:
        """Return the smallest gain that matters of the more expensive of two candidates."""
        if self.rule.margin_from != "derived" or a == b:
            return self.rule.margin
        first, second = (self.costs[name].record.total_usd or 0.0 for name in (a, b))
        return max(break_even_gain(first, second, self.rule), self.rule.margin)


def margins_of(costs: Mapping[str, CostSheet], rule: Rule) -> Margins:
    """Derive the margins where the study states none and prices everything."""
    totals = [t for sheet in costs.values() if (t := sheet.record.total_usd) is not None]
    if len(totals) < len(costs):
        return Margins(rule, {})
    if rule.margin_from == "stated" or rule.value_per_right_answer is None or len(totals) < 2:
        return Margins(rule, costs)
    gains = [break_even_gain(a, b, rule) for a, b in combinations(totals, 2)]
    least = max(min(rule.margin, max(gains)), SMALLEST_MARGIN)
    return Margins(replace(rule, margin=least, margin_from="derived"), costs)


def break_even_gain(first: float, second: float, rule: Rule) -> float:
    """Return the gain in accuracy that pays for the difference of two totals a year; at most 1."""
    assert rule.answers is not None
    assert rule.value_per_right_answer is not None
    return min(abs(first - second) / (rule.value_per_right_answer * rule.answers), 1.0)

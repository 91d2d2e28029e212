"""What candidates cost: a fit, an answer, a year; and their order."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import numpy as np

from choose.judge.evidence import CandidateInfo
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import CandidateScores
from choose.schema.candidate_scorecard import Cost, TokenPrices, dollars
from choose.types import CLEAN, FAMILIES, Floats, Run


def cost_of(candidate: CandidateScores, rule: Rule) -> Cost:
    """Return a candidate's costs, those of a fit and an answer as if nothing had been cached."""
    if candidate.main is None:
        return Cost()
    runs, info = candidate.main.runs, candidate.info
    fit = _median(run.fit_seconds for run in runs)
    price, answer, total = rule.usd_per_hour, _answer_usd(runs, info, rule), None
    training = None if fit is None or price is None else fit * price / 3600
    # Answers that existed take no fit.
    ahead = 0.0 if info.given else training
    if ahead is not None and answer is not None and rule.answers is not None:
        total = ahead + rule.answers * answer
    times = _seconds_per_answer(runs)
    return Cost(
        fit_seconds=fit,
        ms_per_item=1000 * median(times) if times else None,
        tokens_in=_mean_tokens(runs, "tokens_in"),
        tokens_out=_mean_tokens(runs, "tokens_out"),
        usd_per_1k=None if answer is None else 1000 * answer,
        artefact_mb=_median(run.artefact_mb for run in runs),
        index_seconds=_median(run.reread_seconds for run in runs),
        training_usd=training,
        total_usd=total,
    )


def breakeven(a: Cost, b: Cost) -> float | None:
    """Return the answers from which on the one that costs more to train is the cheaper one.

    None where it never is, always is, or an answer is not priced. What has no fit trains for
    nothing.
    """
    if a.usd_per_1k is None or b.usd_per_1k is None:
        return None
    extra = (a.training_usd or 0.0) - (b.training_usd or 0.0)
    saved = (b.usd_per_1k - a.usd_per_1k) / 1000
    return extra / saved if extra * saved > 0 else None


def answer_ms(candidate: CandidateScores) -> float | None:
    """Return the milliseconds that a user waits for an answer; None where nothing was timed.

    Of an endpoint it is the median from request to answer, which many requests at once do not
    shorten; else the time of all answers over their number.
    """
    runs = candidate.main.runs if candidate.main else ()
    waits = latencies(runs)
    times = np.array(_seconds_per_answer(runs)) if waits is None else waits
    return 1000 * float(np.median(times)) if len(times) else None


def latencies(runs: Sequence[Run]) -> Floats | None:
    """Return the seconds from requests to clean answers; None where none was measured."""
    waits = [wait for run in runs if (wait := run.answers[CLEAN].latency) is not None]
    times = np.concatenate(waits) if waits else None
    return None if times is None else times[np.isfinite(times)]


def label_hours(labels: float, rule: Rule) -> float | None:
    """Return hours for so many labels; None where the pace is not known."""
    if labels == 0:
        return 0.0
    return None if rule.minutes_per_label is None else labels * rule.minutes_per_label / 60


def label_usd(labels: float, rule: Rule) -> float | None:
    """Return dollars for so many labels; None where they are not priced."""
    hours = label_hours(labels, rule)
    if hours == 0:
        return 0.0
    return None if hours is None or rule.hourly_rate is None else hours * rule.hourly_rate


def _answer_usd(runs: Sequence[Run], info: CandidateInfo, rule: Rule) -> float | None:
    if info.usd_per_1k is not None:
        return info.usd_per_1k / 1000
    if info.given:  # an hour of this machine prices no answer that it did not give
        return None
    if info.remote:
        return _usd_by_tokens(runs, info.token_prices)
    price, times = rule.usd_per_hour, _seconds_per_answer(runs)
    return None if price is None or not times else float(median(times)) * price / 3600


def _seconds_per_answer(runs: Sequence[Run]) -> list[float]:
    return [
        run.predict_seconds / len(run.asked[CLEAN])
        for run in runs
        if run.predict_seconds is not None and run.asked[CLEAN]
    ]


def _usd_by_tokens(runs: Sequence[Run], prices: TokenPrices | None) -> float | None:
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
    return float(np.mean([np.mean(costs) for costs in usd_by_row.values()])) if usd_by_row else None


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


def cheapest_first(
    candidates: Sequence[CandidateScores], costs: Mapping[str, Cost], rule: Rule
) -> list[CandidateScores]:
    """Order candidates by dollars of a year where all have them, else of a fit and 1,000 answers.

    Costs within a factor of the least that is not yet placed pass for equal (`EQUAL_COST`); among
    equals the simpler family comes first, and in it who needs no model. A candidate whose cost is
    unknown comes last.
    """
    own = {c.info.name: costs[c.info.name] for c in candidates}
    totals = {name: cost.total_usd for name, cost in own.items()}
    if None not in totals.values():
        return _in_tiers(candidates, totals, EQUAL_TOTAL, NEGLIGIBLE_USD)
    # Dollars where all that were timed are priced, else seconds, of which less than one passes for
    # equal, whatever a second costs.
    timed = [cost for cost in own.values() if cost.ms_per_item or cost.usd_per_1k]
    priced = bool(timed) and all(cost.usd_per_1k is not None for cost in timed)
    figures: dict[str, float | None] = {}
    for name, cost in own.items():
        fit, answers = cost.fit_seconds, cost.ms_per_item
        if priced:
            fit, answers = cost.training_usd or 0.0, cost.usd_per_1k
        figures[name] = None if fit is None or answers is None else fit + answers
    second = (rule.usd_per_hour or 3600) / 3600 if priced else 1.0
    return _in_tiers(candidates, figures, EQUAL_COST, second)


def _in_tiers(
    candidates: Sequence[CandidateScores],
    figures: Mapping[str, float | None],
    factor: float,
    least: float,
) -> list[CandidateScores]:
    tiers: list[float] = []
    for figure in sorted(figure for figure in figures.values() if figure is not None):
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

"""What an answer costs: the machine's time or an endpoint's tokens, with what they leave open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, sqrt
from statistics import median

import numpy as np
from scipy.special import stdtrit

from choose.judge.answers import CLEAN
from choose.judge.panel import Measured
from choose.judge.rule import Rule
from choose.prices import TokenPrices, dollars
from choose.types import Floats, Run


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

"""What happens to a candidate under label noise, other views of the questions, fewer labels."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import numpy as np
from scipy.integrate import trapezoid

from choose.judge.scores.paired_comparison import (
    ASSUMED_SD,
    accuracy_on,
    changed,
    compare,
    full_pool,
    interval_of,
    mean_change,
    other_pool,
    shared_training,
)
from choose.judge.scores.score_tables import (
    CLEAN,
    MISSING,
    CandidateScores,
    ScoreTable,
    answer_codes,
    estimand_of,
)
from choose.judge.stats.intervals import AGRESTI_COULL, Estimate, two_way_interval
from choose.judge.stats.metrics import UNUSABLE
from choose.schema.base import Interval
from choose.schema.scorecard import (
    CoveragePoint,
    CurvePoint,
    Noise,
    NoiseKindPoint,
    NoisePoint,
    Stability,
    ViewPoint,
)
from choose.types import Floats

# A candidate has broken down where it has lost more than this for certain.
BREAKDOWN = 0.05


def estimate(table: ScoreTable) -> Estimate:
    """Return the accuracy of a table with its interval."""
    rows = table.rows
    return two_way_interval(
        table.block,
        rows.clusters_of(table.complete),
        rows.weights_of(table.complete),
        expected=ASSUMED_SD**2,
        growth=shared_training(table, table.complete),
    )


def noise_of(candidate: CandidateScores) -> Noise:
    """Return how accuracy answers to added label noise: symmetric noise and every kind by rate.

    The slope is the mean over rows and repetitions of each one's own least-squares slope, so its
    interval counts both; rates are compared on the repetitions and rows that all of them have.
    """
    kinds = _kinds(candidate)
    tables = {rate: t for (kind, rate), t in sorted(candidate.noise.items()) if kind == "symmetric"}
    clean = candidate.main
    if clean is None:
        return Noise()
    tables = {rate: t for rate, t in tables.items() if _covers(t, clean)}
    if not tables:
        return Noise(kinds=kinds)
    tables = {0.0: clean, **tables}
    curve = tuple(NoisePoint(rate=rate, accuracy=_interval(t)) for rate, t in tables.items())
    rates, values = list(tables), [point.accuracy.value for point in curve]
    area = None
    if values[0] > 0:
        area = float(trapezoid(values, rates) / (rates[-1] * values[0]))
    slope = _slope(tables, not candidate.repeats)
    breakdown = _breakdown(candidate, tables)
    return Noise(slope=slope, area=area, breakdown=breakdown, curve=curve, kinds=kinds)


def _kinds(candidate: CandidateScores) -> tuple[NoiseKindPoint, ...]:
    points = []
    for (kind, rate), table in sorted(candidate.noise.items()):
        if candidate.main is None:
            continue
        loss = compare(full_pool(candidate), other_pool(candidate, table))
        noisy = accuracy_on(table, table.complete)
        if loss is not None and noisy is not None:
            points.append(
                NoiseKindPoint(kind=kind, rate=rate, accuracy=noisy[0], loss=interval_of(loss))
            )
    return tuple(points)


def _slope(tables: dict[float, ScoreTable], fixed: bool) -> Interval | None:
    """Return the slope; a clean table without repetitions is paired with every repetition."""
    varied = [set(table.draws) for rate, table in tables.items() if rate or not fixed]
    draws = sorted(set.intersection(*varied))
    if not draws:
        return None
    stack = np.stack(
        [
            np.repeat(table.right[:, :1], len(draws), axis=1)
            if fixed and not rate
            else table.of_draws(draws)
            for rate, table in tables.items()
        ]
    )
    complete = np.asarray(~np.isnan(stack).any(axis=(0, 2)), dtype=np.bool_)
    if not complete.any():
        return None
    rates = np.array(list(tables)) - np.mean(list(tables))
    pull = rates / (rates @ rates) / 10
    rows = tables[0.0].rows
    # One imaginary row that loses its answer to the first noise, and one that gains it.
    slope = two_way_interval(
        np.tensordot(pull, stack[:, complete], axes=1),
        rows.clusters_of(complete),
        rows.weights_of(complete),
        (float(pull[0]), float(-pull[0])),
    )
    return Interval.of(slope, estimand_of(len(draws)))


def _breakdown(candidate: CandidateScores, tables: dict[float, ScoreTable]) -> float | None:
    for rate, table in tables.items():
        if rate:
            lost = compare(full_pool(candidate), other_pool(candidate, table))
            if lost is not None and lost.low > BREAKDOWN:
                return rate
    return None


def _interval(table: ScoreTable) -> Interval:
    rows = table.rows.row_set(table.complete)
    return Interval.of(estimate(table), estimand_of(int(table.whole.sum())), row_set=rows)


def curve_of(candidate: CandidateScores) -> tuple[CurvePoint, ...]:
    """Return accuracy by number of labels, the compared size last; nothing is extrapolated."""
    if candidate.main is None:
        return ()
    tables = [*sorted(candidate.sizes.items()), (candidate.pool, candidate.main)]
    points = [(size, _interval(t)) for size, t in tables if _covers(t, candidate.main)]
    return tuple(
        CurvePoint(
            labels=size, value=point.value, low=point.low, high=point.high, row_set=point.row_set
        )
        for size, point in points
    )


def _covers(table: ScoreTable, main: ScoreTable) -> bool:
    return bool((table.complete == main.complete).all())


def stability_of(candidate: CandidateScores, views: Mapping[str, ScoreTable]) -> Stability:
    """Return how answers hold under views, each against the clean answers of the same fits."""
    if candidate.main is None:
        return Stability()
    points = tuple(_view(view, table, candidate.main) for view, table in views.items())
    agreement = float(np.mean([point.agreement for point in points])) if points else None
    return Stability(agreement=agreement, views=points)


def _view(view: str, table: ScoreTable, main: ScoreTable) -> ViewPoint:
    columns = [main.draws.index(draw) for draw in table.draws]
    clean, was = main.outputs[:, columns], main.right[:, columns]
    answered = (table.outputs != MISSING) & (clean != MISSING)
    seen = np.asarray(answered.any(axis=1), dtype=np.bool_)
    on = table.rows.weights_on(seen)
    place = np.nonzero(answered)[0]
    weights = None if on is None else on[place]
    same = (table.outputs == clean)[answered]
    change = mean_change(changed(main, table), table.rows)
    return ViewPoint(
        view=view,
        agreement=float(same.mean()),
        accuracy=float(np.average(table.right[answered], weights=weights)),
        consistent_and_correct=float(np.average(same * table.right[answered], weights=weights)),
        rows=int(seen.sum()),
        change=change,
        clean=float(np.average(was[answered], weights=weights)),
    )


COVERAGES = (0.8,)

# How accurate answers at the threshold are is read off this share of the rows on either side.
NEAR = 0.05


def selective(table: ScoreTable) -> tuple[CoveragePoint, ...]:
    """Return accuracy at fixed coverage; nothing for a candidate that gives no scores.

    Rows count the same here, since a share of them is answered.

    The threshold is set on the rows reported, which gains nothing: it is fixed by the share that
    is answered and not by what is right.
    """
    stated = _confidence(table)
    if stated is None:
        return ()
    stated, right = stated[table.complete][:, table.whole], table.block
    return tuple(_selective_point(table, stated, right, coverage) for coverage in COVERAGES)


def _selective_point(
    table: ScoreTable, stated: Floats, right: Floats, coverage: float
) -> CoveragePoint:
    columns = [accuracy_rows(s, r, coverage) for s, r in zip(stated.T, right.T, strict=True)]
    point = two_way_interval(
        np.stack(columns, axis=1),
        table.rows.clusters_of(table.complete),
        table.rows.plain_weights_of(table.complete),
        AGRESTI_COULL,
    )
    rows = table.rows.row_set(table.complete)
    accuracy = Interval.of(point, estimand_of(len(columns)), within=(0.0, 1.0), row_set=rows)
    return CoveragePoint(coverage=coverage, accuracy=accuracy)


def accuracy_rows(stated: Floats, right: Floats, coverage: float) -> Floats:
    """Return (n,) pseudo-values: their mean is the accuracy of the most confident rows.

    With c the coverage, a the accuracy above the threshold and t the accuracy at it, a row's
    influence is (right - t) / c if it is above, plus t - a. Rows with equal confidence at the
    threshold share the places that are left.

    Args:
        stated: (n,) confidence in the answer given.
        right: (n,) 1 where it was right, else 0.
        coverage: share of the rows that are answered.
    """
    n = len(stated)
    taken, order = ceil(coverage * n), np.argsort(-stated, kind="stable")
    threshold = stated[order[taken - 1]]
    above, level = stated > threshold, stated == threshold
    share = above + level * (taken - above.sum()) / level.sum()
    accuracy = float(share @ right / taken)
    reach = max(1, round(NEAR * n))
    at = float(right[order[max(0, taken - reach) : taken + reach]].mean())
    values: Floats = accuracy + share * (right - at) * n / taken + at - accuracy
    values += accuracy - values.mean()
    return values


def _confidence(table: ScoreTable) -> Floats | None:
    """Return (rows, repetitions) probabilities of the answers given, 0 where one is unusable."""
    stated = np.zeros(table.outputs.shape)
    for run in table.runs:
        scores, stated_by_it = run.answers[CLEAN].scores, run.answers[CLEAN].confidence
        place, codes = answer_codes(run, CLEAN, table.rows)
        if scores is not None:
            given = np.where(codes == UNUSABLE, 0, codes)
            confidence = np.exp(scores[np.arange(len(codes)), given])
        elif stated_by_it is not None:
            confidence = stated_by_it
        else:
            return None
        confidence = np.where((codes == UNUSABLE) | ~np.isfinite(confidence), 0.0, confidence)
        stated[place, table.draws.index(run.trial.draw)] = confidence
    return stated

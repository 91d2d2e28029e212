"""What happens to a candidate under label noise, other views of the questions, fewer labels.

Some rows are harder than others, and a budget may end when candidates have answered different ones.
So figures beside each other are of rows that all of them cover (`common_rows`). A part that covers
less than half as many as the largest would cost too many: it keeps its own, which the record names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

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
    view_tables,
)
from choose.judge.scores.score_tables import (
    MISSING,
    CandidateScores,
    ScoreTable,
    estimand_of,
)
from choose.judge.stats.intervals import Estimate, two_way_interval
from choose.judge.stats.two_way import Mask
from choose.schema.base import Interval
from choose.schema.scorecard import (
    CurvePoint,
    Noise,
    NoiseKindPoint,
    Stability,
    ViewPoint,
)


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
    return Noise(slope=_slope({0.0: clean, **tables}, not candidate.repeats), kinds=kinds)


def _kinds(candidate: CandidateScores) -> tuple[NoiseKindPoint, ...]:
    points = []
    for (kind, rate), table in sorted(candidate.noise.items() if candidate.main else ()):
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
    return Stability(views=points)


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
        rows=int(seen.sum()),
        change=change,
        clean=float(np.average(was[answered], weights=weights)),
    )


# A table with fewer rows than this part of the largest keeps its own.
LEAST = 0.5


def shared_rows(tables: Iterable[ScoreTable]) -> Mask | None:
    """Return the rows that all but the smallest tables cover; None where these share none."""
    given = list(tables)
    largest = max((int(table.complete.sum()) for table in given), default=0)
    kept = [table for table in given if table.complete.sum() >= LEAST * largest]
    shared, before = _covered_by_all(kept), None
    # On fewer rows other repetitions may be the complete ones, which may lack some of the rows.
    while before is None or (shared != before).any():
        before = shared
        shared = _covered_by_all([_restricted(table, shared) for table in kept])
    return shared if shared.any() else None


def _covered_by_all(tables: Sequence[ScoreTable]) -> Mask:
    covered = [table.complete for table in tables] or [np.zeros(0, dtype=np.bool_)]
    return np.asarray(np.logical_and.reduce(covered), dtype=np.bool_)


def _restricted(table: ScoreTable, rows: Mask) -> ScoreTable:
    return replace(table, outputs=np.where(rows[:, None], table.outputs, MISSING))


def on_rows(table: ScoreTable, rows: Mask | None) -> ScoreTable:
    """Return a table on these rows only; as it is where it does not cover them all."""
    if rows is None:
        return table
    restricted = _restricted(table, rows)
    return restricted if (restricted.complete == rows).all() else table


@dataclass(frozen=True)
class CommonRows:
    """Of all candidates: the rows with label noise, by view and after smaller pools."""

    noise: Mask | None
    sizes: Mask | None
    views: dict[str, Mask | None]

    def with_noise(self, candidate: CandidateScores) -> CandidateScores:
        """Return a candidate's clean and noised answers on the common rows."""
        noise = {key: on_rows(table, self.noise) for key, table in candidate.noise.items()}
        return replace(candidate, noise=noise, main=_clean(candidate, noise, self.noise))

    def with_sizes(self, candidate: CandidateScores) -> CandidateScores:
        """Return a candidate's answers after every pool on the common rows."""
        sizes = {size: on_rows(table, self.sizes) for size, table in candidate.sizes.items()}
        return replace(candidate, sizes=sizes, main=_clean(candidate, sizes, self.sizes))

    def views_of(self, candidate: CandidateScores) -> dict[str, ScoreTable]:
        """Return a candidate's answers to perturbed rows, by view, on the common rows."""
        tables = view_tables(candidate.main) if candidate.main is not None else {}
        return {view: on_rows(table, self.views.get(view)) for view, table in tables.items()}


def _clean(
    candidate: CandidateScores, others: Mapping[Any, ScoreTable], common: Mask | None
) -> ScoreTable | None:
    """Return the clean answers on the common rows, or on those of the others if none has these."""
    if candidate.main is None or common is None:
        return candidate.main
    if not any((table.complete == common).all() for table in others.values()):
        common = shared_rows(others.values())
    return on_rows(candidate.main, common)


def common_rows(candidates: Sequence[CandidateScores]) -> CommonRows:
    """Return the rows that candidates share under each condition that was measured."""
    scored = [c for c in candidates if c.main is not None]
    noise = [t for c in scored if c.noise for t in (c.main, *c.noise.values()) if t]
    sizes = [t for c in scored if c.sizes for t in (c.main, *c.sizes.values()) if t]
    seen = [view_tables(c.main) for c in scored if c.main is not None]
    names = sorted({view for tables in seen for view in tables})
    views = {n: shared_rows(tables[n] for tables in seen if n in tables) for n in names}
    return CommonRows(shared_rows(noise), shared_rows(sizes), views)

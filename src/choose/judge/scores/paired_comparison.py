"""Two candidates compared on the same rows, with a variance assumed for fits made only once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from choose.corpus import CONDITIONS, is_drill
from choose.judge.scores.score_tables import (
    RETRAINING,
    WHOLE,
    CandidateScores,
    ScoredRows,
    ScoreTable,
    StudyScores,
    estimand_of,
    score_table,
)
from choose.stats import Estimate
from choose.stats.intervals import growth_of_folds, two_way_interval
from choose.stats.paired import BONETT_PRICE, Difference, aligned, imaginary, paired_difference
from choose.stats.two_way import Mask, answered, whole_rows
from choose.types import CLEAN, Floats, Run, Scenario

# Standard deviation of accuracy between fits that is assumed of a candidate that was fitted once
# though its answers depend on a seed or a draw, and expected of one that was fitted twice.
ASSUMED_SD = 0.03


class Side(NamedTuple):
    """One side of a comparison: scores, and whether another seed or draw could change them."""

    table: ScoreTable
    varies: bool

    @property
    def fitted_once(self) -> bool:
        """Return whether the variance between fits was not measured and has to be assumed."""
        return self.varies and int(self.table.whole.sum()) < 2


def full_pool(candidate: CandidateScores) -> Side:
    """Return the clean answers after training on the compared pool, where there are some."""
    assert candidate.main is not None
    return Side(candidate.main, candidate.repeats)


def common_pool(a: CandidateScores, b: CandidateScores) -> int | None:
    """Return the largest pool that two candidates learned from; None where there is none.

    What learns nothing answers the same after any pool.
    """
    own = [set(side.by_pool) for side in (a, b) if side.info.learns and side.main is not None]
    if a.main is None or b.main is None:
        return None
    return max(set.intersection(*own), default=None) if own else WHOLE


def side_at(candidate: CandidateScores, pool: int) -> Side:
    """Return the clean answers after learning from a pool of so many rows (see `common_pool`)."""
    table = candidate.by_pool.get(pool)
    if table is None or not candidate.info.learns or table is candidate.main:
        return full_pool(candidate)
    return other_pool(candidate, table)


def other_pool(candidate: CandidateScores, table: ScoreTable) -> Side:
    """Return answers after training on a smaller or noised pool, which depends on the draw."""
    return Side(table, candidate.info.learns)


def compare(a: Side, b: Side, *, shared_draws: bool = False) -> Difference | None:
    """Return the accuracy of a minus that of b, or None where they share no row.

    With `shared_draws` only the repetitions of both sides count where there are several.
    """
    x, y = side_by_side(a.table, b.table, shared_draws)
    variance, alone = ASSUMED_SD**2, a.fitted_once + b.fitted_once
    return _difference(x, y, a.table.rows, variance * alone, variance)


def accuracy_loss(
    before: ScoreTable, after: ScoreTable, mask: Mask | None = None, assumed: float = 0.0
) -> Difference | None:
    """Return accuracy of `before` minus that of `after`, or None where they share no row.

    They are compared on the rows in the mask, or all. `assumed` is the variance to add for fits
    that were not varied.
    """
    x, y = side_by_side(before, after)
    if mask is not None:
        x, y = (np.where(mask[:, None], side, np.nan) for side in (x, y))
    return _difference(x, y, before.rows, assumed)


def changed(before: ScoreTable, after: ScoreTable) -> Floats:
    """Return the scores of `after` minus those of `before` in each repetition of `after`.

    A `before` with one repetition is subtracted from each one of `after`.
    """
    if len(before.draws) == 1:
        return after.right - before.right
    return after.right - _spread(before.right, before.draws, after.draws)


def mean_change(changes: Floats, rows: ScoredRows) -> Estimate:
    """Return the mean of (rows, repetitions) changes of a candidate's scores, over whole fits.

    They are from -1 to 1, NaN where either score was not measured.
    """
    complete = whole_rows(changes, answered(changes))
    block = _whole(changes[complete])
    pseudo = imaginary([block]) if rows.graded else BONETT_PRICE
    return mean_over(block, complete, rows, pseudo=pseudo)


def _whole(scores: Floats) -> Floats:
    return scores[:, ~np.isnan(scores).any(axis=0)]


def mean_over(block: Floats, mask: Mask, rows: ScoredRows, **options: Any) -> Estimate:
    """Return the mean of (rows in the mask, repetitions) scores without gaps.

    The mask says which of all `rows` they are; the options are those of `two_way_interval`.
    """
    clusters, weights = rows.clusters_of(mask), rows.weights_of(mask)
    found = two_way_interval(block, clusters, weights, **options)
    return replace(found, estimand=estimand_of(block.shape[1]), row_set=rows.row_set(mask))


def view_tables(table: ScoreTable, *, controls: bool = False) -> dict[str, ScoreTable]:
    """Return the answers to perturbed test rows by view, over the repetitions that gave any.

    With `controls`, those from passages that a control gave, by control.
    """
    by_view: dict[str, list[Run]] = {}
    for run in table.runs:
        for view in dict.fromkeys(view for view, _ in run.answers):
            # The rows of a drill have other targets.
            if view != CLEAN[0] and not is_drill(view) and (view in CONDITIONS) is controls:
                by_view.setdefault(view, []).append(run)
    tables = {v: score_table(runs, table.rows, view=v) for v, runs in sorted(by_view.items())}
    return {v: replace(found, learns=table.learns) for v, found in tables.items() if found}


def side_by_side(a: ScoreTable, b: ScoreTable, shared_draws: bool = False) -> tuple[Floats, Floats]:
    """Return the scores of two tables with one column per repetition of either, NaN where missing.

    A table with one repetition keeps it, so that it is compared with each one of the other.
    """
    if 1 in (len(a.draws), len(b.draws)):
        return a.right, b.right
    if shared_draws and len(shared := sorted({*a.draws} & {*b.draws})) > 1:
        return a.of_draws(shared), b.of_draws(shared)
    draws = sorted({*a.draws, *b.draws})
    return _spread(a.right, a.draws, draws), _spread(b.right, b.draws, draws)


def _spread(scores: Floats, own: Sequence[int], draws: Sequence[int]) -> Floats:
    """Return (rows, draws) scores, NaN for the repetitions that are not among their own."""
    wide = np.full((len(scores), len(draws)), np.nan)
    for column, draw in zip(scores.T, own, strict=True):
        if draw in draws:
            wide[:, draws.index(draw)] = column
    return wide


def _difference(
    x: Floats, y: Floats, rows: ScoredRows, assumed: float, expected: float = 0.0
) -> Difference | None:
    if not (answered(x) & answered(y)).any():
        return None
    common = aligned(x, y)[2]
    difference = paired_difference(
        x, y, rows.clusters, rows.weights_on(common), assumed, expected, graded=rows.graded
    )
    return replace(difference, row_set=rows.row_set(common))


@dataclass(frozen=True)
class Pairs:
    """Differences between the candidates of one scores, each computed once."""

    scores: StudyScores
    known: dict[tuple[str, str], Difference | None] = field(default_factory=dict)

    def difference(self, a: str, b: str) -> Difference | None:
        if (a, b) not in self.known:
            first, second, difference = self.scores[a], self.scores[b], None
            if (pool := common_pool(first, second)) is not None:
                sides = side_at(first, pool), side_at(second, pool)
                # On drawn pools both train on the same rows in a repetition, which correlates them.
                difference = compare(*sides, shared_draws=pool != WHOLE)
            self.known[a, b] = difference
            self.known[b, a] = difference.negated() if difference else None
        return self.known[a, b]


def estimate_of(difference: Difference, repeated: str = RETRAINING) -> Estimate:
    return difference.estimate(estimand_of(max(difference.repetitions), repeated))


def scenario_table(
    candidate: CandidateScores, wanted: Callable[[Scenario], bool]
) -> ScoreTable | None:
    if candidate.all_rows is None:
        return None
    runs = [run for run in candidate.scenario_runs if wanted(run.trial.scenario)]
    return score_table(runs, candidate.all_rows)


def shared_training(table: ScoreTable, mask: Mask) -> float:
    """Return by how much the variance from rows grows as the folds' fits share training rows."""
    if not table.learns:
        return 1.0
    fold = np.full(len(mask), -1)
    for run in table.runs:
        fold[[table.rows.index[id] for id in run.asked[CLEAN]]] = run.trial.fold
    learnt = max(run.trial.train_size for run in table.runs)
    return growth_of_folds(np.bincount(fold[mask & (fold >= 0)]).tolist(), len(mask), learnt)


def accuracy_on(table: ScoreTable, mask: Mask) -> Estimate | None:
    """Return the accuracy on some of the rows; None where none of them was answered."""
    base = answered(table.right) & mask
    if not base.any():
        return None
    complete = whole_rows(table.right, base) & base
    growth = shared_training(table, complete)
    block = _whole(table.right[complete])
    return mean_over(block, complete, table.rows, expected=ASSUMED_SD**2, growth=growth)

"""Fits compared on the same rows, the luck of those that were made once included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from choose.judge.panel.score_tables import (
    ARTEFACT,
    RETRAINING,
    Measured,
    Panel,
    Rows,
    Table,
    estimand_of,
    table_of,
)
from choose.judge.stats.intervals import two_way_interval
from choose.judge.stats.paired import Difference, aligned, paired_difference
from choose.judge.stats.two_way import Mask, answered, whole_rows
from choose.schema.base import Interval
from choose.schema.decision import Pair
from choose.types import Floats, Scenario

# Standard deviation of accuracy between fits that is assumed of a candidate that was fitted once
# though its answers depend on a seed or a draw, and expected of one that was fitted twice.
ASSUMED_SD = 0.03


class Fits(NamedTuple):
    """Answers of one candidate's fits, and whether another seed or draw could change them."""

    table: Table
    varies: bool

    @property
    def alone(self) -> bool:
        """Return whether one fit stands for all that could have been made."""
        return self.varies and int(self.table.whole.sum()) < 2


def compared(candidate: Measured) -> Fits:
    """Return the fits that are compared: clean, on the compared pool.

    Raises:
        ValueError: if there are none.
    """
    if candidate.main is None:
        raise ValueError(f"{candidate.info.name} answered nothing")
    return Fits(candidate.main, candidate.repeats)


def resampled(candidate: Measured, table: Table) -> Fits:
    """Return fits on a smaller or a noised pool: what is drawn decides what is learnt."""
    return Fits(table, candidate.info.learns)


def difference(a: Fits, b: Fits) -> Difference | None:
    """Return the accuracy of a minus that of b, or None where they share no row."""
    return paired(*common(a.table, b.table), a.table.rows, a.alone + b.alone)


def paired(x: Floats, y: Floats, rows: Rows, alone: int) -> Difference | None:
    """Compare (rows, repetitions) scores of which so many sides were fitted once, none to two.

    None where they share no row.
    """
    if not (answered(x) & answered(y)).any():
        return None
    luck = ASSUMED_SD**2
    return paired_difference(x, y, rows.clusters, weights_for(x, y, rows), luck * alone, luck)


def weights_for(x: Floats, y: Floats, rows: Rows) -> Floats | None:
    """Return (n,) weights of the rows on which two sides are compared, or None."""
    if rows.weights is None and not rows.even:
        return None
    return rows.weights_on(aligned(x, y)[2])


def about(repeated: str, *sides: Fits) -> str:
    """Return what an interval is about: `repeated`, unless nothing was repeated."""
    if not any(side.alone for side in sides):
        return repeated if any(side.varies for side in sides) else ARTEFACT
    return fitted_once(repeated)


def fitted_once(estimand: str) -> str:
    """Say of an interval that it rests on an assumption about the luck of a fit."""
    return f"{estimand} (fitted once: a spread of {100 * ASSUMED_SD:g} points is assumed)"


def common(first: Table, second: Table) -> tuple[Floats, Floats]:
    """Return the scores of two tables with their repetitions side by side, NaN where missing.

    A table with one repetition keeps it, so that it is compared with each one of the other.
    """
    if 1 in (len(first.draws), len(second.draws)):
        return first.right, second.right
    draws = sorted({*first.draws, *second.draws})
    return first.spread(draws), second.spread(draws)


@dataclass(frozen=True)
class Pairs:
    """Differences between candidates of one panel, each computed once."""

    panel: Panel
    known: dict[tuple[str, str], Difference | None] = field(default_factory=dict)

    def difference(self, a: str, b: str) -> Difference | None:
        """Return accuracy of a minus b, or None where they share no row."""
        if (a, b) not in self.known:
            found = self._difference(self.panel[a], self.panel[b], self.panel.rows)
            self.known[a, b] = found
            self.known[b, a] = found.turned() if found else None
        return self.known[a, b]

    def weighed(self, a: str, b: str, rows: Rows) -> Difference | None:
        """Return the same with other weights of the rows."""
        return self._difference(self.panel[a], self.panel[b], rows)

    def _difference(self, a: Measured, b: Measured, rows: Rows) -> Difference | None:
        if a.main is None or b.main is None:
            return None
        x, y = _side_by_side(a, b)
        return paired(x, y, rows, compared(a).alone + compared(b).alone)


def _side_by_side(a: Measured, b: Measured) -> tuple[Floats, Floats]:
    assert a.main is not None
    assert b.main is not None
    if 1 in (len(a.main.draws), len(b.main.draws)):
        return a.main.right, b.main.right
    common = sorted({*a.main.draws} & {*b.main.draws})
    # On drawn pools both sides learn from the same rows in a repetition, so that luck is shared.
    if a.drawn and len(common) > 1:
        return a.main.of_draws(common), b.main.of_draws(common)
    draws = sorted({*a.main.draws, *b.main.draws})
    return a.main.spread(draws), b.main.spread(draws)


def record_of(a: str, b: str, found: Difference, drawn: bool) -> Pair:
    """Return a difference as it stands in the decision record, undeclared."""
    repeated = "a new pool" if drawn else RETRAINING
    return Pair(
        a=a,
        b=b,
        p=found.p,
        p_holm=None,
        method=found.method,
        rows=found.rows,
        declared=False,
        difference=Interval.of(found, estimand_of(max(found.repetitions), repeated)),
    )


def scene(candidate: Measured, wanted: Callable[[Scenario], bool]) -> Table | None:
    """Return a candidate's answers in the scenarios wanted, over their parts and repetitions."""
    if candidate.everywhere is None:
        return None
    runs = [run for run in candidate.scenes if wanted(run.trial.scenario)]
    return table_of(runs, candidate.everywhere)


def mean_on(table: Table, mask: Mask) -> tuple[Interval, int] | None:
    """Return the accuracy on some of the rows, and how many of them were asked."""
    base = answered(table.right) & mask
    if not base.any():
        return None
    kept = whole_rows(table.right, base) & base
    scores = table.right[kept]
    scores = scores[:, ~np.isnan(scores).any(axis=0)]
    found = two_way_interval(scores, table.rows.clusters_of(kept), table.rows.weights_of(kept))
    return Interval.of(found, estimand_of(scores.shape[1])), int(kept.sum())


def lost(
    before: Table, after: Table, mask: Mask | None = None, assumed: float = 0.0
) -> Difference | None:
    """Return how much accuracy `before` has over `after` on the rows that both were asked.

    `assumed` is variance to add for fits that were not varied.
    """
    first, second = common(before, after)
    if mask is not None:
        first, second = _only(first, mask), _only(second, mask)
    if not (answered(first) & answered(second)).any():
        return None
    weights = weights_for(first, second, before.rows)
    return paired_difference(first, second, before.rows.clusters, weights, assumed)


def recorded(found: Difference) -> Interval:
    """Return a paired difference as it stands in the record."""
    return Interval.of(found, estimand_of(max(found.repetitions)))


def _only(scores: Floats, mask: Mask) -> Floats:
    return np.where(mask[:, None], scores, np.nan)

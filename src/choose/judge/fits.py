"""Fits compared on the same rows, the luck of those that were made once included."""

from __future__ import annotations

from typing import NamedTuple

from choose.judge.answers import Rows, Table
from choose.judge.crossed import answered
from choose.judge.paired import Difference, aligned, paired_difference
from choose.judge.panel import ARTEFACT, Measured
from choose.types import Floats

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

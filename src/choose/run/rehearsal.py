"""Find out in some seconds what all of a candidate's trials will take, by beginning a few."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from choose.data.noise import add_noise
from choose.run.beginning import (
    REMEMBERED,
    SMALL,
    Asked,
    Fit,
    Pace,
    Started,
    ask_some,
    fit_some,
    start,
)
from choose.run.fitting import ready
from choose.strategy import Strategy, find
from choose.study.grid import Job
from choose.types import Dataset, Example

# Share of labels changed to make another trial on the same texts.
CHANGED = 0.3

# Questions that a second fit of a dear candidate is asked.
ASKED = 5

# Rows that a second fit of a dear candidate gets: so few that it is soon able to answer.
FEW = 8


def rehearse(job: Job, dataset: Dataset, seconds: float) -> Pace:
    """Begin two trials on the same texts, at two sizes, so that all trials can be forecast.

    The second one has another seed and other labels: what it does not do again is shared.

    Raises:
        Exception: whatever the strategy raises; such a candidate has no pace.
    """
    started = start(job, dataset)
    way = _cheap if find(job.trial.strategy).cheap else _dear
    return way(job, dataset, started, seconds)


def _cheap(job: Job, dataset: Dataset, started: Started, seconds: float) -> Pace:
    """Fit a small and a larger pool, each twice and to the end: half a fit could not be asked."""
    pool, few = started.pool, min(SMALL, len(started.pool))
    small, second = _twice(job, started.strategy, dataset, pool[:few])
    rows = _affordable(small, few, len(pool), seconds)
    strategy, found = started.strategy, small
    if rows > few:
        strategy = ready(job)
        found, second = _twice(job, strategy, dataset, pool[:rows])
    asked = ask_some(strategy, started.items, seconds)
    again = ask_some(second, started.items[: asked.rows], seconds)
    return Pace(
        load=started.load,
        fits=((few, small.spent), (rows, found.spent)),
        text=_text(small, few, found, rows),
        ask=asked.each,
        met=_saved(asked, again),
        tokens=asked.tokens,
    )


def _dear(job: Job, dataset: Dataset, started: Started, seconds: float) -> Pace:
    """Begin a whole fit, and as much of a small one as shows how long it is."""
    pool, few = started.pool, min(SMALL, len(started.pool))
    whole = fit_some(started.strategy, dataset, pool, seconds)
    little = ready(job)
    small = fit_some(little, dataset, pool[:few], seconds / 2, reports=1)
    answering, asked = started.strategy, ask_some(started.strategy, started.items, seconds)
    if asked.each is None:
        answering, asked = little, ask_some(little, started.items, seconds)
    few_items = started.items[: min(ASKED, asked.rows)]
    same = _saved(asked, ask_some(answering, few_items, seconds))
    other = ready(job, again=1)
    fit_some(other, dataset, _relabelled(pool[:FEW], dataset), seconds / 2, reports=1)
    met = _saved(asked, ask_some(other, few_items, seconds))
    fits, text = ((few, _alike(small, whole)), (len(pool), whole.spent)), 0.0
    if whole.loop and small.loop != whole.loop:
        # It was stopped in a loop that the small one has behind it, as embedding is; what follows
        # is taken to cost what it costs the small one.
        fits, text = ((few, small.spent), (len(pool), small.spent)), whole.spent / len(pool)
    elif asked.each is not None and met > REMEMBERED * asked.each:
        # What is remembered of a question is remembered of a row that is calibrated on.
        fits, text = ((few, 0.0), (len(pool), 0.0)), whole.spent / len(pool)
    return Pace(
        load=started.load,
        fits=fits,
        text=text,
        ask=asked.each,
        met=met,
        same=same,
        tokens=asked.tokens,
    )


def _alike(small: Fit, whole: Fit) -> float:
    """Return seconds of the small fit: its loop's share of the whole one's, at the same pace."""
    if small.loop and small.loop == whole.loop:
        return whole.spent * small.total / whole.total
    return small.spent


def _text(small: Fit, few: int, found: Fit, rows: int) -> float:
    """Return what a text costs once: of those after the first ones, which warm up."""
    if rows > few:
        return max(0.0, found.cached - small.cached) / (rows - few)
    return found.cached / max(1, rows)


def _saved(asked: Asked, again: Asked) -> float:
    return max(0.0, (asked.each or 0.0) - (again.spent or 0.0)) if again.rows else 0.0


def _twice(
    job: Job, first: Strategy, dataset: Dataset, pool: Sequence[Example]
) -> tuple[Fit, Strategy]:
    """Fit, then fit another on the same texts; return that one, to which nothing is new."""
    fit_some(first, dataset, pool, inf)
    second = ready(job, again=1)
    return fit_some(second, dataset, _relabelled(pool, dataset), inf), second


def _relabelled(pool: Sequence[Example], dataset: Dataset) -> list[Example]:
    return add_noise(pool, dataset.task.labels, "symmetric", CHANGED, seed=1)


def _affordable(small: Fit, few: int, rows: int, seconds: float) -> int:
    """Return how many rows to fit next: all, unless the small fit says that it takes too long."""
    whole = small.alone * rows / few
    if whole <= 2 * seconds:
        return rows
    return min(rows, max(2 * few, round(rows * 2 * seconds / whole)))

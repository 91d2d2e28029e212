"""Answers as arrays: the rows of a study, and what one candidate answered at one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from choose.judge.crossed import Mask, answered, whole_rows
from choose.judge.measure import evened
from choose.judge.metrics import UNUSABLE, Codes
from choose.types import Floats, Run

MISSING = -2
CLEAN = ("clean", 0)


@dataclass(frozen=True)
class Rows:
    """The asked rows as arrays.

    `clusters` and `weights` are None where every row stands alone and counts the same, `credit`
    (labels, labels + 1) where an answer is right or counts nothing; its last column is for unusable
    ones. `even` says that every label has the same say, on any part of the rows too.
    """

    index: Mapping[str, int]
    targets: Codes
    labels: tuple[str, ...]
    clusters: tuple[str, ...] | None
    weights: Floats | None
    conflicting: Mask
    credit: Floats | None = None
    even: bool = False

    def scored(self, place: Codes, codes: Codes) -> Floats:
        """Return what answers to some rows count: 1 right, 0 wrong or unusable, or by `credit`."""
        targets = self.targets[place]
        if self.credit is None:
            return np.asarray(codes == targets, dtype=np.float64)
        found: Floats = self.credit[targets, np.where(codes == UNUSABLE, len(self.labels), codes)]
        return found

    def clusters_of(self, kept: Mask) -> list[str] | None:
        """Return the clusters of the rows kept."""
        if self.clusters is None:
            return None
        return [self.clusters[i] for i in np.flatnonzero(kept).tolist()]

    def weights_of(self, kept: Mask) -> Floats | None:
        """Return the weights of the rows kept."""
        if self.even:
            return evened(self.targets[kept], None if self.weights is None else self.weights[kept])
        return None if self.weights is None else self.weights[kept]

    def plain_weights_of(self, kept: Mask) -> Floats | None:
        """Return the weights for figures of rows as they come, whatever labels count."""
        return None if self.even or self.weights is None else self.weights[kept]

    def weights_on(self, kept: Mask) -> Floats | None:
        """Return (n,) the weights where only the rows kept count; 0 elsewhere."""
        own = self.weights_of(kept)
        if own is None:
            return None
        found = np.zeros(len(self.targets))
        found[kept] = own
        return found


@dataclass(frozen=True)
class Table:
    """The answers of one candidate at one place of the grid, over folds and repetitions.

    `outputs` holds (rows, repetitions) label codes, `UNUSABLE` or `MISSING`; `draws` names the
    repetitions; `runs` are the trials behind it.
    """

    outputs: Codes
    draws: tuple[int, ...]
    runs: tuple[Run, ...]
    rows: Rows

    @cached_property
    def right(self) -> Floats:
        """Return (rows, repetitions) scores: 1 right, 0 wrong or unusable, NaN not asked.

        Where errors have costs, a wrong answer counts what these leave of it.
        """
        asked = self.outputs != MISSING
        found = np.full(self.outputs.shape, np.nan)
        found[asked] = self.rows.scored(np.nonzero(asked)[0], self.outputs[asked])
        return found

    @cached_property
    def kept(self) -> Mask:
        """Return the rows on which whole repetitions stand."""
        return whole_rows(self.right, answered(self.right))

    @cached_property
    def whole(self) -> Mask:
        """Return the repetitions that answered every row kept."""
        return np.asarray(~np.isnan(self.right[self.kept]).any(axis=0), dtype=np.bool_)

    @property
    def block(self) -> Floats:
        """Return the scores on the rows kept in whole repetitions, without gaps."""
        return self.right[self.kept][:, self.whole]

    @property
    def answers(self) -> Codes:
        """Return the label codes on the rows kept in whole repetitions."""
        return self.outputs[self.kept][:, self.whole]

    def spread(self, draws: Sequence[int]) -> Floats:
        """Return (rows, draws) scores, NaN for the repetitions that this table lacks."""
        scores = np.full((len(self.right), len(draws)), np.nan)
        scores[:, [draws.index(draw) for draw in self.draws]] = self.right
        return scores

    def of_draws(self, draws: Iterable[int]) -> Floats:
        """Return the scores of these repetitions, in their order."""
        return self.right[:, [self.draws.index(draw) for draw in draws]]


def table_of(runs: Sequence[Run], rows: Rows) -> Table | None:
    """Lay out the clean answers of some runs, one column a repetition; None where there is none."""
    done = tuple(run for run in runs if run.error is None and CLEAN in run.answers)
    draws = tuple(sorted({run.trial.draw for run in done}))
    outputs = np.full((len(rows.targets), len(draws)), MISSING, dtype=np.int64)
    for run in done:
        place, codes = coded(run, CLEAN, rows)
        outputs[place, draws.index(run.trial.draw)] = codes
    return Table(outputs, draws, done, rows) if (outputs != MISSING).any() else None


def coded(run: Run, view: tuple[str, int], rows: Rows) -> tuple[Codes, Codes]:
    """Return the row numbers and label codes of one view of a run."""
    code: dict[str | None, int] = {label: i for i, label in enumerate(rows.labels)}
    place = np.array([rows.index[id] for id in run.asked[view]], dtype=np.int64)
    found = [code.get(output, UNUSABLE) for output in run.answers[view].outputs]
    return place, np.array(found, dtype=np.int64)

"""What a curve is fitted to: one candidate's scores at several sizes, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from choose.judge.answers import Rows, Table
from choose.judge.crossed import Mask
from choose.judge.panel import Measured
from choose.judge.words import plural
from choose.types import Floats

# Below these nothing is extrapolated: three parameters would be fitted to too little.
SIZES, DRAWS = 5, 3


@dataclass(frozen=True)
class Points:
    """Scores at ascending sizes; the last size is the one that is compared.

    Attributes:
        sizes: (k,) labels learnt from.
        scores: for each size (rows, repetitions) without gaps, on the same rows.
        draws: for each size the names of the repetitions.
        drawn: whether the rows of the last size change with the repetition, as those of the
            smaller ones do; else all its repetitions stand on one pool.
        weights: (rows,) weights, or None where all count the same.
        place: (rows,) places among all asked rows, or None where these are all of them.
    """

    sizes: Floats
    scores: tuple[Floats, ...]
    draws: tuple[tuple[int, ...], ...]
    drawn: bool = True
    weights: Floats | None = None
    place: npt.NDArray[np.int64] | None = None

    @property
    def labels(self) -> int:
        """Return the largest size."""
        return int(self.sizes[-1])

    @property
    def accuracies(self) -> Floats:
        """Return the (k,) mean accuracies."""
        return np.array([self.mean(scores).mean() for scores in self.scores])

    def mean(self, scores: Floats) -> Floats:
        """Return the (repetitions,) weighted means of (rows, repetitions) scores."""
        found: Floats = np.average(scores, axis=0, weights=self.weights)
        return found

    @property
    def repeated(self) -> tuple[int, ...]:
        """Return the places of the sizes whose repetitions learnt from different rows."""
        return tuple(range(len(self.sizes) - (not self.drawn)))

    @property
    def freedom(self) -> float:
        """Return the degrees of freedom of the draws' variance; nested pools share some luck."""
        repetitions = sum(len(self.draws[i]) - 1 for i in self.repeated)
        return 0.75 * repetitions


def points_of(candidate: Measured) -> Points | str:
    """Return a candidate's points, or in a sentence why no curve may be fitted to them."""
    if candidate.main is None:
        return "It was not measured with all labels."
    if not candidate.info.learns:
        return "It learns nothing from labels."
    smaller = {n: t for n, t in sorted(candidate.sizes.items()) if t.whole.sum() >= DRAWS}
    tables = [*smaller.items(), (candidate.pool, candidate.main)]
    if len(tables) < SIZES:
        few = sum(t.whole.sum() < DRAWS for t in candidate.sizes.values())
        unused = f", not counting {few} with fewer than {DRAWS} draws" if few else ""
        sizes = plural(len(tables), "size")
        return f"It was measured at {sizes}{unused}; a forecast needs {SIZES}."
    found = _on_common_rows(tables, candidate.drawn, candidate.main.rows)
    if found is None:
        return f"Fewer than {DRAWS} draws answered the same rows at every size."
    return found


def _on_common_rows(tables: list[tuple[int, Table]], drawn: bool, rows: Rows) -> Points | None:
    kept: Mask = np.asarray(np.stack([t.kept for _, t in tables]).all(axis=0), dtype=np.bool_)
    if not kept.any():
        return None
    whole = [np.asarray(~np.isnan(t.right[kept]).any(axis=0), dtype=np.bool_) for _, t in tables]
    few = [w.sum() < DRAWS for w in whole[: len(whole) - (not drawn)]]
    if any(few) or not whole[-1].any():
        return None
    return Points(
        sizes=np.array([size for size, _ in tables], dtype=np.float64),
        scores=tuple(t.right[kept][:, w] for (_, t), w in zip(tables, whole, strict=True)),
        draws=tuple(
            tuple(d for d, k in zip(t.draws, w, strict=True) if k)
            for (_, t), w in zip(tables, whole, strict=True)
        ),
        drawn=drawn,
        weights=rows.weights_of(kept),
        place=np.flatnonzero(kept),
    )

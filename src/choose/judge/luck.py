"""The resampling that all curves of a study share, so that they can be compared in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np

from choose.types import Floats

REPLICATES = 400


@dataclass(frozen=True)
class Luck:
    """Resamples of rows and of draws, the same for every candidate.

    Rows are resampled by the Bayesian bootstrap (Rubin 1981), clusters as one; draws by normal
    multipliers, since three draws drawn again with replacement show too little spread.

    Attributes:
        rows: asked rows.
        clusters: rows that hang together, or None.
    """

    rows: int
    clusters: Sequence[str] | None = None

    @cached_property
    def row_weights(self) -> Floats:
        """Return (replicates, rows) positive weights."""
        rng = np.random.default_rng(0)
        if self.clusters is None:
            return rng.exponential(size=(REPLICATES, self.rows))
        names, place = np.unique(np.asarray(self.clusters), return_inverse=True)
        return rng.exponential(size=(REPLICATES, len(names)))[:, place]

    @cached_property
    def pick(self) -> Floats:
        """Return (replicates,) uniform numbers that pick a family of curves."""
        places = (np.arange(REPLICATES) + 0.5) / REPLICATES
        return np.random.default_rng(1).permutation(places)

    def draw(self, name: int) -> Floats:
        """Return the (replicates,) standard normal multipliers of a repetition."""
        return np.random.default_rng((2, name)).standard_normal(REPLICATES)

    def scale(self, df: float) -> Floats:
        """Return the (replicates,) factors that turn normal errors into Student's."""
        found: Floats = np.sqrt(df / np.random.default_rng(3).chisquare(df, REPLICATES))
        return found

    def own(self, *names: str) -> Floats:
        """Return (replicates,) standard normal numbers of one candidate alone."""
        return np.random.default_rng((4, crc32(" ".join(names).encode()))).standard_normal(
            REPLICATES
        )

"""How long the texts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from choose.data.findings import LONG
from choose.types import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Words and characters of a text; words are what stands between spaces.

    Attributes:
        words: the median.
        words_95: all but five texts of a hundred have at most so many.
        longest: the most words of a text.
        characters: the median.
        long: texts of more than 256 words, which models cut.
        short: texts of one word or none.
    """

    words: float
    words_95: float
    longest: int
    characters: float
    long: int
    short: int


def lengths_of(rows: Sequence[Example]) -> Lengths:
    """Measure the texts."""
    words = np.array([len(e.text.split()) for e in rows])
    return Lengths(
        words=float(np.median(words)),
        words_95=float(np.quantile(words, 0.95)),
        longest=int(words.max()),
        characters=float(np.median([len(e.text) for e in rows])),
        long=int((words > LONG).sum()),
        short=int((words < 2).sum()),
    )

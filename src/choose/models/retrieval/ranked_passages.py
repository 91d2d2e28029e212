"""What all indexes of passages have in common, and the fusion of two of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from choose.corpus import Passage

if TYPE_CHECKING:
    from choose.models.embeddings import Encoder

# The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).
RANK_CONSTANT = 60

# Passages of each index that are fused, so that the first of them do not depend on k.
FUSED_RANKS = 100

# A place in the corpus and its score.
Ranked = tuple[int, float]


class Hit(NamedTuple):
    """A passage and its score, which is comparable within an index only."""

    passage: Passage
    score: float


class PassageIndex(ABC):
    """Passages in the order of the corpus, to be searched.

    Attributes:
        passages: what is searched.
        seconds: how long building the index takes without any cache.
    """

    passages: Sequence[Passage]
    seconds: float

    @abstractmethod
    def ranked(self, questions: Sequence[str], k: int) -> list[list[Ranked]]:
        """Return places and scores of at most k passages for each question, best first."""

    def search(self, questions: Sequence[str], k: int) -> list[list[Hit]]:
        """Return the k best passages for each question, best first; all if there are fewer.

        Equal scores are ordered by place in the corpus. The result of a question does not depend on
        the others.
        """
        return [
            [Hit(self.passages[place], score) for place, score in row]
            for row in self.ranked(questions, k)
        ]

    def cached_seconds(self, questions: Sequence[str]) -> float:
        """Return what the cached part of a search of these questions had taken."""
        return 0.0

    def asked_by(self, encoder: Encoder) -> PassageIndex:
        """Return the same passages for questions that another encoder embeds, if one does."""
        return self


def best_places(scores: npt.NDArray[Any], k: int, above: float) -> list[Ranked]:
    """Return places and values of the k highest (n,) scores above a limit, ties by place."""
    if k <= 0 or not len(scores):
        return []
    least = np.partition(scores, -k)[-k] if k < len(scores) else -np.inf
    places = np.flatnonzero((scores >= least) & (scores > above))
    order = places[np.argsort(-scores[places], kind="stable")][:k]
    return list(zip(order.tolist(), scores[order].tolist(), strict=True))


class HybridIndex(PassageIndex):
    """Two indexes of the same passages, joined by the reciprocals of their ranks."""

    def __init__(self, words: PassageIndex, meaning: PassageIndex) -> None:
        self.passages = words.passages
        self.parts = words, meaning
        self.seconds = words.seconds + meaning.seconds

    def ranked(self, questions: Sequence[str], k: int) -> list[list[Ranked]]:
        """Return the passages with the highest sums of 1 / (60 + rank)."""
        depth = max(k, FUSED_RANKS)
        found = [part.ranked(questions, depth) for part in self.parts]
        return [fused(rankings)[: max(k, 0)] for rankings in zip(*found, strict=True)]

    def cached_seconds(self, questions: Sequence[str]) -> float:
        """Return what the cached parts of both searches had taken."""
        return sum(part.cached_seconds(questions) for part in self.parts)

    def asked_by(self, encoder: Encoder) -> HybridIndex:
        """Return both indexes for questions that another encoder embeds."""
        return HybridIndex(*(part.asked_by(encoder) for part in self.parts))


def fused(rankings: Sequence[Sequence[Ranked]]) -> list[Ranked]:
    """Return the reciprocal rank fusion of rankings, best first, ties by place."""
    sums: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, (place, _) in enumerate(ranking, 1):
            sums[place] += 1 / (RANK_CONSTANT + rank)
    # Sums of the same ranks in another order differ in the last bit.
    rounded = ((place, round(total, 12)) for place, total in sums.items())
    return sorted(rounded, key=lambda pair: (-pair[1], pair[0]))

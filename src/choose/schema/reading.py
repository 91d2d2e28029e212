"""The part of the decision on models that read documents: where their answers lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from choose.schema.base import Interval, Record

# A gap is named as the largest if it is so in this share of resamples of the documents.
SURELY = 0.8

GapName = Literal["reading", "retrieval", "distraction"]


class Gap(Record):
    """What a reading candidate loses for one cause.

    `loss` is a mean of paired differences of scores; `largest` is the share of resamples of the
    documents in which it is the largest of the three.
    """

    name: GapName
    loss: Interval
    largest: float


class Retrieved(Record):
    """How high the passages that a candidate retrieved have the evidence.

    Attributes:
        rows: rows with evidence.
        k: passages that were read.
        first: share of rows whose first passage holds evidence.
        any: share of rows of which some passage that was read does.
        reciprocal_rank: mean of one over the rank of the first such passage, 0 without one.
        ndcg: mean of the normalised discounted cumulative gain.
    """

    rows: int
    k: int
    first: Interval
    any: Interval
    reciprocal_rank: float
    ndcg: float


class LossSplit(Record):
    """What a candidate that reads documents loses, by cause, on the same rows under controls.

    With C for a perfect score, C - retrieved = (C - gold) + (gold - among others) + (among others -
    retrieved): reading, distraction and retrieval.

    Attributes:
        candidate: whose answers they are.
        rows: rows that were answered under every control.
        documents: documents with the evidence of these rows; questions of one hang together.
        nothing: the score without a passage.
        retrieved: the score with what was retrieved.
        gold: the score with the passage that holds the evidence.
        among_others: the score with this passage first and others that were retrieved.
        knowledge: `gold` minus `nothing`: the most that retrieval can add for this model.
        gaps: the largest first.
        shortened: what answers without the words of the question gain with the gold passage; null
            where answers are left as written.
        found: how well passages were retrieved; null where it is not known.
    """

    candidate: str
    rows: int
    documents: int
    nothing: Interval
    retrieved: Interval
    gold: Interval
    among_others: Interval
    knowledge: Interval
    gaps: tuple[Gap, ...]
    shortened: Interval | None = None
    found: Retrieved | None = None

    def gap(self, name: GapName) -> Gap:
        """Return the gap of that name."""
        return next(gap for gap in self.gaps if gap.name == name)


def best_first(splits: Sequence[LossSplit], candidate: str) -> list[LossSplit]:
    """Return the splits, that of a candidate first, then by what is reached."""
    return sorted(splits, key=lambda s: (s.candidate != candidate, -s.retrieved.value))

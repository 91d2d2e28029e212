"""How well passages that are shown hold the evidence of their questions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from choose.corpus import DEPTH, Span, holds, reciprocal_rank, span_of
from choose.types import Floats

# How many of the first passages are looked at for hit and recall.
FIRST = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class RetrievalQuality:
    """The scores of each question that has evidence.

    Attributes:
        questions: the places, among all questions, of those with evidence.
        without_evidence: how many were left out because they have none.
        scores: (questions,) in [0, 1] by name, such as ``hit@5``, ``recall@5``, ``mrr@10`` and
            ``ndcg@10``.
    """

    questions: tuple[int, ...]
    without_evidence: int
    scores: Mapping[str, Floats]

    @property
    def means(self) -> dict[str, float | None]:
        """Return the mean of each score; None if no question has evidence."""
        return {
            name: float(values.mean()) if len(values) else None
            for name, values in self.scores.items()
        }


def retrieval_quality(
    shown: Sequence[Sequence[str]],
    evidence: Sequence[Sequence[Span]],
    first: Sequence[int] = FIRST,
) -> RetrievalQuality:
    """Score the passages shown for each question, best first, by the evidence of each.

    A passage holds a place of the evidence if they share a character, however the documents are
    cut.

    Args:
        shown: ids of passages, as `Span.id` writes them; of fewer than k, all count for ``@k``.
        evidence: the places that hold the answer; questions without any are left out.
        first: values of k for hit and recall.

    Raises:
        ValueError: if an id is not that of a passage.
    """
    pairs = list(zip(shown, evidence, strict=True))
    kept = tuple(place for place, (_, spans) in enumerate(pairs) if spans)
    rows = []
    for place in kept:
        ids, spans = pairs[place]
        rows.append(_found([span_of(id) for id in ids], list(dict.fromkeys(spans)), first))
    names = [f"{kind}@{k}" for kind in ("hit", "recall") for k in first]
    names += [f"mrr@{DEPTH}", f"ndcg@{DEPTH}"]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    columns = dict(zip(names, table.T, strict=True))
    return RetrievalQuality(kept, len(pairs) - len(kept), columns)


def ranked_low(
    missed: Sequence[str],
    evidence: Mapping[str, Sequence[Span]],
    further: Mapping[str, Sequence[str]],
) -> tuple[str, ...] | None:
    """Return the rows, of some whose evidence was not read, for which it was found further below.

    None where what was found below is not known of each.
    """
    if any(id not in further for id in missed):
        return None
    return tuple(id for id in missed if any(holds(one, evidence[id]) for one in further[id]))


def _found(shown: Sequence[Span], evidence: Sequence[Span], first: Sequence[int]) -> list[float]:
    """Return hit and recall of each k, the reciprocal rank and nDCG of a question."""
    found = [{n for n, span in enumerate(evidence) if span.overlaps(one)} for one in shown]
    hits = [float(any(found[:k])) for k in first]
    recalls = [len(set().union(*found[:k])) / len(evidence) for k in first]
    return [*hits, *recalls, reciprocal_rank(shown, evidence), _ndcg(found, len(evidence))]


def _ndcg(found: Sequence[set[int]], evidence: int) -> float:
    """Return nDCG with a gain of 1 for a passage that holds evidence no earlier one does.

    The best order shows such passages first, as many as there are. Places that one shown passage
    holds together need one passage; each place that none holds needs one more.
    """
    gains, known = [], set[int]()
    for held in found:
        gains.append(bool(held - known))
        known |= held
    needed = sum(gains) + evidence - len(known)
    discounts = [1 / math.log2(rank + 1) for rank in range(1, DEPTH + 1)]
    reached = sum(d for d, gain in zip(discounts, gains, strict=False) if gain)
    return reached / sum(discounts[:needed])

"""Whether answers depend on the wording: questions that share a place in a document and an answer.

Such rows ask for the same in other words. No candidate is asked again: the answers to the test rows
tell. Groups of one document are clustered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from choose.corpus import IMPLIED
from choose.judge.evidence import Evidence, HasDocuments, row_set
from choose.judge.scores.score_tables import ScoreTable, StudyScores, estimand_of
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.judge.stats.two_way import answered, whole_rows
from choose.schema.base import Interval
from choose.schema.reading import ParaphraseOutcome, Paraphrases
from choose.types import Floats

# Groups below which nothing is said, and the score from which on an answer is right.
FEWEST, RIGHT = 8, 0.5


def paraphrases(evidence: Evidence, panel: StudyScores) -> Paraphrases | None:
    """Return how often candidates are right on one wording only; None where the data has too few.

    All candidates are compared on the groups whose rows each of them answered.
    """
    groups = _groups(evidence)
    tables = {c.info.name: c.main for c in panel.scored if c.main and not c.info.constant}
    scores = {name: _scores(table) for name, table in tables.items()}
    # A candidate that ran out of time takes no more than half of the groups of the others.
    chosen: list[str] = []
    for name in sorted(scores, key=lambda name: -len(scores[name])):
        own = [group for group in groups if {*group} <= scores[name].keys()]
        if len(own) >= max(FEWEST, len(groups) / 2 if chosen else 0):
            chosen, groups = [*chosen, name], own
    if not chosen:
        return None
    outcomes = [_outcome(evidence, name, scores[name], groups) for name in chosen]
    outcomes.sort(key=lambda outcome: (-outcome.score.value, outcome.candidate))
    return Paraphrases(
        groups=len(groups),
        rows=sum(map(len, groups)),
        documents=len({evidence.items.document_of(group[0]) for group in groups}),
        outcomes=tuple(outcomes),
    )


def _groups(evidence: Evidence) -> list[tuple[str, ...]]:
    """Return the test rows with the same places, the same answer and different questions.

    Questions whose answer is implied or does not stand at their places, such as two that are
    answered by yes, may be about different things.
    """
    items, found = evidence.items, defaultdict[object, dict[str, str]](dict)
    for id, target in zip(items.ids, items.targets, strict=True):
        if id in evidence.inputs and _stated(evidence, id, target):
            question = " ".join(evidence.inputs[id].text.casefold().split())
            found[items.evidence[id], target.casefold().strip()].setdefault(question, id)
    return [tuple(sorted(by.values())) for by in found.values() if len(by) > 1]


def _stated(evidence: Evidence, id: str, target: str) -> bool:
    """Return whether the answer of a row stands at its places, as far as documents are known."""
    places = evidence.items.evidence.get(id, ())
    answer = " ".join(target.casefold().split())
    if not places or answer in IMPLIED:
        return False
    corpus = evidence.task.corpus if isinstance(evidence.task, HasDocuments) else None
    if corpus is None:
        return True
    known = [(corpus.by_id[s.document].text, s) for s in places if s.document in corpus.by_id]
    return any(answer in " ".join(text[s.start : s.end].casefold().split()) for text, s in known)


def _scores(table: ScoreTable) -> dict[str, Floats]:
    """Return (repetitions,) scores by row, of rows that every whole repetition answered."""
    if not answered(table.right).any():
        return {}
    complete = whole_rows(table.right, answered(table.right))
    block = table.right[complete]
    block = block[:, ~np.isnan(block).any(axis=0)]
    ids = [id for id, place in table.rows.index.items() if complete[place]]
    places = [table.rows.index[id] for id in ids]
    order = np.argsort(places)
    return {ids[i]: row for i, row in zip(order.tolist(), block, strict=True)}


def _outcome(
    evidence: Evidence, name: str, scores: dict[str, Floats], groups: Sequence[tuple[str, ...]]
) -> ParaphraseOutcome:
    documents = [evidence.items.document_of(group[0]) for group in groups]
    ids = [id for group in groups for id in group]

    def mean(values: Sequence[Floats]) -> Interval:
        block = np.stack(values)
        estimate = two_way_interval(block, documents, pseudo=AGRESTI_COULL)
        estimand = estimand_of(block.shape[1])
        return Interval.of(estimate, estimand, within=(0.0, 1.0), row_set=row_set(ids))

    def pairs(group: tuple[str, ...], right: int) -> Floats:
        """Return by repetition the share of pairs of which so many are right."""
        both = [
            (scores[a] >= RIGHT).astype(int) + (scores[b] >= RIGHT)
            for a, b in combinations(group, 2)
        ]
        shares: Floats = np.mean([counts == right for counts in both], axis=0, dtype=np.float64)
        return shares

    return ParaphraseOutcome(
        candidate=name,
        score=mean([np.mean([scores[id] for id in group], axis=0) for group in groups]),
        both=mean([pairs(group, 2) for group in groups]),
        one=mean([pairs(group, 1) for group in groups]),
    )

"""How well passages that are shown hold the evidence, and how robust candidates that read are.

Robust to errors in documents, and to other words of a question.

With errors in documents nothing is trained again, and right answers stay what they were. Questions
that share a place in a document and an answer ask for the same in other words, as do those of
which a column says so: no candidate is asked again, and the answers to the test rows tell. All
candidates are compared on the same rows. Questions of one document are clustered.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from choose.corpus import DEPTH, IMPLIED, Span, holds, reciprocal_rank, span_of
from choose.judge.evidence import BriefAnswers, Evidence, FaultRows, HasDocuments, row_set
from choose.judge.measures.changed_documents import (
    FEWEST,
    GIVEN,
    Outputs,
    on_common_rows,
    outputs_of,
    whole_part,
)
from choose.judge.scores.score_tables import (
    CLEAN,
    CandidateScores,
    ScoreTable,
    StudyScores,
    estimand_of,
)
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.judge.stats.paired import imaginary
from choose.judge.stats.two_way import answered, whole_rows
from choose.schema.base import Interval
from choose.schema.reading_documents import (
    DocumentFault,
    FaultOutcome,
    ParaphraseOutcome,
    Paraphrases,
)
from choose.types import Floats


@dataclass(frozen=True)
class _Asked:
    """Answers of a candidate from documents without and with errors, by repetition and row."""

    scores: CandidateScores
    clean: Outputs
    faulty: Outputs

    @property
    def rows(self) -> frozenset[str]:
        """Return the rows that each repetition answered both times."""
        both = [self.clean[draw].keys() & own.keys() for draw, own in self.faulty.items()]
        return frozenset.intersection(*map(frozenset, both))


def document_faults(evidence: Evidence, panel: StudyScores) -> tuple[DocumentFault, ...]:
    """Return what each kind and rate of errors costs; none where no candidate read them."""
    found = (_fault(evidence, panel, rows) for rows in evidence.faults)
    return tuple(fault for fault in found if fault is not None)


def _fault(evidence: Evidence, panel: StudyScores, rows: FaultRows) -> DocumentFault | None:
    task = evidence.task
    if not isinstance(task, BriefAnswers):
        return None
    every = [found for c in panel.scored if (found := _asked(c, rows)) is not None]
    chosen, ids = on_common_rows(every)
    if not chosen or len(ids) < FEWEST:
        return None
    outcomes = [_outcome(evidence, task, rows, one, sorted(ids)) for one in chosen]
    outcomes.sort(key=lambda outcome: (-outcome.clean.value, outcome.candidate))
    return DocumentFault(
        kind=rows.fault,
        rate=rows.rate,
        documents=rows.documents,
        known=rows.known,
        rows=len(ids),
        outcomes=tuple(outcomes),
    )


def _asked(candidate: CandidateScores, rows: FaultRows) -> _Asked | None:
    """Return a candidate's answers in its fullest repetitions; None without any."""
    if candidate.main is None or not candidate.info.reads:
        return None
    clean = outputs_of(candidate.main.runs, CLEAN, rows.ids)
    faulty = outputs_of(candidate.main.runs, (rows.view, 0), rows.ids)
    part = whole_part(faulty, rows.ids)
    both = {draw: faulty[draw] for draw in part.draws if {*part.ids} <= clean[draw].keys()}
    return _Asked(candidate, clean, both) if both and part.ids else None


def _outcome(
    evidence: Evidence, task: BriefAnswers, rows: FaultRows, asked: _Asked, ids: Sequence[str]
) -> FaultOutcome:
    items, name = evidence.items, task.headline
    targets = dict(zip(items.ids, items.targets, strict=True))
    right = {id: (targets[id], *items.accepted.get(id, ())) for id in ids}

    def scores(outputs: Outputs) -> Floats:
        return np.array(
            [[task.own_scores(outputs[d][id], right[id])[name] for d in asked.faulty] for id in ids]
        )

    def mean(values: Floats, on: Sequence[str], pseudo: Sequence[float], low: float) -> Interval:
        estimate = two_way_interval(values, [items.document_of(id) for id in on], pseudo=pseudo)
        estimand = estimand_of(values.shape[1])
        return Interval.of(estimate, estimand, within=(low, 1.0), row_set=row_set(on))

    before, after = scores(asked.clean), scores(asked.faulty)
    own = [id for id in ids if id in rows.older]
    given = np.array(
        [[_older(task, rows.older, right, id, by) for by in asked.faulty.values()] for id in own]
    )
    return FaultOutcome(
        candidate=asked.scores.info.name,
        clean=mean(before, ids, AGRESTI_COULL, 0.0),
        faulty=mean(after, ids, AGRESTI_COULL, 0.0),
        change=mean(after - before, ids, imaginary(after - before), -1.0),
        older=mean(given, own, AGRESTI_COULL, 0.0) if len(own) >= FEWEST else None,
        older_rows=len(own),
    )


def _older(
    task: BriefAnswers,
    older: Mapping[str, str],
    right: Mapping[str, Sequence[str]],
    id: str,
    by_row: Mapping[str, str | None],
) -> float:
    """Return 1 if an answer gives the fact of an older version and not the right one, or 0."""
    near = task.nearness(by_row[id], [older[id]])
    return float(GIVEN <= near > task.nearness(by_row[id], right[id]))


# Groups below which nothing is said, and the score from which on an answer is right.
RIGHT = 0.5


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
    outcomes = [_paraphrase_outcome(evidence, name, scores[name], groups) for name in chosen]
    outcomes.sort(key=lambda outcome: (-outcome.score.value, outcome.candidate))
    return Paraphrases(
        groups=len(groups),
        rows=sum(map(len, groups)),
        documents=len({evidence.items.document_of(group[0]) for group in groups}),
        stated=bool(evidence.items.asks),
        outcomes=tuple(outcomes),
    )


def _groups(evidence: Evidence) -> list[tuple[str, ...]]:
    """Return the test rows that ask the same in other words, as a column says.

    Where none does, it is those with the same places, the same answer and different questions.
    Questions whose answer is implied or does not occur at their places, such as two that are
    answered by yes, may be about different things.
    """
    items, found = evidence.items, defaultdict[object, dict[str, str]](dict)
    for id, target in zip(items.ids, items.targets, strict=True):
        same: object = items.asks.get(id)
        if same is None and not items.asks and _stated(evidence, id, target):
            same = items.evidence[id], target.casefold().strip()
        if same is not None and id in evidence.inputs:
            question = " ".join(evidence.inputs[id].text.casefold().split())
            found[same].setdefault(question, id)
    return [tuple(sorted(by.values())) for by in found.values() if len(by) > 1]


def _stated(evidence: Evidence, id: str, target: str) -> bool:
    """Return whether the answer of a row occurs at its places, as far as documents are known."""
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


def _paraphrase_outcome(
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

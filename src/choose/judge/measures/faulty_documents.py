"""What errors in documents cost candidates that read: paired with their answers without errors.

Nothing is trained again, and right answers stay what they were. All candidates are compared on the
same rows. Questions of one document are clustered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from choose.judge.evidence import BriefAnswers, Evidence, FaultRows, row_set
from choose.judge.measures.changed_documents import (
    FEWEST,
    GIVEN,
    Outputs,
    on_common_rows,
    outputs_of,
    whole_part,
)
from choose.judge.scores.score_tables import CLEAN, CandidateScores, StudyScores, estimand_of
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.judge.stats.paired import imaginary
from choose.schema.base import Interval
from choose.schema.reading import DocumentFault, FaultOutcome
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

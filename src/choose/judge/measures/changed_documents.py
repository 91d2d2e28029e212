"""What candidates answer after documents changed, without training again.

Candidates that read were asked with the changed documents; others answer as before. All are
compared on the same rows. Questions of one document are clustered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from choose.corpus import UPDATED
from choose.judge.evidence import BriefAnswers, DrillRows, Evidence, row_set
from choose.judge.scores.score_tables import (
    CLEAN,
    CandidateScores,
    ScoreTable,
    StudyScores,
    estimand_of,
)
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.schema.base import Interval
from choose.schema.reading import DocumentDrill, DrillOutcome
from choose.types import Run

# Rows below which nothing is said.
FEWEST = 8

# A candidate gives an answer if it gives so much of it, and less of another one.
GIVEN = 0.5

_Outputs = Mapping[int, Mapping[str, str | None]]


@dataclass(frozen=True)
class _Asked:
    """The answers of a candidate to rows whose documents changed, by repetition and row."""

    scores: CandidateScores
    before: _Outputs
    after: _Outputs

    @property
    def rows(self) -> frozenset[str]:
        """Return the rows that each repetition answered before and after the change."""
        each = [self.before[draw].keys() & self.after[draw].keys() for draw in self.after]
        return frozenset.intersection(*map(frozenset, each))


def document_drills(evidence: Evidence, panel: StudyScores) -> tuple[DocumentDrill, ...]:
    """Return what candidates answered in each drill; none where no candidate read the documents."""
    found = (_drill(evidence, panel, rows) for rows in evidence.drills)
    return tuple(drill for drill in found if drill is not None)


def _drill(evidence: Evidence, panel: StudyScores, rows: DrillRows) -> DocumentDrill | None:
    task = evidence.task
    if not isinstance(task, BriefAnswers):
        return None
    every = [found for c in panel.scored if (found := _asked(c, rows)) is not None]
    chosen, ids = _on_common_rows(every)
    if not any(one.scores.info.reads for one in chosen) or len(ids) < FEWEST:
        return None
    outcomes = [_outcome(evidence, task, rows, one, sorted(ids)) for one in chosen]
    outcomes.sort(key=lambda o: (not o.reads, -(o.updated or o.clean).value, o.candidate))
    return DocumentDrill(
        kind=rows.kind,
        facts=rows.facts,
        rows=len(ids),
        documents=len({evidence.items.document_of(id) for id in ids}),
        unanswerable=task.unanswerable,
        outcomes=tuple(outcomes),
    )


def _asked(candidate: CandidateScores, rows: DrillRows) -> _Asked | None:
    """Return a candidate's answers in its fullest repetitions; None without any."""
    if (table := candidate.main) is None:
        return None
    before = _outputs(table.runs, CLEAN, rows.ids)
    reads = candidate.info.reads
    after = _outputs(table.runs, (rows.view, 0), rows.ids) if reads else before
    sizes = {draw: len(found.keys() & before[draw].keys()) for draw, found in after.items()}
    most = max(sizes.values(), default=0)
    full = {draw: after[draw] for draw in sorted(sizes) if sizes[draw] == most}
    return _Asked(candidate, before, full) if most else None


def _outputs(runs: Sequence[Run], view: tuple[str, int], ids: Collection[str]) -> _Outputs:
    found: dict[int, dict[str, str | None]] = {}
    for run in runs:
        if view in run.answers:
            pairs = zip(run.asked[view], run.answers[view].outputs, strict=True)
            own = found.setdefault(run.trial.draw, {})
            own.update((id, output) for id, output in pairs if id in ids)
    return found


def _on_common_rows(every: Sequence[_Asked]) -> tuple[list[_Asked], frozenset[str]]:
    """Return candidates with the rows that all of them answered; those with few rows are left out.

    A candidate that ran out of time does not take more than half of the rows of the others.
    """
    chosen: list[_Asked] = []
    common: frozenset[str] = frozenset()
    for one in sorted(every, key=lambda one: -len(one.rows)):
        both = common & one.rows if chosen else one.rows
        if len(both) >= max(FEWEST, len(common) / 2):
            chosen, common = [*chosen, one], both
    return chosen, common


def _outcome(
    evidence: Evidence, task: BriefAnswers, rows: DrillRows, asked: _Asked, ids: Sequence[str]
) -> DrillOutcome:
    items, table = evidence.items, cast("ScoreTable", asked.scores.main)
    places = {id: place for place, id in enumerate(items.ids)}
    right = {id: (items.targets[places[id]], *items.accepted.get(id, ())) for id in ids}
    documents = [items.document_of(id) for id in ids]

    def mean(outputs: _Outputs, score: Callable[[str, str | None], float]) -> Interval:
        values = [[score(id, outputs[draw][id]) for draw in asked.after] for id in ids]
        estimate = two_way_interval(values, documents, pseudo=AGRESTI_COULL)
        estimand = estimand_of(len(asked.after))
        return Interval.of(estimate, estimand, within=(0.0, 1.0), row_set=row_set(ids))

    def old(id: str, output: str | None) -> float:
        return task.nearness(output, right[id])

    def new(id: str, output: str | None) -> float:
        return task.nearness(output, [rows.targets[id]]) if rows.targets else 0.0

    def gives(one: Callable[..., float], other: Callable[..., float]) -> Interval:
        return mean(asked.after, lambda id, out: float(GIVEN <= one(id, out) > other(id, out)))

    def scored(targets: Mapping[str, Sequence[str]], outputs: _Outputs) -> Interval:
        return mean(outputs, lambda id, out: task.own_scores(out, targets[id])[task.headline])

    changed = {id: (target,) for id, target in rows.targets.items()}
    return DrillOutcome(
        candidate=asked.scores.info.name,
        family=asked.scores.info.family,
        reads=asked.scores.info.reads,
        clean=scored(right, asked.before),
        updated=scored(changed, asked.after) if rows.kind == UPDATED else None,
        new=gives(new, old) if rows.kind == UPDATED else None,
        stale=gives(old, new),
        abstained=mean(asked.after, lambda _, out: float(out is None or task.abstains(out))),
        seconds=_seconds(asked.scores, table),
    )


def _seconds(candidate: CandidateScores, table: ScoreTable) -> float | None:
    """Return how long indexing or training takes, with nothing cached."""
    if candidate.info.reads:
        known = [run.reread_seconds for run in table.runs if run.reread_seconds is not None]
        return float(np.median(known)) if known else None
    fits = [run.fit_seconds for run in table.runs if run.fit_seconds is not None]
    return float(np.mean(fits)) if fits and table.learns else None

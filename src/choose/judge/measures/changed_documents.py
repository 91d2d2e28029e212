"""What candidates answer after facts in the documents were exchanged, without training again.

Candidates that read were asked with the changed documents; others answer as before. All are
compared on the same rows. Questions of one document are clustered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from choose.judge.evidence import BriefAnswers, DrillRows, Evidence, Items, row_set
from choose.judge.scores.score_tables import CLEAN, CandidateScores, StudyScores, estimand_of
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.judge.stats.paired import imaginary
from choose.schema.base import Interval
from choose.schema.diagnosis import DocumentDrill, DrillOutcome
from choose.types import Floats, Run

# Rows below which nothing is said.
FEWEST = 8

# A candidate gives an answer if it gives so much of it, and less of another one.
GIVEN = 0.5

# Answers by repetition and row.
Outputs = Mapping[int, Mapping[str, str | None]]

# What an answer to a row scores.
Score = Callable[[str, str | None], float]


@dataclass(frozen=True)
class Asked:
    """The answers of a candidate to rows whose facts changed, before and after the change."""

    scores: CandidateScores
    before: Outputs
    after: Outputs

    @property
    def rows(self) -> frozenset[str]:
        """Return the rows that each repetition answered before and after the change."""
        each = [self.before[draw].keys() & self.after[draw].keys() for draw in self.after]
        return frozenset.intersection(*map(frozenset, each))


def document_drill(evidence: Evidence, panel: StudyScores) -> DocumentDrill | None:
    """Return what candidates answered after facts changed; None where no candidate read them."""
    task, rows = evidence.task, evidence.drill
    if rows is None or not isinstance(task, BriefAnswers):
        return None
    every = [found for c in panel.scored if (found := _asked(c, rows)) is not None]
    chosen, ids = on_common_rows(every)
    if not any(one.scores.info.reads for one in chosen) or len(ids) < FEWEST:
        return None
    judge = _Judge(evidence.items, task, rows, tuple(sorted(ids)))
    outcomes = [judge.outcome(one) for one in chosen]
    outcomes.sort(key=lambda o: (not o.reads, -o.updated.value, o.candidate))
    return DocumentDrill(
        facts=rows.facts,
        rows=len(judge.ids),
        documents=len(set(judge.documents)),
        outcomes=tuple(outcomes),
    )


def _asked(candidate: CandidateScores, rows: DrillRows) -> Asked | None:
    """Return a candidate's answers in its fullest repetitions; None without any."""
    if (table := candidate.main) is None:
        return None
    before = _outputs(table.runs, CLEAN, rows)
    after = _outputs(table.runs, (rows.view, 0), rows) if candidate.info.reads else before
    sizes = {draw: len(found.keys() & before[draw].keys()) for draw, found in after.items()}
    most = max(sizes.values(), default=0)
    full = {draw: after[draw] for draw in sorted(sizes) if sizes[draw] == most}
    return Asked(candidate, before, full) if most else None


def _outputs(runs: Sequence[Run], view: tuple[str, int], rows: DrillRows) -> Outputs:
    """Return the answers to the rows of a drill in a view of them."""
    found: dict[int, dict[str, str | None]] = {}
    for run in runs:
        if view in run.answers:
            pairs = zip(run.asked[view], run.answers[view].outputs, strict=True)
            own = found.setdefault(run.trial.draw, {})
            own.update((id, output) for id, output in pairs if id in rows.targets)
    return found


def on_common_rows(every: Sequence[Asked]) -> tuple[list[Asked], frozenset[str]]:
    """Return candidates with the rows that all of them answered; those with few rows are left out.

    Candidates that ran out of time do not take more than half of the rows of the others, together.
    """
    chosen: list[Asked] = []
    common: frozenset[str] = frozenset()
    fullest = max((len(one.rows) for one in every), default=0)
    for one in sorted(every, key=lambda one: -len(one.rows)):
        both = common & one.rows if chosen else one.rows
        if len(both) >= max(FEWEST, fullest / 2):
            chosen, common = [*chosen, one], both
    return chosen, common


@dataclass(frozen=True)
class _Judge:
    """How answers to some rows of a drill are scored."""

    items: Items
    task: BriefAnswers
    rows: DrillRows
    ids: Sequence[str]

    @cached_property
    def documents(self) -> list[str]:
        """Return the document of each row."""
        return [self.items.document_of(id) for id in self.ids]

    @cached_property
    def right(self) -> Mapping[str, tuple[str, ...]]:
        """Return the right answers before the change."""
        targets = dict(zip(self.items.ids, self.items.targets, strict=True))
        return {id: (targets[id], *self.items.accepted.get(id, ())) for id in self.ids}

    def outcome(self, asked: Asked) -> DrillOutcome:
        """Score the answers of a candidate before and after the change."""
        changed = {id: (self.rows.targets[id],) for id in self.ids}
        clean = self._values(asked, asked.before, self._scored(self.right))
        updated = self._values(asked, asked.after, self._scored(changed))
        stale = self._values(asked, asked.after, self._gives_old)
        lost = clean - updated
        return DrillOutcome(
            candidate=asked.scores.info.name,
            family=asked.scores.info.family,
            reads=asked.scores.info.reads,
            clean=self._mean(clean),
            updated=self._mean(updated),
            lost=self._mean(lost, pseudo=imaginary(lost), least=-1.0),
            stale=self._mean(stale),
        )

    def _values(self, asked: Asked, outputs: Outputs, score: Score) -> Floats:
        """Return (rows, repetitions) scores of answers."""
        return np.array([[score(id, outputs[draw][id]) for draw in asked.after] for id in self.ids])

    def _scored(self, targets: Mapping[str, Sequence[str]]) -> Score:
        @cache  # repetitions and candidates often answer alike
        def score(id: str, out: str | None) -> float:
            scores = {} if out is None else self.task.own_scores(out, targets[id])
            return scores.get(self.task.headline, 0.0)

        return score

    def _gives_old(self, id: str, out: str | None) -> float:
        """Return 1 for an answer that gives the old fact and not the new one."""
        old = self.task.nearness(out, self.right[id])
        return float(GIVEN <= old > self.task.nearness(out, [self.rows.targets[id]]))

    def _mean(
        self, values: Floats, *, pseudo: Sequence[float] = AGRESTI_COULL, least: float = 0.0
    ) -> Interval:
        """Return the mean of (rows, repetitions) values from `least` to 1."""
        estimate = two_way_interval(values, self.documents, pseudo=pseudo)
        estimand = estimand_of(values.shape[1])
        return Interval.of(estimate, estimand, within=(least, 1.0), row_set=row_set(self.ids))

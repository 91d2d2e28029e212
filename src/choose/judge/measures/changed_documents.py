"""What candidates answer after documents changed or arrived, without and after training again.

Candidates that read were asked with the changed documents; others answer as before. All are
compared on the same rows. Questions of one document are clustered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Protocol, TypeVar

import numpy as np

from choose.corpus import ARRIVED, MISSING, UPDATED
from choose.judge.evidence import BriefAnswers, DrillRows, Evidence, Items, row_set
from choose.judge.scores.paired_comparison import Changed
from choose.judge.scores.score_tables import (
    CLEAN,
    CandidateScores,
    StudyScores,
    estimand_of,
)
from choose.judge.scores.scored_rows import ScoredRows
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.judge.stats.paired import imaginary
from choose.schema.base import Interval
from choose.schema.reading_documents import DocumentDrill, DrillOutcome
from choose.types import Floats, Run

# Rows below which nothing is said.
FEWEST = 8

# A candidate gives an answer if it gives so much of it, and less of another one.
GIVEN = 0.5

Outputs = Mapping[int, Mapping[str, str | None]]

# What an answer to a row scores.
Score = Callable[[str, str | None], float]


@dataclass(frozen=True)
class _Asked:
    """The answers of a candidate to rows whose documents changed, by repetition and row.

    `again` are those after it was trained with what changed, `fits` the runs that did.
    """

    scores: CandidateScores
    before: Outputs
    after: Outputs
    again: Outputs
    fits: Sequence[Run]
    reread: Sequence[Run]

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
    if (judge := _judge(evidence, panel, rows)) is None:
        return None
    outcomes = [_outcome(judge, one) for one in judge.chosen]
    outcomes.sort(key=lambda o: (not o.reads, -(o.updated or o.clean).value, o.candidate))
    return DocumentDrill(
        kind=rows.kind,
        facts=rows.facts,
        rows=len(judge.ids),
        documents=len(set(judge.documents)),
        unanswerable=judge.task.unanswerable,
        outcomes=tuple(outcomes),
    )


def _judge(evidence: Evidence, panel: StudyScores, rows: DrillRows) -> _Judge | None:
    """Return how a drill is scored; None where no candidate read, or too few rows are common."""
    if not isinstance(evidence.task, BriefAnswers):
        return None
    every = [found for c in panel.scored if (found := _asked(c, rows)) is not None]
    chosen, ids = on_common_rows(every)
    if not any(one.scores.info.reads for one in chosen) or len(ids) < FEWEST:
        return None
    return _Judge(evidence.items, evidence.task, rows, chosen, sorted(ids))


@dataclass(frozen=True)
class ChangedFacts:
    """What candidates answer to test rows whose facts were exchanged after training.

    Attributes:
        rows: the rows of the study, those on one document together.
        count: how many of them these are; `documents` have their evidence.
        stale: by candidate, 1 where it gives the old fact; not a number elsewhere.
        lost: its score before the change minus that after it, the same.
    """

    rows: ScoredRows
    count: int
    documents: int
    stale: dict[str, Changed] = field(default_factory=dict)
    lost: dict[str, Changed] = field(default_factory=dict)


def changed_facts(evidence: Evidence, panel: StudyScores) -> ChangedFacts | None:
    """Return the answers to changed facts, all of the same rows; None where none were drilled."""
    rows = next((rows for rows in evidence.drills if rows.kind == UPDATED), None)
    if rows is None or (judge := _judge(evidence, panel, rows)) is None:
        return None
    every, place = panel.rows, [panel.rows.index[id] for id in judge.ids]
    names = tuple(map(evidence.items.document_of, every.index))
    of = replace(every, clusters=names if 1 < len(set(names)) < len(names) else None)
    found = ChangedFacts(of, len(place), len(set(judge.documents)))
    for one in judge.chosen:
        draws = tuple(one.after)
        for kept, values in ((found.stale, judge.stale(one)), (found.lost, judge.lost(one))):
            scores = np.full((len(every.targets), len(draws)), np.nan)
            scores[place] = values
            kept[one.scores.info.name] = Changed(scores, draws, one.scores.repeats)
    return found


def _asked(candidate: CandidateScores, rows: DrillRows) -> _Asked | None:
    """Return a candidate's answers in its fullest repetitions; None without any."""
    if (table := candidate.main) is None:
        return None
    arrived, reads = rows.kind == ARRIVED, candidate.info.reads
    # Before documents arrived, another fit did not have them; the main one was trained with them.
    runs = _trained(candidate, ARRIVED) if arrived else table.runs
    fits = table.runs if arrived else _trained(candidate, rows.kind)
    before = outputs_of(runs, CLEAN, rows.ids)
    after = outputs_of(runs, (rows.view, 0), rows.ids) if reads else before
    sizes = {draw: len(found.keys() & before[draw].keys()) for draw, found in after.items()}
    most = max(sizes.values(), default=0)
    full = {draw: after[draw] for draw in sorted(sizes) if sizes[draw] == most}
    again = outputs_of(fits, CLEAN, rows.ids)
    return _Asked(candidate, before, full, again, fits, runs) if most else None


def _trained(candidate: CandidateScores, kind: str) -> tuple[Run, ...]:
    """Return the finished runs of a scenario."""
    return tuple(
        run
        for run in candidate.scenario_runs
        if run.trial.scenario.kind == kind and run.error is None and CLEAN in run.answers
    )


def outputs_of(runs: Sequence[Run], view: tuple[str, int], ids: Collection[str]) -> Outputs:
    """Return the answers to some rows in a view of them, by repetition and row."""
    found: dict[int, dict[str, str | None]] = {}
    for run in runs:
        if view in run.answers:
            pairs = zip(run.asked[view], run.answers[view].outputs, strict=True)
            own = found.setdefault(run.trial.draw, {})
            own.update((id, output) for id, output in pairs if id in ids)
    return found


class HasRows(Protocol):
    """Answers of a candidate to some rows."""

    @property
    def rows(self) -> frozenset[str]:
        """Return the rows."""
        ...


T = TypeVar("T", bound=HasRows)


def on_common_rows(every: Sequence[T]) -> tuple[list[T], frozenset[str]]:
    """Return candidates with the rows that all of them answered; those with few rows are left out.

    Candidates that ran out of time do not take more than half of the rows of the others, together.
    """
    chosen: list[T] = []
    common: frozenset[str] = frozenset()
    fullest = max((len(one.rows) for one in every), default=0)
    for one in sorted(every, key=lambda one: -len(one.rows)):
        both = common & one.rows if chosen else one.rows
        if len(both) >= max(FEWEST, fullest / 2):
            chosen, common = [*chosen, one], both
    return chosen, common


@dataclass(frozen=True)
class Part:
    """Some answers of a candidate: the repetitions and rows to look at."""

    outputs: Outputs
    draws: Sequence[int]
    ids: Sequence[str]

    def values(self, score: Score) -> Floats:
        """Return (rows, repetitions) scores of the answers."""
        return np.array([[score(id, self.outputs[d][id]) for d in self.draws] for id in self.ids])


@dataclass(frozen=True)
class _Judge:
    """How answers to the rows of a drill are scored: of the candidates chosen, on common rows."""

    items: Items
    task: BriefAnswers
    rows: DrillRows
    chosen: Sequence[_Asked]
    ids: Sequence[str]

    @cached_property
    def documents(self) -> list[str]:
        """Return the document of each row."""
        return [self.items.document_of(id) for id in self.ids]

    @cached_property
    def right(self) -> Mapping[str, tuple[str, ...]]:
        """Return the right answers before the change."""
        targets = zip(self.items.ids, self.items.targets, strict=True)
        accepted = self.items.accepted
        return {id: (text, *accepted.get(id, ())) for id, text in targets if id in self.rows.ids}

    @cached_property
    def changed(self) -> Mapping[str, tuple[str, ...]]:
        """Return the right answers after it."""
        new = self.rows.targets
        return {id: (new[id],) if id in new else texts for id, texts in self.right.items()}

    def now(self, asked: _Asked) -> Part:
        """Return the answers of a candidate after the change."""
        return Part(asked.after, tuple(asked.after), self.ids)

    def before(self, asked: _Asked) -> Part:
        """Return those before it, of the same repetitions."""
        return Part(asked.before, tuple(asked.after), self.ids)

    def stale(self, asked: _Asked) -> Floats:
        """Return 1 for each answer that gives the old fact after the change."""
        return self.now(asked).values(self.gives_old)

    def lost(self, asked: _Asked) -> Floats:
        """Return the score of each answer before the change minus that after it."""
        before = self.before(asked).values(self.as_before)
        return before - self.now(asked).values(self.as_after)

    def mean(self, part: Part, score: Score) -> Interval:
        """Return the mean of a score of answers."""
        return self.mean_of(part.values(score), part.ids, AGRESTI_COULL, 0.0)

    def mean_of(
        self, values: Floats, ids: Sequence[str], pseudo: Sequence[float], least: float
    ) -> Interval:
        """Return the mean of (rows, repetitions) values from `least` to 1."""
        documents = [self.items.document_of(id) for id in ids]
        estimate = two_way_interval(values, documents, pseudo=pseudo)
        estimand = estimand_of(values.shape[1])
        return Interval.of(estimate, estimand, within=(least, 1.0), row_set=row_set(ids))

    @cached_property
    def as_before(self) -> Score:
        """Return the score against the right answers before the change."""
        return self._scored(self.right)

    @cached_property
    def as_after(self) -> Score:
        """Return the score against those after it."""
        return self._scored(self.changed)

    def _scored(self, targets: Mapping[str, Sequence[str]]) -> Score:
        # Repetitions and candidates often answer alike.
        return cache(lambda id, out: self.task.own_scores(out, targets[id])[self.task.headline])

    def gives_new(self, id: str, out: str | None) -> float:
        """Return 1 for an answer that gives the new fact and not the old one."""
        old, new = self._near(id, out)
        return float(GIVEN <= new > old)

    def gives_old(self, id: str, out: str | None) -> float:
        """Return 1 for an answer that gives the old fact and not the new one."""
        old, new = self._near(id, out)
        return float(GIVEN <= old > new)

    @cached_property
    def _near(self) -> Callable[[str, str | None], tuple[float, float]]:
        """Return how near an answer is to the old fact and to the new one, if there is one."""

        def both(id: str, out: str | None) -> tuple[float, float]:
            near, facts = self.task.nearness, self.rows.targets
            return near(out, self.right[id]), near(out, self.changed[id]) if id in facts else 0.0

        return cache(both)


def _outcome(judge: _Judge, asked: _Asked) -> DrillOutcome:
    kind, task = judge.rows.kind, judge.task
    facts, has_new = kind == UPDATED, kind != MISSING
    now, again = judge.now(asked), whole_part(asked.again, judge.ids)
    enough = len(again.ids) >= FEWEST and has_new
    lost = judge.lost(asked) if has_new else None
    return DrillOutcome(
        candidate=asked.scores.info.name,
        family=asked.scores.info.family,
        reads=asked.scores.info.reads,
        clean=judge.mean(judge.before(asked), judge.as_before),
        updated=judge.mean(now, judge.as_after) if has_new else None,
        lost=None if lost is None else judge.mean_of(lost, judge.ids, imaginary(lost), -1.0),
        new=judge.mean(now, judge.gives_new) if facts else None,
        stale=judge.mean(now, judge.gives_old) if kind != ARRIVED else None,
        abstained=judge.mean(now, lambda _, out: float(out is None or task.abstains(out))),
        renewed=judge.mean(again, judge.as_after) if enough else None,
        renewed_new=judge.mean(again, judge.gives_new) if enough and facts else None,
        renewed_rows=len(again.ids) if enough else 0,
        seconds=_seconds(asked) if has_new else None,
    )


def whole_part(outputs: Outputs, ids: Sequence[str]) -> Part:
    """Return the rows that all of the fullest repetitions answered."""
    sizes = {draw: sum(id in own for id in ids) for draw, own in outputs.items()}
    most = max(sizes.values(), default=0)
    draws = [draw for draw in sorted(sizes) if sizes[draw] == most]
    found = [id for id in ids if draws and all(id in outputs[draw] for draw in draws)]
    return Part(outputs, draws, found)


def _seconds(asked: _Asked) -> float | None:
    """Return how long indexing or training again takes, with nothing cached."""
    info, table = asked.scores.info, asked.scores.main
    if info.reads:
        known = [run.reread_seconds for run in asked.reread if run.reread_seconds is not None]
        return float(np.median(known)) if known else None
    fits = [run.fit_seconds for run in asked.fits if run.fit_seconds is not None]
    return float(np.mean(fits)) if fits and table is not None and table.learns else None

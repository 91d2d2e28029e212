"""What candidates answer after documents changed or arrived, without and after training again.

Candidates that read were asked with the changed documents; others answer as before. All are
compared on the same rows. Questions of one document are clustered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np

from choose.corpus import ARRIVED, MISSING, UPDATED
from choose.judge.evidence import BriefAnswers, DrillRows, Evidence, HasDocuments, Items, row_set
from choose.judge.goal import DAYS, Rule
from choose.judge.scores.score_tables import (
    CLEAN,
    CandidateScores,
    StudyScores,
    estimand_of,
)
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.schema.base import Interval
from choose.schema.costs import Churn, ChurnCost
from choose.schema.reading_documents import DocumentDrill, DrillOutcome
from choose.types import Run

# Rows below which nothing is said.
FEWEST = 8

# A candidate gives an answer if it gives so much of it, and less of another one.
GIVEN = 0.5

Outputs = Mapping[int, Mapping[str, str | None]]


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
    task = evidence.task
    if not isinstance(task, BriefAnswers):
        return None
    every = [found for c in panel.scored if (found := _asked(c, rows)) is not None]
    chosen, ids = on_common_rows(every)
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


@dataclass(frozen=True)
class _Judge:
    """How answers to the rows of a drill are scored."""

    items: Items
    task: BriefAnswers
    rows: DrillRows

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

    def mean(self, part: Part, score: Callable[[str, str | None], float]) -> Interval:
        """Return the mean of a score of answers."""
        values = [[score(id, part.outputs[draw][id]) for draw in part.draws] for id in part.ids]
        documents = [self.items.document_of(id) for id in part.ids]
        estimate = two_way_interval(values, documents, pseudo=AGRESTI_COULL)
        estimand = estimand_of(len(part.draws))
        return Interval.of(estimate, estimand, within=(0.0, 1.0), row_set=row_set(part.ids))

    def scored(self, part: Part, targets: Mapping[str, Sequence[str]]) -> Interval:
        """Return the mean score against some right answers."""
        task = self.task
        return self.mean(part, lambda id, out: task.own_scores(out, targets[id])[task.headline])

    def gives(self, part: Part, new: bool) -> Interval:
        """Return the share of answers that give the new fact and not the old one, or vice versa."""

        def given(id: str, out: str | None) -> float:
            near = self.task.nearness
            # Without a new fact, there is only the old one to give.
            both = near(out, self.right[id]), near(out, self.changed[id]) if id in facts else 0.0
            one, other = both[::-1] if new else both
            return float(GIVEN <= one > other)

        facts = self.rows.targets
        return self.mean(part, given)


def _outcome(
    evidence: Evidence, task: BriefAnswers, rows: DrillRows, asked: _Asked, ids: Sequence[str]
) -> DrillOutcome:
    judge, facts = _Judge(evidence.items, task, rows), rows.kind == UPDATED
    now = Part(asked.after, tuple(asked.after), ids)
    before, again = replace(now, outputs=asked.before), whole_part(asked.again, ids)
    enough = len(again.ids) >= FEWEST and rows.kind != MISSING
    return DrillOutcome(
        candidate=asked.scores.info.name,
        family=asked.scores.info.family,
        reads=asked.scores.info.reads,
        clean=judge.scored(before, judge.right),
        updated=judge.scored(now, judge.changed) if rows.kind != MISSING else None,
        new=judge.gives(now, new=True) if facts else None,
        stale=judge.gives(now, new=False) if rows.kind != ARRIVED else None,
        abstained=judge.mean(now, lambda _, out: float(out is None or task.abstains(out))),
        renewed=judge.scored(again, judge.changed) if enough else None,
        renewed_new=judge.gives(again, new=True) if enough and facts else None,
        renewed_rows=len(again.ids) if enough else 0,
        seconds=_seconds(asked) if rows.kind != MISSING else None,
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


# Months before the newest date that count; at least so many documents must have dates, and half.
MONTHS = 12.0

# An index is made anew once a day at most.
MOST_INDEXES = DAYS

_SECONDS_OF_A_MONTH = DAYS * 24 * 3600


def document_churn(evidence: Evidence, drills: Sequence[DocumentDrill], rule: Rule) -> Churn | None:
    """Return what changes of documents cost; None where none are known, or nothing was asked."""
    corpus = evidence.task.corpus if isinstance(evidence.task, HasDocuments) else None
    drill = next((drill for drill in drills if drill.kind == UPDATED), None)
    if corpus is None or drill is None:
        return None
    stated = rule.deployment.documents_changed_per_month
    times = [document.timestamp for document in corpus.documents]
    known = until(times, evidence.documents_as_of)
    share = monthly_share(known) if stated is None else stated
    if not share:
        return None
    indexes = min(share * len(corpus), MOST_INDEXES)
    return Churn(
        share=share,
        stated=stated is not None,
        documents=len(corpus),
        future=0 if stated is not None else known.count(None) - times.count(None),
        costs=tuple(_cost(outcome, share, indexes, rule) for outcome in drill.outcomes),
    )


def _cost(outcome: DrillOutcome, share: float, indexes: float, rule: Rule) -> ChurnCost:
    assert outcome.updated is not None
    price, seconds = rule.usd_per_machine_hour, outcome.seconds if outcome.reads else None
    usd = None if price is None or seconds is None else indexes * seconds * price / 3600
    return ChurnCost(
        candidate=outcome.candidate,
        reads=outcome.reads,
        loss=share * (outcome.clean.value - outcome.updated.value),
        index_usd=usd,
    )


def until(times: Sequence[datetime | None], day: str | None) -> list[datetime | None]:
    """Return dates without those after a day, anywhere on Earth.

    Later ones are mistakes, or of documents that hold from then on: they say nothing of how often
    documents changed.
    """
    if day is None:
        return [*times]
    begins = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    # In the west a day ends twelve hours later than in Greenwich.
    ends = (begins + timedelta(hours=36)).timestamp()
    return [time if time is not None and time.timestamp() < ends else None for time in times]


def monthly_share(times: Sequence[datetime | None]) -> float | None:
    """Return the share of documents that change in a month, at least, by the dates of all of them.

    It is that of the last 12 months before the newest date, or of the time that dates span. None
    with few dates, or within a month.
    """
    dated = [time.timestamp() for time in times if time is not None]
    if len(dated) < max(FEWEST, len(times) / 2):
        return None
    newest = max(dated)
    months = min(MONTHS, (newest - min(dated)) / _SECONDS_OF_A_MONTH)
    if months < 1:
        return None
    recent = sum(time > newest - months * _SECONDS_OF_A_MONTH for time in dated)
    return recent / len(times) / months

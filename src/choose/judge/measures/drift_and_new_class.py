"""What changes with time and with the source: later rows, rows of another source, new classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from choose.judge.scores.paired_comparison import (
    ASSUMED_SD,
    accuracy_loss,
    accuracy_on,
    interval_of,
    scenario_table,
)
from choose.judge.scores.score_tables import CandidateScores, ScoreTable
from choose.judge.stats.paired import Difference
from choose.judge.stats.two_way import answered, two_way
from choose.schema.scorecard import NewClass, NewClassPoint, SourceLoss
from choose.types import Run

Kind = Literal["time", "source"]


def drop_of(candidate: CandidateScores, kind: Kind = "time") -> Difference | None:
    """Return accuracy after training on rows of any time minus that after earlier rows.

    Of ``source`` it is that after rows of all sources minus that after rows of the others.
    Paired: the same test rows at every cut, after fits on the same number of rows. There is one
    past only, but another one of its size would give another fit: a side that was fitted once is
    taken to vary as fits on rows of any time do, or, where these were not repeated either, as is
    assumed of candidates.
    """
    any_time, past = _sides(candidate, kind)
    if any_time is None or past is None:
        return None
    return accuracy_loss(any_time, past, assumed=_assumed(candidate, any_time, past))


def losses_by_source(candidate: CandidateScores) -> tuple[SourceLoss, ...]:
    """Return what it loses on each source that no training row is from, the worst first.

    The worst is the largest of several, so all intervals hold together (Bonferroni).
    """
    names = {r.trial.scenario.label for r in candidate.scenario_runs if _of(r, "source")}
    found = []
    for name in sorted(names):
        seen, unseen = _sides(candidate, "source", name)
        if seen is None or unseen is None:
            continue
        loss = accuracy_loss(seen, unseen, assumed=_assumed(candidate, seen, unseen))
        both = np.asarray(answered(seen.right) & answered(unseen.right), dtype=np.bool_)
        before, after = accuracy_on(seen, both), accuracy_on(unseen, both)
        if loss is not None and before is not None and after is not None:
            low, high = loss.bounds(1 - 0.05 / len(names))
            found.append(
                SourceLoss(
                    source=name,
                    rows=loss.rows,
                    seen=before[0].value,
                    unseen=after[0].value,
                    loss=interval_of(replace(loss, low=low, high=high)),
                )
            )
    return tuple(sorted(found, key=lambda one: -one.loss.value))


def _of(run: Run, kind: Kind) -> bool:
    return run.trial.scenario.kind == kind


def _sides(
    candidate: CandidateScores, kind: Kind, place: float | str | None = None
) -> tuple[ScoreTable | None, ScoreTable | None]:
    """Return the answers after learning from any rows and from the one side, at a place or all.

    A candidate that learns nothing answers once for both.
    """

    def side(any_rows: bool) -> ScoreTable | None:
        return scenario_table(
            candidate,
            lambda s: (
                s.kind == kind
                and (s.learns_from == "any") is any_rows
                and place in (None, s.cut if kind == "time" else s.label)
            ),
        )

    past = side(False)
    return side(True) or (None if candidate.info.learns else past), past


def _assumed(candidate: CandidateScores, any_time: ScoreTable, past: ScoreTable) -> float:
    """Return the variance that one fit a side leaves unseen."""
    if not candidate.info.learns:
        return 0.0
    fits = {(run.trial.scenario.cut, run.trial.scenario.label) for run in past.runs}
    variance = ASSUMED_SD**2 / len(fits)
    if any_time.block.shape[1] > 1:
        parts = two_way(any_time.block, any_time.rows.clusters_of(any_time.complete))
        # Not freed from the residual: with few repetitions the difference is often 0.
        variance = parts.columns * parts.repetitions
    return variance * sum(len(table.draws) == 1 for table in (any_time, past))


def new_class_of(candidate: CandidateScores) -> NewClass | None:
    """Return recall on the withheld class, and the loss on all others, by examples given back."""
    scenarios = {
        r.trial.scenario for r in candidate.scenario_runs if r.trial.scenario.kind == "new-class"
    }
    if not scenarios:
        return None
    label = next(iter(scenarios)).label
    tables = {
        s.examples: table
        for s in sorted(scenarios, key=lambda s: s.examples)
        if (table := scenario_table(candidate, lambda other, s=s: other == s)) is not None  # type: ignore[misc]
    }
    points = [_point(label, examples, tables) for examples in tables]
    measured = tuple(point for point in points if point is not None)
    return NewClass(label=label, points=measured) if measured else None


def _point(label: str, examples: int, tables: dict[int, ScoreTable]) -> NewClassPoint | None:
    table = tables[examples]
    theirs = table.rows.of_class(label)
    recall = accuracy_on(table, theirs)
    if recall is None:
        return None
    without = tables.get(0) if examples else None
    loss = accuracy_loss(without, table, ~theirs) if without is not None else None
    seconds = [run.fit_seconds for run in table.runs if run.fit_seconds is not None]
    return NewClassPoint(
        examples=examples,
        recall=recall[0],
        loss=interval_of(loss) if loss is not None else None,
        fit_seconds=float(np.mean(seconds)) if seconds else None,
    )

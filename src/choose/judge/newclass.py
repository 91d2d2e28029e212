"""What a candidate makes of a class that comes late: its recall, the others' loss, the time."""

from __future__ import annotations

import numpy as np

from choose.judge.answers import Table
from choose.judge.crossed import Mask
from choose.judge.panel import Measured
from choose.judge.record_stability import NewClass, NewClassPoint
from choose.judge.scenes import lost, mean_on, recorded, scene


def new_class_of(candidate: Measured) -> NewClass | None:
    """Return recall on the withheld class, and the loss on all others, by examples given back."""
    scenarios = {r.trial.scenario for r in candidate.scenes if r.trial.scenario.kind == "new-class"}
    if not scenarios:
        return None
    label = next(iter(scenarios)).label
    tables = {
        s.examples: table
        for s in sorted(scenarios, key=lambda s: s.examples)
        if (table := scene(candidate, lambda other, s=s: other == s)) is not None  # type: ignore[misc]
    }
    points = [_point(label, examples, tables) for examples in tables]
    kept = tuple(point for point in points if point is not None)
    return NewClass(label=label, points=kept) if kept else None


def _point(label: str, examples: int, tables: dict[int, Table]) -> NewClassPoint | None:
    table = tables[examples]
    theirs = _of(table, label)
    recall = mean_on(table, theirs)
    if recall is None:
        return None
    without = tables.get(0) if examples else None
    loss = lost(without, table, ~theirs) if without is not None else None
    seconds = [run.fit_seconds for run in table.runs if run.fit_seconds is not None]
    return NewClassPoint(
        examples=examples,
        recall=recall[0],
        recall_rows=recall[1],
        loss=recorded(loss) if loss is not None else None,
        loss_rows=loss.rows if loss is not None else 0,
        fit_seconds=float(np.mean(seconds)) if seconds else None,
    )


def _of(table: Table, label: str) -> Mask:
    return np.asarray(table.rows.targets == table.rows.labels.index(label), dtype=np.bool_)

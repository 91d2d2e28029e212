"""The rows that the figures of one table share, so that its cells can be compared.

A budget may end when candidates have answered different rows with label noise, with perturbed
texts, after smaller pools or with other settings, and some rows are harder than others. Figures
that are beside each other are therefore measured on the rows that all of them cover. A part that
covers less than half as many rows as the largest would cost the others too much: it keeps its own
rows, and the record names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from choose.judge.scores.paired_comparison import view_tables
from choose.judge.scores.score_tables import MISSING, CandidateScores, ScoreTable
from choose.judge.stats.two_way import Mask

LEAST = 0.5


def shared_rows(tables: Iterable[ScoreTable]) -> Mask | None:
    """Return the rows that all but the smallest tables cover; None where these share none."""
    given = list(tables)
    largest = max((int(table.complete.sum()) for table in given), default=0)
    kept = [table for table in given if table.complete.sum() >= LEAST * largest]
    shared, before = _covered_by_all(kept), None
    # On fewer rows other repetitions may be the complete ones, which may lack some of the rows.
    while before is None or (shared != before).any():
        before = shared
        shared = _covered_by_all([_restricted(table, shared) for table in kept])
    return shared if shared.any() else None


def _covered_by_all(tables: Sequence[ScoreTable]) -> Mask:
    covered = [table.complete for table in tables]
    shared = np.logical_and.reduce(covered) if covered else np.zeros(0)
    return np.asarray(shared, dtype=np.bool_)


def _restricted(table: ScoreTable, rows: Mask) -> ScoreTable:
    return replace(table, outputs=np.where(rows[:, None], table.outputs, MISSING))


def on_rows(table: ScoreTable, rows: Mask | None) -> ScoreTable:
    """Return a table on these rows only; as it is where it does not cover them all."""
    if rows is None:
        return table
    restricted = _restricted(table, rows)
    return restricted if (restricted.complete == rows).all() else table


@dataclass(frozen=True)
class CommonRows:
    """Of all candidates: the rows with label noise, by view and after smaller pools."""

    noise: Mask | None
    sizes: Mask | None
    views: dict[str, Mask | None]

    def with_noise(self, candidate: CandidateScores) -> CandidateScores:
        """Return a candidate's clean and noised answers on the common rows."""
        noise = {key: on_rows(table, self.noise) for key, table in candidate.noise.items()}
        return replace(candidate, noise=noise, main=_clean(candidate, noise, self.noise))

    def with_sizes(self, candidate: CandidateScores) -> CandidateScores:
        """Return a candidate's answers after every pool on the common rows."""
        sizes = {size: on_rows(table, self.sizes) for size, table in candidate.sizes.items()}
        return replace(candidate, sizes=sizes, main=_clean(candidate, sizes, self.sizes))

    def views_of(self, candidate: CandidateScores) -> dict[str, ScoreTable]:
        """Return a candidate's answers to perturbed rows, by view, on the common rows."""
        tables = view_tables(candidate.main) if candidate.main is not None else {}
        return {view: on_rows(table, self.views.get(view)) for view, table in tables.items()}


def _clean(
    candidate: CandidateScores, others: Mapping[Any, ScoreTable], common: Mask | None
) -> ScoreTable | None:
    """Return the clean answers on the common rows, or on those of the others if none has these."""
    if candidate.main is None or common is None:
        return candidate.main
    there = any((table.complete == common).all() for table in others.values())
    return on_rows(candidate.main, common if there else shared_rows(others.values()))


def common_rows(candidates: Sequence[CandidateScores]) -> CommonRows:
    """Return the rows that candidates share under each condition that was measured."""
    scored = [c for c in candidates if c.main is not None]
    noise = [t for c in scored if c.noise for t in (c.main, *c.noise.values()) if t]
    sizes = [t for c in scored if c.sizes for t in (c.main, *c.sizes.values()) if t]
    seen = [view_tables(c.main) for c in scored if c.main is not None]
    names = sorted({view for tables in seen for view in tables})
    views = {n: shared_rows(tables[n] for tables in seen if n in tables) for n in names}
    return CommonRows(shared_rows(noise), shared_rows(sizes), views)

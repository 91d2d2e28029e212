"""Sentences and rows that every form of a comparison of two studies shares."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import (
    difference,
    listed,
    p_value,
    percent,
    plural,
    signed_points,
)
from choose.report.words import covered_by, words_of
from choose.schema.study_comparison import Shift, Versus


def headline(versus: Versus) -> str:
    before, after = (side.answer.rstrip(".") for side in (versus.before, versus.after))
    first = (
        f"The verdict changed from “{before}” to “{after}”."
        if versus.verdict_changed
        else f"The verdict is unchanged: {after}."
    )
    return f"{first} {_moved(versus)}"


def _moved(versus: Versus) -> str:
    counts = sorted({shift.rows for shift in versus.shifts}) or [versus.rows.common]
    common = f"the {plural(counts[0], 'common row')}"
    if len(counts) > 1:
        common = f"the {counts[0]:,} to {counts[-1]:,} common rows that both studies answered"
    if versus.shifts and all(shift.same_fits for shift in versus.shifts):
        return f"Every candidate in both studies gives identical answers to {common}."
    significant = [shift for shift in versus.shifts if shift.significant]
    if not significant:
        return f"No candidate changed significantly on {common}."
    changes = [f"{who(s)} ({signed_points(s.difference.value)} points)" for s in significant]
    return f"Changed significantly on {common}: {listed(changes)}."


def who(shift: Shift) -> str:
    """Return the candidate of a shift, or both where the two studies chose different ones."""
    return shift.after if shift.before == shift.after else f"{shift.before} → {shift.after}"


def cells(shift: Shift) -> dict[str, str]:
    same = shift.same_fits
    return {
        "candidate": who(shift),
        "before": percent(shift.accuracy_before),
        "now": percent(shift.accuracy_after),
        "difference (95 % CI)": "0.0 (identical)" if same else difference(shift.difference),
        "p (Holm)": p_value(shift.p_holm),
        "p": p_value(shift.p),
        "rows": f"{shift.rows:,}",
    }


def rows(versus: Versus) -> Iterator[str]:
    common, target = versus.rows, words_of(versus.metric).target
    yield (
        f"{common.common:,} test rows are in both studies, with the same text and "
        f"{target} ({common.before:,} before, {common.after:,} now); only "
        "these are compared."
    )
    if common.changed:
        yield f"{common.changed:,} changed under the same id."


def about(versus: Versus) -> str:
    covered = covered_by(s.difference for s in versus.shifts if not s.same_fits)
    score = words_of(versus.metric).title
    what = f"{score} in % on the common rows; differences in points, second study minus first."
    if not covered:
        return f"{what} Identical runs need no estimate."
    return f"{what} {covered} P (Holm) is corrected for all candidates in the table."

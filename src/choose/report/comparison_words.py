"""Sentences and rows that every form of a comparison of two studies shares."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import (
    difference,
    in_percent,
    in_points,
    listed,
    p_value,
    percent,
    plural,
    points,
    signed_points,
)
from choose.report.words import amount, covered_by, is_share, noun_of, words_of
from choose.schema.study_changes import Cause, Shift, Versus


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


def why(versus: Versus) -> list[str]:
    return [_cause(versus, cause) for cause in versus.why]


def _cause(versus: Versus, cause: Cause) -> str:
    """Say what moved the verdict, or what did not move it."""
    was, now = cause.before, cause.after
    if cause.code == "moved":
        found = next(s for s in versus.shifts if (s.before, s.after) == cause.names)
        return f"On the {plural(found.rows, 'common row')} {moved(found, versus.metric)}."
    if cause.code in ("target", "margin"):
        was, now = (points(end) if isinstance(end, float) else "not set" for end in (was, now))
    elif cause.code == "chance":
        was, now = (in_percent(end) for end in (was, now) if isinstance(end, float))
    name = cause.names[0] if cause.names else ""
    said = {
        "chance": f"The chance that the choice is right was {was} and is {now}.",
        "rule": f"The decision rule was version {was} and is version {now}.",
        "metric": f"“Right” was counted by {was} and is counted by {now}; figures here are by "
        f"{now}.",
        "target": f"The target was {was} and is {now}.",
        "margin": f"The margin was {was} and is {now}.",
        "not-measured": f"{name} was not measured in the {now} study.",
        "check": f"The check “{name}” was {was}, is {now}.",
        "nothing": "No candidate is shown to have changed on the common rows: the verdict moved "
        "with other rows, other candidates, chance, or what differs between the studies.",
    }
    return said[cause.code]


def moved(shift: Shift, metric: str) -> str:
    """Return ``probe went from 70 % to 77 % right: +7.0 points (+2.0 to +12.0)``."""
    same, noun = shift.before == shift.after, noun_of(metric)
    name = shift.after if same else f"the pick ({shift.before} before, {shift.after} now)"
    was, now = (amount(share, noun) for share in (shift.accuracy_before, shift.accuracy_after))
    if shift.same_fits:
        return f"{name} is unchanged at {now}: the very same fits"
    what = f" {noun}" if is_share(noun) else ""
    return f"{name} went from {was} to {now}{what}: {in_points(shift.difference)}"


def about(versus: Versus) -> str:
    covered = covered_by(s.difference for s in versus.shifts if not s.same_fits)
    score = words_of(versus.metric).title
    what = f"{score} in % on the common rows; differences in points, second study minus first."
    if not covered:
        return f"{what} Identical runs need no estimate."
    return f"{what} {covered} P (Holm) is corrected for all candidates in the table."

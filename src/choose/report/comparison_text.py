"""The sentences and rows that every form of a comparison of two studies shares."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import difference, listed, p_value, percent, plural, signed_points
from choose.report.format import KINDS
from choose.schema.decision import CommonRows, Shift, Side, Versus

COMPARISON_HEADS = (
    "candidate",
    "before",
    "now",
    "difference (95 % interval)",
    "p (Holm)",
    "p",
    "rows",
)


CHANGE_HEADS = ("what", "before", "now")


SHOWN = {
    "better": "better, by the margin",
    "worse": "worse, by the margin",
    "equivalent": "as good as equal",
    "not better": "no gain of the margin",
    "open": "open",
}


def headline(versus: Versus) -> str:
    """Say in one or two sentences whether the verdict and the candidates changed."""
    before, after = verdict(versus.before), verdict(versus.after)
    first = (
        f"The verdict changed from “{before}” to “{after}”."
        if versus.verdict_changed
        else f"The verdict stands: {after}."
    )
    return f"{first} {_moved(versus)}"


def _moved(versus: Versus) -> str:
    common = f"the {plural(versus.rows.common, 'common row')}"
    if versus.shifts and all(shift.same_fits for shift in versus.shifts):
        return f"Every candidate in both gives the very same answers to {common}."
    found = [shift for shift in versus.shifts if shift.significant]
    if not found:
        return f"No candidate is shown to have changed on {common}."
    said = [f"{who(s)} ({signed_points(s.difference.value)} points)" for s in found]
    return f"Shown to have changed on {common}: {listed(said)}."


def verdict(side: Side) -> str:
    """Return a verdict in a few words."""
    kind = KINDS[side.kind]
    return (
        f"{kind}: {side.recommended}" if side.recommended else f"{kind}; use {side.use_meanwhile}"
    )


def who(shift: Shift) -> str:
    """Return whom a shift compares: one name, or two where the picks differ."""
    return shift.after if shift.before == shift.after else f"{shift.before} → {shift.after}"


def cells(shift: Shift) -> list[str]:
    """Return a shift as a row under `HEADS`."""
    same = shift.same_fits
    return [
        who(shift),
        percent(shift.accuracy_before),
        percent(shift.accuracy_after),
        "0.0 (the very same fits)" if same else difference(shift.difference),
        p_value(shift.p_holm),
        p_value(shift.p),
        f"{shift.rows:,}",
    ]


def rows(common: CommonRows) -> Iterator[str]:
    """Say how many rows meet, and what became of the others."""
    how = "with the same text and label" if common.by_text else "with the same id and label"
    yield (
        f"{common.common:,} rows were asked in both studies, {how} ({common.before:,} asked "
        f"before, {common.after:,} now); only these are compared."
    )
    if not common.by_text:
        yield "Texts were not kept, so a row whose text changed under its id could not be told."
    for count, what in (
        (common.moved, "of these stand under another id now"),
        (common.relabelled, "bear another label now, and are not compared"),
        (common.reworded, "bear another text under the same id, and are not compared"),
        (common.new, "are asked now only"),
        (common.gone, "were asked before only"),
    ):
        if count:
            yield f"{count:,} {what}."


def others(versus: Versus) -> Iterator[str]:
    """Say who and what stands in one study only."""
    for what, where, names in (
        ("Candidates", "new", versus.candidates_new),
        ("Candidates", "gone", versus.candidates_gone),
        ("Labels", "new", versus.labels_new),
        ("Labels", "gone", versus.labels_gone),
    ):
        if names:
            yield f"{what} that are {where}: {listed(names[:20])}{_more(len(names) - 20)}."
    yield from versus.not_compared


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""


def about(versus: Versus) -> str:
    """Say what the intervals are about."""
    found = {s.difference.estimand for s in versus.shifts if not s.same_fits}
    what = (
        "Of 100 right on the common rows; differences in points, the second study minus the first."
    )
    if not found:
        return f"{what} Where the fits are the very same, nothing is estimated."
    return (
        f"{what} Intervals are 95 % and are about: {'; '.join(sorted(filter(None, found)))}. "
        "P (Holm) is corrected for all candidates in the table."
    )

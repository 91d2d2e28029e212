"""Whether two candidates together pay, and which rows nobody gets right, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import number, of_100, plural, points
from choose.judge.decision.label_gates import _ends
from choose.schema.base import Interval
from choose.schema.diagnosis import Cascade, ErrorOverlap, Failures


def failure_reasons(failures: Failures | None, by_rows: bool = True) -> Iterator[str]:
    """Say what data can fix, and what fine-tuning then did."""
    if failures is None or failures.reachable is None or not failures.errors:
        return
    assert failures.fixable is not None
    yield (
        f"Of the {plural(failures.errors, 'error')} of {failures.candidate} on "
        f"{plural(failures.rows, 'row')}, {failures.supervised} gets {failures.fixes:,} right and "
        f"breaks {failures.breaks:,} others{_chance(failures)}: data can fix "
        f"{of_100(failures.fixable.value)} errors ({_ends(failures.fixable)})."
    )
    if (forecast := failures.forecast) is not None and by_rows:
        yield (
            f"Seen from those errors alone, fine-tuning could gain up to "
            f"{points(failures.reachable.value)} over {failures.candidate} "
            f"({_ends(failures.reachable)}); {forecast.candidate} gained "
            f"{points(forecast.measured.value)} ({_ends(forecast.measured)})."
        )


def _chance(failures: Failures) -> str:
    if not failures.chance or failures.chance < 0.5:
        return ""
    return f" ({number(failures.chance)} fixes would be expected by chance)"


def failure_steps(failures: Failures | None, margin: float) -> Iterator[str]:
    """Say what to do about kinds of errors that make up the margin or more."""
    if failures is None or not failures.errors:
        return
    name, of = failures.candidate, f"of {plural(failures.errors, 'error')}"
    matter = {
        kind.name: kind.count
        for kind in failures.classes
        if kind.count and kind.count >= margin * failures.rows
    }
    if count := matter.get("format"):
        yield f"Constrain what {name} may answer: {count:,} {of} are unusable answers."
    if count := matter.get("suspect label"):
        yield (
            f"Check the labels of the {plural(count, 'row')} that candidates doubt together "
            f"({count:,} {of} of {name}; decision.json lists them)."
        )
    if (count := matter.get("ambiguous")) and failures.contested:
        first, second = failures.contested
        yield (
            f"Settle in the guideline where {first} ends and {second} begins: {count:,} {of} of "
            f"{name} are ambiguous, and no two labels meet more often among them."
        )
    if count := matter.get("not covered"):
        yield (
            f"Label more rows like those that {name} finds no example for: {count:,} {of} have "
            "nothing of the right label near them."
        )


# A cascade that takes at least this share of the strong candidate's time saves too little.
SAVES = 0.7


def overlap_steps(overlap: ErrorOverlap | None, margin: float) -> Iterator[str]:
    """Say which rows to read again, and whether a cascade pays."""
    if overlap is None:
        return
    if overlap.agreed and overlap.agreed >= margin * overlap.rows:
        yield (
            f"Read the {overlap.agreed:,} rows again for which most candidates give one and the "
            f"same other label: they are among the {overlap.wrong_in_all:,} of {overlap.rows:,} "
            "that all get wrong (decision.json lists them)."
        )
    if overlap.cascade is not None and pays(overlap.cascade, margin):
        yield f"Let two work together: {overlap.cascade.sentence}."


def pays(found: Cascade, margin: float) -> bool:
    """Return whether a cascade is shown to beat both, or to keep the strong one's accuracy cheaper.

    It must gain the margin on the cheap candidate either way; else the cheap one alone will do.
    """
    if not _gains(found.over_cheap, margin):
        return False
    if _gains(found.over_strong, margin):
        return True
    spent, alone = found.seconds_per_1k, found.strong_seconds_per_1k
    low = found.over_strong.low
    saves = spent is not None and alone is not None and spent < SAVES * alone
    return saves and low is not None and low > -margin


def _gains(change: Interval, margin: float) -> bool:
    return change.low is not None and change.low > 0 and change.value >= margin

"""Sentences on errors: what training can fix, what to do about them, whether a cascade pays."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import in_percent, interval, number, plural, points, span
from choose.schema.base import Interval
from choose.schema.diagnosis import Cascade, Failures

# A cascade that takes at least this share of the strong candidate's time saves too little.
SAVES = 0.7


def failure_reasons(failures: Failures | None, by_rows: bool = True) -> Iterator[str]:
    """Say what training can fix, and what fine-tuning did."""
    if failures is None or failures.reachable is None or not failures.errors:
        return
    assert failures.fixable is not None
    yield (
        f"{failures.candidate} got {failures.errors:,} of {plural(failures.rows, 'row')} wrong. "
        f"{failures.supervised}, trained on your labels, gets {failures.fixes:,} of those right "
        f"and {failures.breaks:,} others wrong{_chance(failures)}, so training could remove about "
        f"{in_percent(failures.fixable.value)} of these errors ({span(failures.fixable)})."
    )
    forecast = failures.forecast
    if forecast is not None and by_rows and _same_rows(failures.reachable, forecast.measured):
        yield (
            f"These errors put the ceiling for fine-tuning at {points(failures.reachable.value)} "
            f"above {failures.candidate} ({interval(failures.reachable)}). {forecast.candidate} "
            f"reached {points(forecast.measured.value)} ({interval(forecast.measured)})."
        )


def _same_rows(a: Interval, b: Interval) -> bool:
    """Return whether two figures are known to rest on the same rows, so that they compare."""
    return a.row_set is not None and a.row_set == b.row_set


def _chance(failures: Failures) -> str:
    if not failures.chance or failures.chance < 0.5:
        return ""
    return f" (chance alone would fix {number(failures.chance)})"


def failure_steps(failures: Failures | None, margin: float) -> Iterator[str]:
    """Yield a step for each kind of error that makes up the margin or more."""
    if failures is None or not failures.errors:
        return
    name, of = failures.candidate, f"of {plural(failures.errors, 'error')}"
    matter = {
        kind.name: kind.count
        for kind in failures.classes
        if kind.count and kind.count >= margin * failures.rows
    }
    if count := matter.get("format"):
        yield f"Constrain the output of {name}: {count:,} {of} are unusable answers."
    if count := matter.get("not covered"):
        yield (
            f"Label more rows of the kind for which {name} retrieves no fitting example: in "
            f"{count:,} {of}, no retrieved row has the right label."
        )


def pays(cascade: Cascade, margin: float) -> bool:
    """Return whether a cascade is shown to beat both, or to keep the strong one's accuracy cheaper.

    It must gain the margin on the cheap candidate either way; else the cheap one alone will do.
    If the verdict names a third candidate, it must gain the margin on that one too.
    """
    if not _gains(cascade.over_cheap, margin):
        return False
    third = cascade.chosen not in (None, cascade.cheap, cascade.strong)
    if third and cascade.over_chosen is not None and not _gains(cascade.over_chosen, margin):
        return False
    if _gains(cascade.over_strong, margin):
        return True
    spent, alone = cascade.seconds_per_1k, cascade.strong_seconds_per_1k
    low = cascade.over_strong.low
    saves = spent is not None and alone is not None and spent < SAVES * alone
    return saves and low is not None and low > -margin


def _gains(change: Interval, margin: float) -> bool:
    return change.low is not None and change.low > 0 and change.value >= margin

"""Steps that the errors of a candidate ask for, and whether a cascade pays."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import plural
from choose.schema.base import Interval
from choose.schema.diagnosis import Cascade, Failures

# A cascade that takes at least this share of the strong candidate's time saves too little.
SAVES = 0.7


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
            "Label more rows like those whose nearest labelled rows all have another label: "
            f"{count:,} {of} of {name}."
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

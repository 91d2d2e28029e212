"""Whether two candidates together pay, and which rows nobody gets right, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from choose.judge.frozen import Interval
from choose.judge.record_failures import Cascade, Overlap
from choose.judge.words import number, of_100, points, seconds

# A cascade that takes at least this share of the strong candidate's time saves too little.
SAVES = 0.7


def overlap_steps(overlap: Overlap | None, margin: float) -> Iterator[str]:
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
        yield f"Let two work together: {together(overlap.cascade)}."


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


def together(found: Cascade) -> str:
    """Say what a cascade reaches and what it takes."""
    text = (
        f"{found.cheap} where it is sure and {found.strong} for the other "
        f"{of_100(found.sent_on.value)} would get {of_100(found.accuracy.value)} right, "
        f"{_against(found.over_strong, found.strong)}"
    )
    if found.seconds_per_1k is not None and found.strong_seconds_per_1k is not None:
        text += (
            f", in {seconds(found.seconds_per_1k)} instead of "
            f"{seconds(found.strong_seconds_per_1k)} for 1,000 answers"
        )
    if found.usd_per_1k is not None and found.strong_usd_per_1k is not None:
        text += (
            f" (${number(found.usd_per_1k, 4)} instead of ${number(found.strong_usd_per_1k, 4)})"
        )
    return text


def _against(change: Interval, name: str) -> str:
    more = change.value >= 0
    said = f"{points(abs(change.value))} {'more' if more else 'less'} than {name} alone"
    if change.low is None or change.high is None:
        return said
    ends = (change.low, change.high) if more else (-change.high, -change.low)
    return f"{said} (95 % interval {number(100 * ends[0])} to {number(100 * ends[1])})"


def _gains(change: Interval, margin: float) -> bool:
    return change.low is not None and change.low > 0 and change.value >= margin

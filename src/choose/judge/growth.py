"""Whether more labels would settle or change a decision, from what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from choose.judge.fits import about, compared, difference, resampled
from choose.judge.frozen import Interval
from choose.judge.more_labels import flattens
from choose.judge.paired import Difference
from choose.judge.panel import Measured
from choose.judge.record_curves import RiseRecord
from choose.judge.settle import Field, Settlement

# Above this many margins, the smallest detectable gain says that the rows are too few; below, that
# the candidates are too close.
COARSE = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """What a candidate gained between a smaller pool and the compared one."""

    candidate: str
    fewer: int
    labels: int
    gained: Difference
    estimand: str


def rise(candidate: Measured) -> Rise | None:
    """Return the gain since the largest measured pool of at most 3/4 of the compared size."""
    sizes = [size for size in candidate.sizes if size <= 0.75 * candidate.pool]
    if candidate.main is None or not sizes or not candidate.info.learns:
        return None
    sides = compared(candidate), resampled(candidate, candidate.sizes[max(sizes)])
    gained = difference(*sides)
    if gained is None:
        return None
    return Rise(
        candidate=candidate.info.name,
        fewer=max(sizes),
        labels=candidate.pool,
        gained=gained,
        estimand=about("a new pool of either size", *sides),
    )


def rising(field: Field, names: tuple[str, ...]) -> Rise | None:
    """Return the steepest rise among these that is certain and at least the margin.

    A candidate whose fitted curve says that it will hardly gain the margin again has risen before.
    """
    found = [
        r
        for name in names
        if not flattens(field, name)
        and (r := rise(field.panel[name])) is not None
        and r.gained.low > 0
        and r.gained.value >= field.rule.margin
    ]
    return max(found, key=lambda r: r.gained.value, default=None)


def rises_of(field: Field) -> tuple[RiseRecord, ...]:
    """Return every candidate's rise, as it stands in the decision record."""
    found = [rise(candidate) for candidate in field.order]
    return tuple(
        RiseRecord(
            candidate=r.candidate,
            fewer=r.fewer,
            labels=r.labels,
            gained=Interval(
                value=r.gained.value,
                low=r.gained.low,
                high=r.gained.high,
                estimand=r.estimand,
            ),
        )
        for r in found
        if r is not None
    )


def contest(field: Field, settlement: Settlement) -> Difference | None:
    """Return the difference on which the decision hangs: first rival, or nearest other."""
    other = opponent(field, settlement)
    return field.gain(other, settlement.meanwhile) if other else None


def opponent(field: Field, settlement: Settlement) -> str | None:
    """Return against whom the decision hangs."""
    others = settlement.rivals or tuple(
        sorted(
            (n for n in field.names if n != settlement.meanwhile),
            key=lambda n: -field.accuracies[n].value,
        )
    )
    return others[0] if others else None

"""Every pair of candidates on the rows that both answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from choose.judge.answers import Rows
from choose.judge.fits import compared, paired
from choose.judge.paired import Difference
from choose.judge.panel import ARTEFACT, RETRAINING, Measured, Panel
from choose.judge.record import Interval, Pair
from choose.types import Floats


@dataclass(frozen=True)
class Pairs:
    """Differences between candidates of one panel, each computed once."""

    panel: Panel
    known: dict[tuple[str, str], Difference | None] = field(default_factory=dict)

    def difference(self, a: str, b: str) -> Difference | None:
        """Return accuracy of a minus b, or None where they share no row."""
        if (a, b) not in self.known:
            found = self._difference(self.panel[a], self.panel[b], self.panel.rows)
            self.known[a, b] = found
            self.known[b, a] = found.turned() if found else None
        return self.known[a, b]

    def weighed(self, a: str, b: str, rows: Rows) -> Difference | None:
        """Return the same with other weights of the rows."""
        return self._difference(self.panel[a], self.panel[b], rows)

    def _difference(self, a: Measured, b: Measured, rows: Rows) -> Difference | None:
        if a.main is None or b.main is None:
            return None
        x, y = _side_by_side(a, b)
        return paired(x, y, rows, compared(a).alone + compared(b).alone)


def _side_by_side(a: Measured, b: Measured) -> tuple[Floats, Floats]:
    assert a.main is not None
    assert b.main is not None
    if 1 in (len(a.main.draws), len(b.main.draws)):
        return a.main.right, b.main.right
    common = sorted({*a.main.draws} & {*b.main.draws})
    # On drawn pools both sides learn from the same rows in a repetition, so that luck is shared.
    if a.drawn and len(common) > 1:
        return a.main.of_draws(common), b.main.of_draws(common)
    draws = sorted({*a.main.draws, *b.main.draws})
    return a.main.spread(draws), b.main.spread(draws)


def record_of(a: str, b: str, found: Difference, drawn: bool) -> Pair:
    """Return a difference as it stands in the decision record, undeclared."""
    repeated = "a new pool" if drawn else RETRAINING
    estimand = repeated if max(found.repetitions) > 1 else ARTEFACT
    return Pair(
        a=a,
        b=b,
        p=found.p,
        p_holm=None,
        method=found.method,
        rows=found.rows,
        declared=False,
        difference=Interval(value=found.value, low=found.low, high=found.high, estimand=estimand),
    )

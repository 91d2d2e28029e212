"""How something limited, seconds or dollars, is shared so that all are asked as many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from choose.run.asking import AT_LEAST, CHUNK

# Whoever can be asked all rows for this part of what is shared, after its fit, is: against cheap
# candidates, which all rows were asked of, every row counts.
LITTLE = 0.05


class Need(NamedTuple):
    """What a first pass takes: for its fit, for each row, and how many rows it has."""

    fit: float
    each: float
    rows: int

    def reaches(self, amount: float) -> float:
        """Return how many rows an amount suffices for, after the fit."""
        return (amount - self.fit) / self.each if self.each > 0 else self.rows


def shares(needs: Mapping[str, Need | None], amount: float) -> dict[str, float]:
    """Return shares of an amount so that all can be asked the same number of their rows.

    Those to whom all their rows take little are asked all of them. Those whose need is not
    known get an even share. Where not even 25 rows would be left to ask, whoever takes most waits
    for what the others leave, and so on; the last one gets it all.
    """
    even = dict.fromkeys(needs, amount / max(1, len(needs)))
    known = {name: need for name, need in needs.items() if need is not None}
    rest = amount - sum(even[name] for name in needs if name not in known)
    for name, need in known.items():
        if need.each * need.rows <= LITTLE * amount:
            known[name] = Need(need.fit + need.each * need.rows, 0.0, need.rows)
    within = sorted(known, key=lambda n: known[n].fit + AT_LEAST * known[n].each)
    while len(within) > 1 and _asked([known[n] for n in within], rest) < CHUNK:
        within.pop()
    asked = _asked([known[n] for n in within], rest)
    shared = {n: known[n].fit + known[n].each * min(known[n].rows, asked) for n in within}
    last = max(0.0, rest - sum(shared.values()))
    return even | dict.fromkeys(known, last) | shared


def _asked(needs: Sequence[Need], amount: float) -> float:
    """Return r so that fits, and asking all the smaller of r and their rows, take an amount."""
    left, asked = amount - sum(need.fit for need in needs), 0.0
    ends = sorted({need.rows for need in needs})
    for end in ends:
        going = sum(need.each for need in needs if need.rows >= end)
        if going <= 0:
            asked = end
            continue
        more = min(end - asked, left / going)
        if more <= 0:
            break
        asked, left = asked + more, left - more * going
    return inf if ends and asked >= ends[-1] else asked

"""How the rows are shared out among the labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from choose.data.findings import FEW
from choose.types import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCount:
    """The rows of one label."""

    label: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The labels, the most common first, and how uneven they are.

    Attributes:
        counts: rows of each label.
        majority: the share of the most common one, which is what answering it always gets.
        effective: the number of equally common labels with the same entropy.
        few: labels with fewer than five rows.
    """

    counts: tuple[LabelCount, ...]
    majority: float
    effective: float
    few: tuple[str, ...]


def balance_of(rows: Sequence[Example]) -> Balance:
    """Count the labels of the rows."""
    counts = sorted(Counter(e.target for e in rows).items(), key=lambda c: (-c[1], c[0]))
    shares = [n / len(rows) for _, n in counts]
    return Balance(
        counts=tuple(LabelCount(label=label, rows=n) for label, n in counts),
        majority=shares[0],
        effective=exp(-sum(share * log(share) for share in shares)),
        few=tuple(label for label, n in counts if n < FEW),
    )

"""Test whether labels and texts change between the first and the last third of dated rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from choose.data.findings import FEW
from choose.data.scenarios import MIN_DATED, MIN_ROWS, moment_of
from choose.judge.stats.intervals import wilson
from choose.schema.base import Interval
from choose.schema.check import MixChange, TextChange
from choose.types import Example

_PERMUTATIONS = 2_000


@dataclass(frozen=True, slots=True)
class Periods:
    """Rows of the first and of the last third; every early row is older than every late one.

    `appeared` and `vanished` are labels, or fields of records, with five rows or more in one third
    and none in the other.
    """

    early: list[Example]
    late: list[Example]
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]


def _label(row: Example) -> tuple[str, ...]:
    return (row.target,)


def periods_of(
    rows: Collection[Example], names: Callable[[Example], Iterable[str]] = _label
) -> Periods | None:
    """Return the first and the last third; None where dates are too few or too coarse.

    `names` gives the label of a row, or the fields of its record.
    """
    dated = sorted((e for e in rows if e.timestamp is not None), key=moment_of)
    if len(dated) < max(MIN_DATED * len(rows), 3 * MIN_ROWS):
        return None
    size = len(dated) // 3
    last, first = moment_of(dated[size])[0], moment_of(dated[-size - 1])[0]
    early = [e for e in dated[: size + 1] if moment_of(e)[0] < last]
    late = [e for e in dated[-size - 1 :] if moment_of(e)[0] > first]
    if min(len(early), len(late)) < MIN_ROWS:
        return None
    return Periods(early, late, _only_in(late, early, names), _only_in(early, late, names))


def _only_in(
    rows: list[Example], others: list[Example], names: Callable[[Example], Iterable[str]]
) -> tuple[str, ...]:
    known = {name for e in others for name in names(e)}
    counts = Counter(name for e in rows for name in names(e))
    return tuple(sorted(name for name, n in counts.items() if n >= FEW and name not in known))


def label_drift(before: Sequence[str], after: Sequence[str]) -> MixChange:
    """Compare the label mixes of two sets of rows by a seeded permutation test."""
    names, codes = np.unique([*before, *after], return_inverse=True)
    first = np.arange(len(codes)) < len(before)
    rng = np.random.default_rng(0)
    distance = _distance(codes, first, len(names))
    null = np.array(
        [_distance(codes, rng.permutation(first), len(names)) for _ in range(_PERMUTATIONS)]
    )
    p = (1 + int((null >= distance - 1e-12).sum())) / (1 + _PERMUTATIONS)
    return MixChange(distance=distance, expected=float(null.mean()), p=p)


def text_drift(scores: npt.ArrayLike, later: Sequence[bool]) -> TextChange:
    """Return the area under the ROC curve of out-of-fold scores that a row is late.

    The interval is DeLong's (1988), or Wilson's on the smaller set where the scores separate all
    rows, clipped to [0, 1]; `p` is Mann and Whitney's, one-sided, with ties.
    """
    from scipy.stats import rankdata  # takes a second to load

    s, y = np.asarray(scores, dtype=np.float64), np.asarray(later, dtype=np.bool_)
    m, n = int(y.sum()), int((~y).sum())
    ranks = rankdata(s)
    inside, outside = rankdata(s[y]), rankdata(s[~y])
    # For each row, the share of the other set's rows that it is ranked correctly against.
    above = (ranks[y] - inside) / n
    below = 1 - (ranks[~y] - outside) / m
    auc = float(above.mean())
    half = float(ndtri(0.975)) * sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
    # Where the scores separate all rows, their variance is 0 and the interval must stay open.
    low, high = (auc - half, auc + half) if half else wilson(auc * min(m, n), min(m, n))
    _, ties = np.unique(s, return_counts=True)
    total = m + n
    null = m * n / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    p = float(ndtr(-(auc - 0.5) * m * n / sqrt(null))) if null > 0 else 1.0
    return TextChange(
        auc=Interval(
            value=auc,
            low=max(low, 0.0),
            high=min(high, 1.0),
            estimand="other rows of the same two times",
        ),
        p=p,
    )


def _distance(codes: npt.NDArray[np.int64], first: npt.NDArray[np.bool_], labels: int) -> float:
    before = np.bincount(codes[first], minlength=labels) / first.sum()
    after = np.bincount(codes[~first], minlength=labels) / (~first).sum()
    return float(np.abs(before - after).sum() / 2)

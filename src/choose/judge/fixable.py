"""Which share of the errors data fixes, with chance fixes taken out.

Of m errors that are neither format nor the labels' fault, a supervised candidate fixes F. Suppose
it knows K of them and guesses the rest; guesses are right as often as answers dealt from other
rows, C times in m. Then F = K + (1 - K/m) C, so K = m (F - C)/(m - C), as in Cohen's kappa.
Fixes that the subject makes itself when asked again (S of F) may be luck, which leaves
K (1 - S/F); but a subject that errs at random is beaten by one that does not, so the upper end is
that of K. The interval comes from the influence of each row on these figures (the delta method),
with imaginary rows that keep it open where nothing was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from choose.judge.bench import Bench
from choose.judge.crossed import Mask
from choose.judge.frozen import Interval
from choose.judge.intervals import AGRESTI_COULL, two_way_interval
from choose.judge.panel import ARTEFACT
from choose.types import Floats


class Fixable(NamedTuple):
    """What data fixes of the errors, and the gain in accuracy that this would bring.

    `chance` counts fixes that dealt answers would make, `again` is the share of the fixes that the
    subject makes itself when asked again, None where it was not.
    """

    share: Interval
    gain: Interval
    chance: float
    again: float | None


def fixable(
    bench: Bench, open_: Mask, unproved: Mask, clusters: Sequence[str] | None
) -> Fixable | None:
    """Return what the supervised candidate shows that data can fix, or None without one.

    Args:
        bench: the rows and who answered them.
        open_: (n,) errors that are neither format nor the labels' fault.
        unproved: (n,) errors among them that more data might fix though nothing shows it; they
            count in the upper ends alone.
        clusters: rows that hang together.
    """
    if bench.supervised is None or bench.right is None:
        return None
    fixed = open_ & bench.right
    again = np.zeros(len(fixed)) if bench.again is None else bench.again
    chance = _dealt(bench)
    values = _influence(open_, fixed, chance * open_, again * fixed)
    most = _influence(open_, fixed, chance * open_, 0 * again)
    # Fewer fixes than chance makes are no proof that nothing at all can be fixed.
    highs = (most + unproved, unproved.astype(np.float64))
    wrong = np.flatnonzero(bench.wrong)
    names = None if clusters is None else [clusters[i] for i in wrong.tolist()]
    return Fixable(
        share=_between(values[wrong], [high[wrong] for high in highs], names),
        gain=_between(values, highs, clusters),
        chance=float(chance[open_].sum()),
        again=_again(bench, fixed),
    )


def _again(bench: Bench, fixed: Mask) -> float | None:
    if bench.again is None or not fixed.any():
        return None
    return float(bench.again[fixed].mean())


def _dealt(bench: Bench) -> Floats:
    """Return (n,) how often an answer taken from another row would be right."""
    assert bench.supervised is not None
    said = bench.supervised.outputs
    counts = np.bincount(said[said >= 0], minlength=bench.labels)
    others = counts[bench.targets] - (said == bench.targets)
    return np.asarray(others / max(len(said) - 1, 1), dtype=np.float64)


def _influence(open_: Mask, fixed: Mask, chance: Floats, again: Floats) -> Floats:
    """Return (n,) each row's part in K (1 - S/F); they sum to it, since it is of degree one."""
    m, f, c, s = (float(part.sum()) for part in (open_, fixed, chance, again))
    if m - c <= 0:
        return np.zeros(len(open_))
    if f == 0:
        return -m / (m - c) * chance
    left, spare = f - s, m - c
    by_m = -c * (f - c) * left / (f * spare**2)
    by_f = m / spare * (1 - c * s / f**2)
    by_c = m * left * (f - m) / (f * spare**2)
    by_s = -m * (f - c) / (spare * f)
    return by_m * open_ + by_f * fixed + by_c * chance + by_s * again


def _between(low: Floats, highs: Sequence[Floats], clusters: Sequence[str] | None) -> Interval:
    """Return the mean of `low`, from its lower bound to the largest upper bound of `highs`."""
    if not len(low):
        return Interval(value=0.0, low=0.0, high=1.0, estimand=ARTEFACT)
    proved = two_way_interval(low, clusters, pseudo=AGRESTI_COULL)
    ends = [two_way_interval(high, clusters, pseudo=AGRESTI_COULL).high for high in highs]
    value = min(max(proved.value, 0.0), 1.0)
    return Interval(
        value=value,
        low=min(max(proved.low, 0.0), value),
        high=max(min(max(ends), 1.0), value),
        estimand=ARTEFACT,
    )

"""Permutation and bootstrap for metrics that are not means."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from choose.judge.stats.intervals import Estimate
from choose.judge.stats.metrics import Codes
from choose.types import Floats

Metric = Callable[[Codes, Codes], float]


def permutation_test(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    clusters: Sequence[str] | None = None,
    rounds: int = 9999,
    seed: int = 0,
) -> float:
    """Return the two-sided p of the mean difference under swaps of a and b within rows.

    Repetitions are averaged first, so the statement is about these artefacts and not about
    retraining. Rows of a cluster are swapped together. All swaps are enumerated where there are
    no more of them than `rounds`; the p-value is never 0.

    Args:
        a: (n, S) or (n,) scores without gaps.
        b: (n, S) or (n,) scores without gaps.
        clusters: rows that hang together.
        rounds: random swaps.
        seed: of the random swaps.
    """
    gaps: Floats = _row_means(a) - _row_means(b)
    if clusters is not None:
        _, place = np.unique(np.asarray(clusters), return_inverse=True)
        gaps = np.bincount(place, weights=gaps).astype(np.float64)
    gaps = gaps[gaps != 0]
    observed = abs(gaps.sum()) - 1e-9
    if len(gaps) <= 20 and 2 ** len(gaps) <= rounds:
        bits = np.arange(2 ** len(gaps))[:, None] >> np.arange(len(gaps)) & 1
        return float((np.abs((2 * bits - 1) @ gaps) >= observed).mean())
    rng = np.random.default_rng(seed)
    hits = 0
    for start in range(0, rounds, 500):
        signs = rng.choice((-1.0, 1.0), size=(min(500, rounds - start), len(gaps)))
        hits += int((np.abs(signs @ gaps) >= observed).sum())
    return (1 + hits) / (1 + rounds)


def _row_means(scores: npt.ArrayLike) -> Floats:
    y = np.asarray(scores, dtype=np.float64)
    mean: Floats = y if y.ndim == 1 else y.mean(axis=1)
    return mean


def paired_bootstrap(
    targets: Codes, a: Codes, b: Codes, metric: Metric, rounds: int = 1000, seed: int = 0
) -> Estimate:
    """Return the difference of any metric with a percentile interval over resampled rows.

    Rows are drawn together for both sides; each round also draws one repetition a side, so the
    interval is about the next single fit and covers rows and repetitions.

    Args:
        targets: (n,) label codes.
        a: (n, S) output codes.
        b: (n, S) output codes.
        metric: of (targets, outputs), higher is better.
        rounds: resamples.
        seed: of the resamples.
    """
    rng = np.random.default_rng(seed)
    n = len(targets)

    def mean(outputs: Codes) -> float:
        return float(np.mean([metric(targets, column) for column in outputs.T]))

    found = np.empty(rounds)
    for round_ in range(rounds):
        rows = rng.integers(0, n, size=n)
        x, y = (side[rows, rng.integers(0, side.shape[1])] for side in (a, b))
        found[round_] = metric(targets[rows], x) - metric(targets[rows], y)
    low, high = np.quantile(found, (0.025, 0.975))
    return Estimate(value=mean(a) - mean(b), low=float(low), high=float(high))

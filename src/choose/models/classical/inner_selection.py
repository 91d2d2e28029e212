"""Choose a setting of a cheap baseline on its own training rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import strata_of, stratified_sample
from choose.formatting import signed_points
from choose.models.tfidf_logistic import LogisticHead
from choose.types import Counts, Example, Floats, Task

# Values of C, the usual one first, and parts of the rows, each of which is held out in turn.
STRENGTHS, PARTS = (10.0, 1.0, 3.0, 30.0, 100.0), 3

# Rows a label, on average, from which on C is chosen. Below the choice gains nothing.
ROWS_A_LABEL = 10

# Folds of an outer study, draws of the bootstrap, and rows of a pool for a prompt search.
FOLDS, ROUNDS, FEWEST_ROWS = 5, 400, 20

# Keeps the logarithm of a probability finite.
LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a pool on which settings are compared.

    Attributes:
        places: (n,) indices of the rows in the pool, ascending.
        clusters: (n,) numbers; near-duplicates and rows of a group share one.
    """

    places: Counts
    clusters: Counts


def sample_rows(task: Task, examples: Sequence[Example], most: int) -> Sample:
    """Return at most `most` rows of a pool, stratified; no seed decides which."""
    ids = [e.id for e in examples]
    kept = {*stratified_sample(ids, strata_of(task, examples), most, "inner")}
    places = [place for place, id in enumerate(ids) if id in kept]
    rows = [examples[place] for place in places]
    cluster, numbers = clusters_of(rows, index_texts(rows)), dict[str, int]()
    own = [numbers.setdefault(cluster.get(e.id, f"row {e.id}"), len(numbers)) for e in rows]
    return Sample(np.array(places, dtype=np.int64), np.array(own, dtype=np.int64))


def choose_strength(rows: Floats, targets: Sequence[str], clusters: Counts) -> float:
    """Return the C of a logistic regression that gives held-out labels the highest likelihood.

    The usual one stays unless another is better by more than a standard error of the paired
    difference, and where the rows are too few.

    Args:
        rows: (n, d) features.
        targets: (n,) labels.
        clusters: (n,) numbers; rows of one cluster are held out together.
    """
    if len(rows) < ROWS_A_LABEL * len(set(targets)):
        return STRENGTHS[0]
    part, labels = clusters % PARTS, np.array(targets)
    likelihood = np.zeros((len(STRENGTHS), len(rows)))
    for held in (part == number for number in np.unique(part)):
        for setting, C in enumerate(STRENGTHS):
            head = LogisticHead(C)
            head.fit(rows[~held], labels[~held].tolist())
            columns = {label: column for column, label in enumerate(head.seen)}
            own = np.array([columns.get(label, -1) for label in labels[held]])
            found = head.probabilities(rows[held])[np.arange(len(own)), own]
            likelihood[setting, held] = np.log(np.where(own < 0, 0.0, found) + LEAST)
    best = int(likelihood.mean(axis=1).argmax())
    return STRENGTHS[0 if is_level(likelihood[best] - likelihood[0]) else best]


def is_level(gaps: Floats) -> bool:
    """Return whether mean paired differences are at most one standard error above 0.

    The rule of Breiman, Friedman, Olshen and Stone (1984).
    """
    if len(gaps) < 2:
        return bool(gaps.mean() <= 0)
    return bool(gaps.mean() <= gaps.std(ddof=1) / math.sqrt(len(gaps)))


class Gained(NamedTuple):
    """What choosing gains over the usual setting, from -1 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it in points: ``+2.1 points (-1.0 to +5.0)``."""
        low, high = signed_points(self.low), signed_points(self.high)
        return f"{signed_points(self.value)} points ({low} to {high})"


def _with_interval(
    values: Floats, clusters: Counts, within: tuple[float, float], spread: float = 0.0
) -> tuple[float, float, float]:
    """Return the mean of (n,) values and the ends of its 95 % interval by clusters.

    An imaginary row at either end of the range is added (Bonett and Price 2012), so that a few
    equal values are not certain; t has one degree of freedom less than there are clusters.
    `spread` is a standard deviation beside that of the rows.
    """
    lowest, highest = within
    rows, sizes, mean = len(values), np.bincount(clusters), float(values.mean())
    if (count := len(sizes)) < 2:
        return mean, lowest, highest
    center = (float(values.sum()) + lowest + highest) / (rows + 2)
    off = np.bincount(clusters, values) - center * sizes
    imaginary = (lowest - center) ** 2 + (highest - center) ** 2
    error = sqrt(count / (count - 1) * float(off @ off) + imaginary) / (rows + 2)
    half = float(stdtrit(count - 1, 0.975)) * hypot(error, spread)
    return mean, max(lowest, center - half), min(highest, center + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A setting, chosen among several on inner folds.

    Attributes:
        index: its place among the settings.
        settings: how many there were.
        rows: on how many rows they were compared.
        usual: the accuracy of the usual setting.
        best: the highest accuracy of any setting, which is too high.
        value: the accuracy of whatever is chosen so, corrected for the choice.
        low: the lower end of its 95 % interval.
        high: the upper end.
        gain: how much more accurate it is than the usual setting, corrected in the same way.
        gain_low: the lower end of its 95 % interval.
        gain_high: the upper end.
    """

    index: int
    settings: int
    rows: int
    usual: float
    best: float
    value: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float

    @property
    def gained(self) -> Gained:
        """Return the gain with its interval."""
        return Gained(self.gain, self.gain_low, self.gain_high)


def choose_setting(
    right: Floats,
    likelihood: Floats,
    clusters: Counts,
    lead: float = 1.0,
    learnt: float = 1 - 1 / FOLDS,
) -> Choice:
    """Choose among settings by their scores on held-out rows; the first is the usual one.

    The most accurate setting wins, of equals the one with the higher likelihood, but the usual one
    stays unless the winner leads by more than `lead` standard errors of the paired difference.

    Args:
        right: (settings, n) 0 or 1, or scores between.
        likelihood: (settings, n) log-probability of the right label.
        clusters: (n,) numbers of clusters, which the bootstrap draws.
        lead: standard errors.
        learnt: the share of the rows from which a row's answer was learnt, if not from all.
    """
    sizes = np.bincount(clusters).astype(np.float64)
    sums, levels = (
        np.array([np.bincount(clusters, row) for row in some], dtype=np.float64)
        for some in (right, likelihood)
    )
    index = int(_selected(np.ones((1, len(sizes))), sums, levels, sizes, lead)[0])
    drawn = _draws(len(sizes))
    chosen = _selected(drawn, sums, levels, sizes, lead)
    outside = _outside(right, clusters, drawn == 0, chosen)
    # What is chosen on all rows may be better or worse than what the draws choose.
    means = right.mean(axis=1)
    spread = float(np.sqrt(np.mean((means[chosen] - means[index]) ** 2)))
    return Choice(
        index=index,
        settings=len(right),
        rows=right.shape[1],
        usual=float(means[0]),
        best=float(means.max()),
        **_worth(outside, right[0], clusters, spread, learnt),
    )


def _worth(
    outside: Floats, usual: Floats, clusters: Counts, spread: float, learnt: float
) -> dict[str, float]:
    """Return the accuracy of what is chosen and its gain, with their intervals."""
    value, low, high = _between_folds(outside, clusters, (0.0, 1.0), spread)
    # Errors fall with more rows, hardly faster than their root: all rows may answer better.
    high = min(1.0, high + (1 - value) * (1 - sqrt(learnt)))
    gain = _between_folds(outside - usual, clusters, (-1.0, 1.0), spread)
    own = {"value": value, "low": low, "high": high}
    return own | dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))


def _outside(right: Floats, clusters: Counts, left: npt.NDArray[np.bool_], chosen: Any) -> Floats:
    """Return the (n,) mean scores of rows with what is selected by the draws that left them out."""
    shares = np.zeros((len(right), left.shape[1]))
    np.add.at(shares, chosen, left)
    scores: Floats = ((shares / shares.sum(axis=0))[:, clusters] * right).sum(axis=0)
    return scores


def _between_folds(
    values: Floats, clusters: Counts, within: tuple[float, float], spread: float
) -> tuple[float, float, float]:
    """Return a mean with its interval, wider because what answers learnt from the other rows."""
    value, *ends = _with_interval(values, clusters, within, spread)
    # Folds share training rows, so rows are not independent (docs/methods/comparisons.md).
    wider = sqrt(1 + 0.5 * min(1.0, 240 / (len(values) * (1 - 1 / FOLDS))))
    low, high = (value + wider * (end - value) for end in ends)
    return value, max(low, within[0]), min(high, within[1])


def _draws(clusters: int) -> Floats:
    """Return (rounds, clusters) how often each cluster is drawn; no seed decides it."""
    rng = np.random.default_rng(0)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=ROUNDS).astype(float)


def _selected(
    drawn: Floats, sums: Floats, levels: Floats, sizes: Floats, errors: float
) -> npt.NDArray[np.int64]:
    """Return (rounds,) the setting that each weighting of the clusters selects."""
    rows = drawn @ sizes
    means = drawn @ sums.T / rows[:, None]
    # Log-probabilities are negative and far below a row's worth: they only part equals.
    ranks = means + 1e-9 * np.tanh(drawn @ levels.T / rows[:, None] / 10)
    best = ranks.argmax(axis=1)
    gaps = sums - sums[0]

    def of_best(values: Floats) -> Floats:
        found: Floats = np.take_along_axis(values, best[:, None], axis=1)[:, 0]
        return found

    lead = of_best(means - means[:, :1])
    # The variance of a ratio of sums over clusters (the delta method).
    squares, mixed = of_best(drawn @ (gaps**2).T), of_best(drawn @ (gaps * sizes).T)
    variance = squares - 2 * lead * mixed + lead**2 * (drawn @ sizes**2)
    more = len(sizes) / max(1, len(sizes) - 1)
    error = np.sqrt(np.maximum(variance, 0.0) * more) / rows
    return np.where(lead > errors * error * (1 + 1e-9), best, 0)

"""Choose settings by cross-validation inside a training pool, and estimate what was chosen.

The best of many scores on the same rows is too high. So the estimate is that of the bootstrap
bias-corrected cross-validation of Tsamardinos, Greasidou and Borboudakis (2018, Machine Learning
107): rows are drawn with replacement, the setting is selected on them and scored on the rows not
drawn. No model is fitted again for that. Each row has the mean score of what is selected without it
(the leave-one-out bootstrap of Efron and Tibshirani 1997); the interval is that of these scores,
wider by how far apart the settings are that draws select.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import (
    folds_of,
    hold_out,
    strata_of,
    stratified_folds,
    stratified_sample,
)
from choose.formatting import signed_points
from choose.models.classical.label_set_head import Members, members_of
from choose.tasks.multilabel import Multilabel
from choose.types import Counts, Example, Floats, Task

FOLDS = 5

# With fewer rows, one row of an inner fold is worth five points and more.
FEWEST_ROWS = 20

# Draws of the bootstrap.
ROUNDS = 400


@dataclass(frozen=True)
class Folds:
    """Rows of a pool in folds; near-duplicates and rows of one group share a fold.

    Attributes:
        places: (n,) indices of the rows in the pool, ascending.
        fold: (n,) the fold in which each is held out.
        clusters: (n,) the number of each row's cluster.
    """

    places: Counts
    fold: Counts
    clusters: Counts

    @classmethod
    def of(
        cls,
        examples: Sequence[Example],
        parts: Sequence[Sequence[str]],
        clusters: Mapping[str, str],
        **more: Any,
    ) -> Self:
        """Return the folds whose rows have these ids."""
        fold = {id: number for number, part in enumerate(parts) for id in part}
        places = [place for place, e in enumerate(examples) if e.id in fold]
        ids, numbers = [examples[place].id for place in places], dict[str, int]()
        own = [numbers.setdefault(clusters.get(id, f"row {id}"), len(numbers)) for id in ids]
        of_rows = np.array([fold[id] for id in ids])
        return cls(places=np.array(places), fold=of_rows, clusters=np.array(own), **more)


@dataclass(frozen=True)
class InnerFolds(Folds):
    """Folds of rows with one label each.

    Attributes:
        codes: (n,) the index of each row's label in `labels`.
        labels: those that the rows have, sorted.
    """

    codes: Counts
    labels: tuple[str, ...]


@dataclass(frozen=True)
class SetFolds(Folds):
    """Folds of rows with sets of labels.

    Attributes:
        members: (n, labels) which labels each row has.
    """

    members: Members


def inner_folds_of_sets(
    task: Multilabel, examples: Sequence[Example], most: int, count: int
) -> SetFolds | None:
    """Deal at most `most` rows with sets of labels into folds, even in every label.

    None where the pool is too small, as for `inner_folds`.
    """
    chosen = set(
        stratified_sample([e.id for e in examples], strata_of(task, examples), most, "inner")
    )
    rows = [e for e in examples if e.id in chosen]
    clusters = _clusters(rows)
    sets = {clusters.get(e.id, e.id): task.classes(e.target) for e in rows}
    whole = Counter(label for labels in sets.values() for label in labels)
    if len(rows) < FEWEST_ROWS or sum(held > 1 for held in whole.values()) < 2:
        return None
    parts = folds_of(task, rows, clusters, count, seed=0)
    members = members_of(task.choices, [e.target for e in rows])
    return SetFolds.of(examples, parts, clusters, members=members)


def inner_folds(examples: Sequence[Example], most: int, count: int = FOLDS) -> InnerFolds | None:
    """Deal at most `most` rows of a pool into stratified folds; None where it is too small.

    No seed decides the folds, so strategies without one stay so.
    """
    targets = {e.id: e.target for e in examples}
    chosen = stratified_sample([e.id for e in examples], targets, most, "inner")
    place = {e.id: i for i, e in enumerate(examples)}
    clusters = _clusters([examples[place[id]] for id in chosen])
    whole = Counter(targets[id] for id in {clusters.get(id, id): id for id in chosen}.values())
    if len(chosen) < FEWEST_ROWS or sum(rows > 1 for rows in whole.values()) < 2:
        return None
    parts = stratified_folds(chosen, targets, clusters, count, seed=0)
    labels = tuple(sorted({targets[id] for id in chosen}))
    codes = np.array([labels.index(targets[id]) for id in chosen])
    return InnerFolds.of(examples, parts, clusters, codes=codes, labels=labels)


def inner_hold_out(task: Task, examples: Sequence[Example], share: float, seed: int) -> list[int]:
    """Return the indices of about a share of a pool, stratified; empty where it is too small.

    Near-duplicates and rows of one group stay together.
    """
    if len(examples) < FEWEST_ROWS:
        return []
    ids, targets = [e.id for e in examples], strata_of(task, examples)
    held = set(hold_out(ids, targets, _clusters(examples), round(share * len(ids)), seed))
    left = {targets[id] for id in ids if id not in held}
    return [i for i, id in enumerate(ids) if id in held] if len(left) > 1 else []


def _clusters(examples: Sequence[Example]) -> dict[str, str]:
    return clusters_of(examples, index_texts(examples))


class Gained(NamedTuple):
    """What choosing gains over the usual setting, from -1 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it in points: ``+2.1 points (-1.0 to +5.0)``."""
        low, high = signed_points(self.low), signed_points(self.high)
        return f"{signed_points(self.value)} points ({low} to {high})"


def mean_gain(gaps: Floats, clusters: Counts) -> Gained:
    """Return the mean of (n,) paired differences from -1 to 1, with an interval by clusters.

    `clusters` are (n,) numbers from 0 on, each of which occurs; one tells nothing of others.
    """
    return Gained(*_with_interval(gaps, clusters, (-1.0, 1.0)))


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

    def sentence(self, name: str, score: str = "Accuracy") -> str:
        """Return what was chosen, and what the search gained; `name` describes the setting."""
        known = (
            f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}) after the correction for "
            f"choosing, the usual setting {self.usual:.3f}; choosing gained {self.gained}"
        )
        how = f"of {self.settings} settings on {self.rows:,} rows in inner folds"
        if self.index == 0:
            return f"{name}, the usual setting: none {how} was clearly better. {score} {known}."
        return f"{name}, chosen out {how}. {score} there {known}."


TOO_SMALL = (
    "The training rows are too few to choose settings on inner folds (it takes "
    f"{FEWEST_ROWS}, and two labels with two rows each), so the usual settings were used."
)


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

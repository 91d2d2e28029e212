"""Choose settings by cross-validation inside a training pool, and estimate what was chosen.

The best of many scores on the same rows is too high. So the estimate is that of the bootstrap
bias-corrected cross-validation of Tsamardinos, Greasidou and Borboudakis (2018, Machine Learning
107): rows are drawn with replacement, the setting is selected on them and scored on the rows not
drawn. No model is fitted again for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
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

# The interval has this level.
_TAILS = (2.5, 97.5)


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

    An imaginary row for either side is added (Bonett and Price 2012), so that a few equal
    differences are not certain; t has one degree of freedom less than there are clusters. One
    cluster tells nothing of others. `clusters` are (n,) numbers from 0 on, each of which occurs.
    """
    rows, sizes, mean = len(gaps), np.bincount(clusters), float(gaps.mean())
    if (count := len(sizes)) < 2:
        return Gained(mean, -1.0, 1.0)
    center = float(gaps.sum()) / (rows + 2)
    off = np.bincount(clusters, gaps) - center * sizes
    spread = sqrt(count / (count - 1) * float(off @ off) + 2 * (1 + center**2)) / (rows + 2)
    half = float(stdtrit(count - 1, _TAILS[1] / 100)) * spread
    return Gained(mean, max(-1.0, center - half), min(1.0, center + half))


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
    right: Floats, likelihood: Floats, clusters: Counts, seed: int = 0, lead: float = 1.0
) -> Choice:
    """Choose among settings by their scores on held-out rows; the first is the usual one.

    The most accurate setting wins, of equals the one with the higher likelihood, but the usual one
    stays unless the winner leads by more than `lead` standard errors of the paired difference.

    Args:
        right: (settings, n) 0 or 1, or scores between.
        likelihood: (settings, n) log-probability of the right label.
        clusters: (n,) numbers of clusters, which the bootstrap draws.
        seed: of the bootstrap.
        lead: standard errors.
    """
    sizes = np.bincount(clusters).astype(np.float64)
    sums, levels = (
        np.array([np.bincount(clusters, row) for row in some], dtype=np.float64)
        for some in (right, likelihood)
    )
    index = int(_selected(np.ones((1, len(sizes))), sums, levels, sizes, lead)[0])
    outside, gains = _not_drawn(sums, levels, sizes, lead, seed)
    value, low, high = _with_interval(outside, right.shape[1], (0.0, 1.0))
    gain, gain_low, gain_high = _with_interval(gains, right.shape[1], (-1.0, 1.0))
    return Choice(
        index=index,
        settings=len(right),
        rows=right.shape[1],
        usual=float(right[0].mean()),
        best=float(right.mean(axis=1).max()),
        value=value,
        low=low,
        high=high,
        gain=gain,
        gain_low=gain_low,
        gain_high=gain_high,
    )


def _not_drawn(
    sums: Floats, levels: Floats, sizes: Floats, lead: float, seed: int
) -> tuple[Floats, Floats]:
    """Return what is selected scores on rows that a draw left out, and its lead on the usual."""
    drawn = _draws(len(sizes), seed)
    chosen = _selected(drawn, sums, levels, sizes, lead)
    left = (drawn == 0).astype(np.float64)
    rows = left @ sizes
    usable, means = rows > 0, left @ sums.T
    outside = (means[np.arange(len(drawn)), chosen])[usable] / rows[usable]
    gains = outside - means[usable, 0] / rows[usable]
    return outside, gains


def _with_interval(
    drawn: Floats, rows: int, within: tuple[float, float]
) -> tuple[float, float, float]:
    """Return the mean of the bootstrap and the ends of its interval."""
    value = float(drawn.mean())
    # Folds share training rows, so rows are not independent (docs/methods/comparisons.md).
    wider = np.sqrt(1 + 0.5 * min(1.0, 240 / (rows * (1 - 1 / FOLDS))))
    ends = value + wider * (np.percentile(drawn, _TAILS) - value)
    low, high = (float(x) for x in ends.clip(*within))
    return value, low, high


def _draws(clusters: int, seed: int) -> Floats:
    """Return (rounds, clusters) how often each cluster is drawn."""
    rng = np.random.default_rng(seed)
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

"""The truth of a decision, measured on rows that it did not use.

Of eight equal candidates, the best on 300 rows looks 2.3 points better than it is. So one half of
the unseen rows selects the best and the other half measures it, both ways and over many random
halvings: equal candidates then have no regret on average.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from choose.types import Floats
from replay.studies import Occasion, Places

HALVINGS = 16


@dataclass(frozen=True, eq=False)
class Truth:
    """Mean score (accuracy) on each half of the unseen rows, over halvings.

    Attributes:
        names: cheapest first.
        margin: the smallest gain that matters.
        families: of the candidates, in their order; the constant answer has none.
        namer, measurer: (halvings, candidates) accuracy, or mean score, on the half that names the
            best and on the half that measures it.
    """

    names: tuple[str, ...]
    margin: float
    namer: Floats
    measurer: Floats
    families: tuple[str, ...] = ()

    def gap(self, name: str, others: tuple[str, ...] | None = None) -> Floats:
        """Return (halvings,) leads of the best of the others, or of itself.

        Negative values are chance: the best of one half is behind on the other.
        """
        among = [self.names.index(n) for n in self.names if others is None or n in (*others, name)]
        best = np.array(among)[self.namer[:, among].argmax(axis=1)]
        each = np.arange(len(best))
        return np.asarray(self.measurer[each, best] - self.measurer[:, self.names.index(name)])

    def best_but(self, name: str) -> str:
        """Return the best of the others on all unseen rows."""
        others = [other for other in self.names if other != name]
        mean = dict(zip(self.names, self.measurer.mean(axis=0).tolist(), strict=True))
        return max(others, key=lambda other: mean[other])

    def regret(self, name: str) -> float:
        """Return the accuracy given up against the best."""
        return float(self.gap(name).mean())

    def excess(self, name: str) -> float:
        """Return the accuracy given up beyond the margin; noise of the truth raises it."""
        return max(0.0, self.regret(name) - self.margin)

    def strict_excess(self, name: str) -> float:
        """Return the excess with selection and measurement on separate rows.

        One half selects the best and tells whether it leads by more than the margin; the other
        measures the excess. In doubt, the estimate is too low.
        """
        here = self.names.index(name)
        ahead = self.namer.max(axis=1) - self.namer[:, here] > self.margin
        return float(((self.gap(name) - self.margin) * ahead).mean())

    def _family(self, name: str) -> tuple[list[int], list[int]]:
        """Return the places of a candidate's family, and of the members of all others."""
        family = self.families[self.names.index(name)]
        own = [i for i, other in enumerate(self.families) if other == family]
        return own, [i for i, other in enumerate(self.families) if other not in (family, "")]

    def _best(self, among: list[int]) -> Floats:
        """Return (halvings,) accuracy of the best of these, which the other half names."""
        best = np.array(among)[self.namer[:, among].argmax(axis=1)]
        return np.asarray(self.measurer[np.arange(len(best)), best])

    def family_of(self, name: str) -> str:
        """Return the family of a candidate; empty for a constant answer."""
        return self.families[self.names.index(name)]

    def one(self, families: Iterable[str]) -> str | None:
        """Return the family to use of some, cheapest first; None where none beats the floor."""
        places = {f: [i for i, own in enumerate(self.families) if own == f] for f in families}
        best = {f: float(self._best(own).mean()) for f, own in places.items() if own}
        found = next(f for f, value in best.items() if max(best.values()) - value <= self.margin)
        floors = [i for i, own in enumerate(self.families) if not own]
        floor = max((float(self.measurer[:, i].mean()) for i in floors), default=0.0)
        return found if best[found] > floor else None

    def family_excess(self, name: str) -> float:
        """Return by how much more than the margin another family is better, best against best."""
        own, others = self._family(name)
        if not others:
            return 0.0
        ahead = float((self._best(others) - self._best(own)).mean())
        return max(0.0, ahead - self.margin)

    def needless_family(self, name: str) -> bool:
        """Return whether a cheaper member of another family is within the margin of the best."""
        own, others = self._family(name)
        cheaper = [i for i in others if i < self.names.index(name)]
        return bool(cheaper) and bool((self._best(own) - self._best(cheaper)).mean() < self.margin)

    def needless(self, name: str) -> bool:
        """Return whether a cheaper one is within the margin."""
        cheaper = self.names[: self.names.index(name)]
        if not cheaper:
            return False
        among = [self.names.index(other) for other in cheaper]
        rival = np.array(among)[self.namer[:, among].argmax(axis=1)]
        each = np.arange(len(rival))
        ahead = self.measurer[:, self.names.index(name)] - self.measurer[each, rival]
        return bool(ahead.mean() < self.margin)


def truth_of(
    occasion: Occasion, names: tuple[str, ...], margin: float, rng: np.random.Generator
) -> Truth:
    """Measure candidates, cheapest first, on the unseen rows of a decision."""
    count = len(occasion.unseen)
    inside = np.zeros((HALVINGS // 2, count))
    for row in inside:
        row[rng.permutation(count)[: count // 2]] = 1
    halves = np.concatenate([inside, 1 - inside])
    scores, asked = _on(occasion, names)
    kinds = occasion.answered.kinds
    return Truth(
        names=names,
        margin=margin,
        namer=_accuracies(halves, scores, asked),
        measurer=_accuracies(1 - halves, scores, asked),
        families=tuple("" if kinds[name].constant else kinds[name].family for name in names),
    )


def clear(occasion: Occasion, names: tuple[str, ...], margin: float, rows: Places) -> bool:
    """Return whether a family is better than every other one, best against best, on unseen rows.

    Better is ahead by the margin as estimated, and above 0 by a 95 % interval.

    Args:
        occasion: a decision.
        names: its candidates.
        margin: the smallest gain that matters.
        rows: unseen rows in some order; the first ones that all answered count, twice as many as
            the decision had.
    """
    scores, asked = _on(occasion, names)
    rows = rows[asked.all(axis=0)[rows]][: 2 * len(occasion.rows)]
    best: dict[str, Floats] = {}
    for name, own in zip(names, scores[:, rows], strict=True):
        kind = occasion.answered.kinds[name]
        if not kind.constant and own.mean() > best.get(kind.family, np.full(1, -1.0)).mean():
            best[kind.family] = own
    first = max(best, key=lambda family: best[family].mean())
    leads = [best[first] - best[other] for other in best if other != first]
    errors = [1.96 * lead.std(ddof=1) / sqrt(len(rows)) for lead in leads]
    each = zip(leads, errors, strict=True)
    return bool(leads) and all(lead.mean() > max(margin, error) for lead, error in each)


def told_by(occasion: Occasion, a: str, b: str) -> int:
    """Return how many unseen rows both candidates have answered."""
    return int(_on(occasion, (a, b))[1].all(axis=0).sum())


def _accuracies(halves: Floats, scores: Floats, asked: Floats) -> Floats:
    """Return (halvings, candidates) accuracies on all rows of a half.

    Not every candidate has answered every row. Those that answered all rows serve as a control
    variate with coefficient 1: a candidate's accuracy is their accuracy on the half, plus its lead
    over them on the rows it answered. Two candidates are so compared in pairs on their common rows.
    """
    everywhere = asked.all(axis=1)
    control = scores[everywhere].mean(axis=0)
    counts = halves @ asked.T
    ahead = halves @ (asked * (scores - control)).T / counts
    level = halves @ control / halves.sum(axis=1)
    return np.asarray(level[:, None] + ahead)


def _on(occasion: Occasion, names: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Return (candidates, unseen rows) the mean score of each, and whether it answered.

    Of the fits in the study where its pool is fixed; of all stored fits of the size where pools
    were drawn.
    """
    scores, asked = [], []
    for name in names:
        fits = occasion.answered.fitted(name, occasion.size)
        draws = fits if occasion.drawn else occasion.draws[name]
        mean = np.mean([fits[draw].scores[occasion.unseen] for draw in draws], axis=0)
        asked.append((~np.isnan(mean)).astype(float))
        # Rows that were not evaluated have no weight, whatever is there.
        scores.append(np.nan_to_num(mean))
    return np.stack(scores), np.stack(asked)

"""What was true of a decision, by rows that nobody had looked at.

Among candidates that are all the same, the best of eight on 300 rows looks 2.3 points better than
any one of them. So one half of the unseen rows names the best and the other half measures it, both
ways and over many halvings: equal candidates then have no regret on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from choose.types import Floats
from replays.occasions import Occasion

HALVINGS = 16


@dataclass(frozen=True, eq=False)
class Truth:
    """Accuracy on each half of the unseen rows, over halvings.

    Attributes:
        names: cheapest first.
        margin: the smallest gain that matters.
        namer, measurer: (halvings, candidates) accuracy on the half that names the best and on
            the half that measures it.
    """

    names: tuple[str, ...]
    margin: float
    namer: Floats
    measurer: Floats

    def gap(self, name: str, others: tuple[str, ...] | None = None) -> Floats:
        """Return (halvings,) by how much the best of the others, itself among them, is ahead.

        Negative values are luck: what one half named is behind on the other.
        """
        among = [self.names.index(n) for n in self.names if others is None or n in (*others, name)]
        best = np.array(among)[self.namer[:, among].argmax(axis=1)]
        each = np.arange(len(best))
        return np.asarray(self.measurer[each, best] - self.measurer[:, self.names.index(name)])

    def regret(self, name: str) -> float:
        """Return the accuracy given up against the best."""
        return float(self.gap(name).mean())

    def excess(self, name: str) -> float:
        """Return the accuracy given up beyond the margin; the noise of the truth raises it."""
        return max(0.0, self.regret(name) - self.margin)

    def strict_excess(self, name: str) -> float:
        """Return the same with no part of it chosen on the rows that measure it.

        One half names the best and says whether it is ahead by more than the margin, the other
        says by how much more. Where that is in doubt, this errs downwards.
        """
        here = self.names.index(name)
        ahead = self.namer.max(axis=1) - self.namer[:, here] > self.margin
        return float(((self.gap(name) - self.margin) * ahead).mean())

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
    scores = np.stack([unseen_scores(occasion, name) for name in names])
    count = scores.shape[1]
    inside = np.zeros((HALVINGS // 2, count))
    for row in inside:
        row[rng.permutation(count)[: count // 2]] = 1
    halves = np.concatenate([inside, 1 - inside])
    others = 1 - halves
    return Truth(
        names=names,
        margin=margin,
        namer=halves @ scores.T / halves.sum(axis=1, keepdims=True),
        measurer=others @ scores.T / others.sum(axis=1, keepdims=True),
    )


def unseen_scores(occasion: Occasion, name: str) -> Floats:
    """Return (rows,) how often a candidate is right about each unseen row.

    Where the team's pool is all it has, of the very fit it compared; where pools were drawn, of
    all fits of this size that there are.
    """
    fits = occasion.answered.fitted(name, occasion.size)
    draws = fits if occasion.drawn else occasion.draws[name]
    scores = np.stack([fits[draw].right[occasion.unseen] for draw in draws])
    return np.asarray(scores.mean(axis=0), dtype=np.float64)

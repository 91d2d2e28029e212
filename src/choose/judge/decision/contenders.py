"""What choosing a candidate now is expected to cost: select in bag, score out of bag.

Resampling that reselects and scores on the same rows makes the winner's curse worse. Each round
draws rows (clusters) and repetitions with replacement, names the best on what was drawn, and
measures it and everybody else on the rows that were left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from choose.judge.evidence import Rule
from choose.judge.measures.build_scorecard import accuracy
from choose.judge.measures.cost_ranking import Margins, cheapest_first, margins_of
from choose.judge.measures.cost_sheet import CostSheet, cost_sheet
from choose.judge.measures.curve_forecast import Curves
from choose.judge.panel.pairs import Pairs
from choose.judge.panel.score_tables import Measured, Panel, Rows
from choose.judge.stats.paired import Difference
from choose.judge.stats.two_way import row_means
from choose.schema.base import Interval
from choose.types import Floats

ROUNDS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """By candidate: chance of being the best, and accuracy given up against choosing the best.

    Both by resampling; the chance is that of being best on rows left out, which is not sharpened
    by choosing on them, and so errs towards doubt.
    """

    probability_best: dict[str, float]
    expected_regret: dict[str, float]


def outlook(rows: Rows, candidates: Sequence[Measured], seed: int = 0) -> Outlook:
    """Resample the candidates that answered; those that answered fewer rows are put on a level.

    A candidate's mean is taken as its difference to the one with the most rows, on the rows both
    have, plus that one's mean on all its rows. Of several, it is the most accurate one: what is
    right on the same rows as the others tells best whether theirs were easy.
    """
    rng = np.random.default_rng(seed)
    names = [candidate.info.name for candidate in candidates]
    scores, place = _scores(candidates), _places(rows)
    clusters = int(place.max()) + 1
    drawn = _drawn(rng, clusters)
    weights = np.ones(len(place)) if rows.weights is None else rows.weights
    # Single precision: the resampling error is ten thousand times that of the rounding.
    even = rows.clusters is None and rows.weights is None
    spread = drawn if even else drawn[:, place] * weights
    inside = spread.astype(np.float32)
    outside = ((spread == 0) * weights).astype(np.float32)
    usable = (outside @ ~np.isnan(scores[0]).all(axis=1)) > 0
    if not usable.any():
        outside, usable = inside, np.ones(ROUNDS, dtype=np.bool_)
    bag, rest = _means(scores, inside, rng), _means(scores, outside, rng)
    bag, rest = bag[usable], rest[usable]
    best = bag.argmax(axis=1)
    lost = rest[np.arange(len(rest)), best][:, None] - rest
    top = rest == rest.max(axis=1, keepdims=True)
    chance = (top / top.sum(axis=1, keepdims=True)).mean(axis=0)
    regret = np.maximum(np.nanmean(lost, axis=0), 0.0)
    return Outlook(
        probability_best=dict(zip(names, chance.tolist(), strict=True)),
        expected_regret=dict(zip(names, regret.tolist(), strict=True)),
    )


def _drawn(rng: np.random.Generator, clusters: int) -> npt.NDArray[np.int64]:
    """Return (rounds, clusters) how often each is drawn in as many draws as there are clusters.

    Counting draws is several times faster than numpy's multinomial, and the same law.
    """
    picks = rng.integers(0, clusters, size=(ROUNDS, clusters), dtype=np.int32)
    picks += np.arange(ROUNDS, dtype=np.int32)[:, None] * np.int32(clusters)
    return np.bincount(picks.ravel(), minlength=ROUNDS * clusters).reshape(ROUNDS, clusters)


def _scores(candidates: Sequence[Measured]) -> list[Floats]:
    return [c.main.right[:, c.main.whole] for c in candidates if c.main is not None]


def _places(rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if rows.clusters is None:
        return np.arange(len(rows.targets), dtype=np.int64)
    return np.asarray(np.unique(np.asarray(rows.clusters), return_inverse=True)[1], dtype=np.int64)


def _standing(side: Floats) -> tuple[int, float]:
    """Return the rows it answered, and the share of them that are right."""
    return int((~np.isnan(side).any(axis=1)).sum()), float(np.nanmean(side))


def _means(
    scores: Sequence[Floats], weights: npt.NDArray[np.float32], rng: np.random.Generator
) -> Floats:
    """Return (rounds, candidates) means, each over repetitions drawn with replacement."""
    reference = max(scores, key=_standing)
    base = row_means(reference)
    known = ~np.isnan(base)
    start = weights @ np.where(known, base, 0.0).astype(np.float32)
    level = start / np.maximum(weights @ known.astype(np.float32), 1e-12)
    columns = []
    for side in scores:
        picks = (
            rng.multinomial(
                side.shape[1], np.full(side.shape[1], 1 / side.shape[1]), size=len(weights)
            )
            / side.shape[1]
        )
        both = known & ~np.isnan(side).any(axis=1)
        gap = np.where(both[:, None], side - np.where(known, base, 0.0)[:, None], 0.0)
        total = ((weights @ gap.astype(np.float32)) * picks).sum(axis=1)
        columns.append(level + total / np.maximum(weights @ both.astype(np.float32), 1e-12))
    return np.stack(columns, axis=1)


Relation = Literal["better", "equivalent", "worse", "not better", "open"]


def relation(found: Difference | None, margin: float) -> Relation:
    """Say what an interval shows of a against b.

    ``better``: above 0 for certain, and by the margin as estimated. ``equivalent``: within the
    margin for certain. ``worse``: below 0 for certain, and by the margin as estimated. ``not
    better``: whatever it is, a does not gain the margin. ``open``: none of these.
    """
    if found is None:
        return "open"
    if found.low > 0 and found.value >= margin:
        return "better"
    if -margin < found.low and found.high < margin:
        return "equivalent"
    if found.high < 0 and found.value <= -margin:
        return "worse"
    return "not better" if found.high < margin else "open"


@dataclass(frozen=True)
class Field:
    """The candidates that may be recommended, cheapest first, with everything about them."""

    panel: Panel
    costs: Mapping[str, CostSheet]
    margins: Margins
    pairs: Pairs
    order: tuple[Measured, ...]
    accuracies: dict[str, Interval]

    @property
    def rule(self) -> Rule:
        """Return what the study states, with the margin between candidates that cost alike."""
        return self.margins.rule

    @cached_property
    def outlook(self) -> Outlook:
        """Return the chances and regrets of the candidates."""
        return outlook(self.panel.rows, self.order)

    @cached_property
    def curves(self) -> Curves:
        """Return the learning curves beyond the data."""
        return Curves(self.panel, self.rule)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names, cheapest first."""
        return tuple(candidate.info.name for candidate in self.order)

    def gain(self, a: str, b: str) -> Difference | None:
        """Return accuracy of a minus accuracy of b."""
        return self.pairs.difference(a, b)

    def relation(self, a: str, b: str) -> Relation:
        """Say what is shown of a against b."""
        return relation(self.gain(a, b), self.margin(a, b))

    def margin(self, a: str, b: str) -> float:
        """Return the smallest gain of the dearer over the cheaper that matters."""
        return self.margins.between(a, b)

    def cheaper(self, name: str) -> tuple[str, ...]:
        """Return the candidates that cost less."""
        return self.names[: self.names.index(name)]

    def dearer(self, name: str) -> tuple[str, ...]:
        """Return the candidates that cost more."""
        return self.names[self.names.index(name) + 1 :]

    def family(self, name: str) -> str:
        """Return a candidate's family."""
        return self.panel[name].info.family

    @property
    def leader(self) -> str:
        """Return the candidate with the highest measured accuracy, the cheaper of equals."""
        return max(self.names, key=lambda name: self.accuracies[name].value)


def field_of(panel: Panel, rule: Rule) -> Field:
    """Gather the candidates that can be recommended.

    One with a failed trial in the main cell cannot be: its users would meet that failure. Where
    every candidate failed somewhere, those that answered anything are taken.
    """
    sound = [c for c in panel.scored if not c.failures] or list(panel.scored)
    costs = {c.info.name: cost_sheet(c, rule) for c in panel.candidates}
    margins = margins_of({c.info.name: costs[c.info.name] for c in sound}, rule)
    order = cheapest_first(sound, costs, rule, totals=bool(margins.costs))
    found = {c.info.name: interval for c in order if (interval := accuracy(c)) is not None}
    return Field(panel, costs, margins, Pairs(panel), tuple(order), found)


def best_of(field: Field, families: Sequence[str]) -> str | None:
    """Return the candidate of these families with the highest measured accuracy."""
    among = [name for name in field.names if field.family(name) in families]
    return max(among, key=lambda name: field.accuracies[name].value, default=None)

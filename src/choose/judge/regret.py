"""What choosing a candidate now is expected to cost: select in bag, score out of bag.

Resampling that reselects and scores on the same rows makes the winner's curse worse. Each round
draws rows (clusters) and repetitions with replacement, names the best on what was drawn, and
measures it and everybody else on the rows that were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from choose.judge.answers import Rows
from choose.judge.crossed import row_means
from choose.judge.panel import Measured
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

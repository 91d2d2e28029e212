"""The best candidate of one family against the best of another, and the declared pairs.

The declared pairs are the comparisons of the families that were measured, six at most, and the two
members of one family that the verdict names beside each other. They are adjusted by Holm. All
other pairs are exploratory and their p-values are not adjusted.

Choosing representatives on the rows on which they are compared favours the family with more
members. So the estimate is cross-fitted: for each fifth of the rows, each family is represented by
its best candidate on the other fifths. That estimate is unbiased, but its plain interval is too
narrow where members tie (simulated ties were called different in 12 % of studies), so the interval
is simultaneous instead. The best of a beats the true best of b by at least the margin by which any
single member of a beats all of b. A lower bound is therefore the largest over a of the smallest
over b of their lower bounds, each at the level divided by the members of a that may be the best.

The regret of choosing a candidate now is resampled: select in bag, score out of bag. Selecting and
scoring on the same rows would make the winner's curse worse. Each round draws rows (clusters) and
repetitions with replacement, selects the best on them, and scores every candidate on the rows not
drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from choose.judge.scores.out_of_fold import random_parts
from choose.judge.scores.paired_comparison import Pairs, pair_record
from choose.judge.scores.score_tables import CandidateScores, StudyScores
from choose.judge.scores.scored_rows import ScoredRows
from choose.judge.stats.paired import Difference, holm
from choose.judge.stats.two_way import row_means
from choose.schema.decision import Pair
from choose.types import Floats

PARTS = 5

# A member behind the best of its family at this p-value does not count as a possible best.
BEHIND = 0.001


@dataclass(frozen=True, slots=True)
class FamilyComparison:
    """The best of one family (a) against the best of another (b).

    `chosen` tells whether a side had more than one possible best; the difference is then not that
    of the two named candidates, which are the best on all rows.
    """

    a: str
    b: str
    difference: Difference
    chosen: bool

    def reversed(self) -> FamilyComparison:
        """Return the comparison of b with a."""
        return FamilyComparison(self.b, self.a, self.difference.negated(), self.chosen)


def compare_families(
    pairs: Pairs, a: Sequence[CandidateScores], b: Sequence[CandidateScores]
) -> FamilyComparison | None:
    """Compare two families, or return None where one has no member that answered."""
    sides = [{m.info.name: row_means(m.main.right) for m in side if m.main} for side in (a, b)]
    if not all(sides):
        return None
    first, second = most_accurate(pairs, a), most_accurate(pairs, b)
    difference = pairs.difference(first, second)
    alive = [
        _possible_best(pairs, side, best) for side, best in zip(sides, (first, second), strict=True)
    ]
    if difference is None or max(len(side) for side in alive) == 1:
        return FamilyComparison(first, second, difference, False) if difference else None
    low, up = _bound(pairs, *alive)
    minus_high, down = _bound(pairs, *reversed(alive))
    value = _cross_fitted(pairs.panel, sides[0]) - _cross_fitted(pairs.panel, sides[1])
    known = ~np.isnan(value)
    gap = difference.value
    if known.any():
        rows = pairs.panel.rows
        gap = float(np.average(value[known], weights=rows.weights_of(known)))
        difference = replace(difference, rows=int(known.sum()), row_set=rows.row_set(known))
    difference = replace(
        difference,
        value=gap,
        low=min(low, gap),
        high=max(-minus_high, gap),
        p=min(1.0, 2 * min(up, down)),
    )
    return FamilyComparison(first, second, difference, True)


def _possible_best(pairs: Pairs, side: dict[str, Floats], best: str) -> list[str]:
    """Return the members that may be the best of their family."""
    behind = {
        name
        for name in side
        if name != best
        and (difference := pairs.difference(best, name))
        and difference.value > 0
        and difference.p < BEHIND
    }
    return [name for name in side if name not in behind]


def _bound(pairs: Pairs, a: list[str], b: list[str]) -> tuple[float, float]:
    """Return a lower bound of best a minus best b, and the one-sided p of best a above best b."""
    level = 1 - 0.05 / len(a)
    lows, ps = [], []
    for name in a:
        differences = [d for other in b if (d := pairs.difference(name, other))]
        lows.append(min((d.bounds(level)[0] for d in differences), default=-1.0))
        ps.append(max((d.p / 2 if d.value > 0 else 1 - d.p / 2 for d in differences), default=1.0))
    return max(lows), min(1.0, len(a) * min(ps))


def _cross_fitted(panel: StudyScores, members: dict[str, Floats]) -> Floats:
    """Return (rows,) scores of a family, each row by the member that is best on other parts."""
    parts = random_parts(len(panel.rows.targets), panel.rows.clusters, PARTS)
    scores = np.stack(list(members.values()))
    even = np.ones(len(parts)) if panel.rows.weights is None else panel.rows.weights
    known = ~np.isnan(scores) * even
    elsewhere = (parts[:, None] != np.arange(PARTS)).astype(np.float64)
    count = known @ elsewhere
    mean = (np.nan_to_num(scores) * known) @ elsewhere / np.maximum(count, 1e-12)
    best = np.where(count > 0, mean, -1.0).argmax(axis=0)
    chosen: Floats = scores[best[parts], np.arange(len(parts))]
    return chosen


def most_accurate(pairs: Pairs, side: Sequence[CandidateScores]) -> str:
    """Return the most accurate member, each against the one with most rows on common rows."""
    members = [m for m in side if m.main]
    widest = max(members, key=lambda m: int(m.main.complete.sum()) if m.main else 0).info.name

    def lead(member: CandidateScores) -> float:
        name = member.info.name
        if name == widest:
            return 0.0
        difference = pairs.difference(name, widest)
        return difference.value if difference else -1.0

    return max(members, key=lead).info.name


def pair_records(
    pairs: Pairs, matches: Sequence[FamilyComparison], within: tuple[str, str] | None = None
) -> tuple[Pair, ...]:
    """Return the declared pairs, then every other pair of candidates that answered.

    Args:
        pairs: differences between candidates.
        matches: the comparisons of families.
        within: two members of one family that the verdict names beside each other.
    """
    if within is not None and (difference := pairs.difference(*within)):
        matches = [*matches, FamilyComparison(*within, difference, False)]
    declared = tuple(
        _declared(pairs, match, p)
        for match, p in zip(matches, holm([m.difference.p for m in matches]), strict=True)
    )
    shown = {frozenset((m.a, m.b)) for m in matches if not m.chosen}
    names = [candidate.info.name for candidate in pairs.panel.scored]
    others = tuple(
        pair_record(a, b, difference, pairs.panel[a].drawn)
        for a, b in combinations(names, 2)
        if frozenset((a, b)) not in shown and (difference := pairs.difference(a, b))
    )
    return declared + others


def _declared(pairs: Pairs, match: FamilyComparison, p_holm: float) -> Pair:
    record = pair_record(match.a, match.b, match.difference, pairs.panel[match.a].drawn)
    method = f"{record.method}, best member of each family" if match.chosen else record.method
    facts = {"declared": True, "selected": match.chosen, "p_holm": p_holm, "method": method}
    return record.model_copy(update=facts)


ROUNDS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """By candidate: chance of being the best, and accuracy given up against choosing the best.

    The chance is that of being best on out-of-bag rows. The selection did not use them, so the
    chance errs towards doubt.
    """

    probability_best: dict[str, float]
    expected_regret: dict[str, float]


def outlook(rows: ScoredRows, candidates: Sequence[CandidateScores], seed: int = 0) -> Outlook:
    """Resample rows and repetitions; correct the means of candidates that answered fewer rows.

    The mean of a candidate is its difference to a reference on common rows plus the mean of the
    reference on all rows. The reference has the most rows, and of several such the best accuracy.
    """
    rng = np.random.default_rng(seed)
    names = [candidate.info.name for candidate in candidates]
    scores, place = _scores(candidates), _places(rows)
    clusters = int(place.max()) + 1
    counts = _draw_counts(rng, clusters)
    weights = np.ones(len(place)) if rows.weights is None else rows.weights
    # Single precision: the resampling error is ten thousand times that of the rounding.
    even = rows.clusters is None and rows.weights is None
    by_row = counts if even else counts[:, place] * weights
    drawn = by_row.astype(np.float32)
    left_out = ((by_row == 0) * weights).astype(np.float32)
    usable = (left_out @ ~np.isnan(scores[0]).all(axis=1)) > 0
    if not usable.any():
        left_out, usable = drawn, np.ones(ROUNDS, dtype=np.bool_)
    in_bag, out_of_bag = _means(scores, drawn, rng), _means(scores, left_out, rng)
    in_bag, out_of_bag = in_bag[usable], out_of_bag[usable]
    best = in_bag.argmax(axis=1)
    shortfall = out_of_bag[np.arange(len(out_of_bag)), best][:, None] - out_of_bag
    top = out_of_bag == out_of_bag.max(axis=1, keepdims=True)
    chance = (top / top.sum(axis=1, keepdims=True)).mean(axis=0)
    regret = np.maximum(np.nanmean(shortfall, axis=0), 0.0)
    return Outlook(
        probability_best=dict(zip(names, chance.tolist(), strict=True)),
        expected_regret=dict(zip(names, regret.tolist(), strict=True)),
    )


def _draw_counts(rng: np.random.Generator, clusters: int) -> npt.NDArray[np.int64]:
    """Return (rounds, clusters) how often each cluster is drawn, as many draws as clusters.

    Counting draws has the distribution of numpy's multinomial and is several times faster.
    """
    picks = rng.integers(0, clusters, size=(ROUNDS, clusters), dtype=np.int32)
    picks += np.arange(ROUNDS, dtype=np.int32)[:, None] * np.int32(clusters)
    return np.bincount(picks.ravel(), minlength=ROUNDS * clusters).reshape(ROUNDS, clusters)


def _scores(candidates: Sequence[CandidateScores]) -> list[Floats]:
    return [c.main.right[:, c.main.whole] for c in candidates if c.main is not None]


def _places(rows: ScoredRows) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if rows.clusters is None:
        return np.arange(len(rows.targets), dtype=np.int64)
    return np.asarray(np.unique(np.asarray(rows.clusters), return_inverse=True)[1], dtype=np.int64)


def _standing(side: Floats) -> tuple[int, float]:
    """Return the number of answered rows, and the share of them that are right."""
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

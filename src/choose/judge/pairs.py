"""Every pair of candidates on the rows that both answered, and the pairs declared beforehand.

The declared family is fixed before any study: the representatives of baseline, prompting,
retrieval and fine-tuning, six pairs, adjusted by Holm. A representative is the family's best
candidate on the *other* four fifths of the rows, fifth by fifth, so no candidate is chosen on a row
on which it is then compared; choosing on the same rows would favour families with more members.
All other pairs are exploratory and their p-values are not adjusted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from choose.judge.crossed import Mask, answered, row_means
from choose.judge.intervals import holm
from choose.judge.paired import Difference, paired_difference
from choose.judge.panel import ARTEFACT, RETRAINING, Measured, Panel
from choose.judge.record import Interval, Pair
from choose.types import FAMILIES, Floats

PARTS = 5

# Standard deviation of accuracy between fits that is assumed of a candidate that was fitted once
# though its answers depend on a seed or a draw.
ASSUMED_SD = 0.03


@dataclass(frozen=True)
class Pairs:
    """Differences between candidates of one panel, each computed once."""

    panel: Panel
    known: dict[tuple[str, str], Difference | None] = field(default_factory=dict)

    def difference(self, a: str, b: str) -> Difference | None:
        """Return accuracy of a minus b, or None where they share no row."""
        if (a, b) not in self.known:
            found = self._difference(self.panel[a], self.panel[b])
            self.known[a, b] = found
            self.known[b, a] = found.turned() if found else None
        return self.known[a, b]

    def _difference(self, a: Measured, b: Measured) -> Difference | None:
        if a.main is None or b.main is None:
            return None
        x, y = _side_by_side(a, b)
        if not (answered(x) & answered(y)).any():
            return None
        assumed = ASSUMED_SD**2 * sum(c.repeats and c.repetitions < 2 for c in (a, b))
        rows = self.panel.rows
        return paired_difference(x, y, rows.clusters, rows.weights, assumed)

    def records(self, members: tuple[Measured, ...]) -> tuple[Pair, ...]:
        """Return the declared pairs, then every other pair of candidates that answered."""
        declared = declared_pairs(self, members)
        shown = {frozenset((pair.a, pair.b)) for pair in declared if "chosen" not in pair.method}
        names = [candidate.info.name for candidate in self.panel.scored]
        others = tuple(
            _record(a, b, found, self.panel[a].drawn)
            for a, b in combinations(names, 2)
            if frozenset((a, b)) not in shown and (found := self.difference(a, b))
        )
        return declared + others


def _side_by_side(a: Measured, b: Measured) -> tuple[Floats, Floats]:
    assert a.main is not None
    assert b.main is not None
    if 1 in (len(a.main.draws), len(b.main.draws)):
        return a.main.right, b.main.right
    common = sorted({*a.main.draws} & {*b.main.draws})
    # On drawn pools both sides learn from the same rows in a repetition, so that luck is shared.
    if a.drawn and len(common) > 1:
        return a.main.of_draws(common), b.main.of_draws(common)
    draws = sorted({*a.main.draws, *b.main.draws})
    return a.main.spread(draws), b.main.spread(draws)


def _record(a: str, b: str, found: Difference, drawn: bool) -> Pair:
    repeated = "a new pool" if drawn else RETRAINING
    estimand = repeated if max(found.repetitions) > 1 else ARTEFACT
    return Pair(
        a=a, b=b, p=found.p, p_holm=None, method=found.method, rows=found.rows, declared=False,
        difference=Interval(value=found.value, low=found.low, high=found.high, estimand=estimand),
    )


@dataclass(frozen=True)
class Representative:
    """A family's best candidate, chosen for each fifth of the rows on the other fifths.

    `name` is the best on all rows; `picks` counts how often each candidate stood for the family;
    `scores` are (rows, repetitions).
    """

    name: str
    picks: Counter[str]
    scores: Floats
    assumed: bool

    @property
    def mixed(self) -> bool:
        """Return whether more than one candidate stands for the family."""
        return len(self.picks) > 1


def representative(panel: Panel, members: list[Measured]) -> Representative | None:
    """Choose out of bag among the members that answered; None if none did."""
    members = [member for member in members if member.main is not None]
    if not members:
        return None
    means = {m.info.name: row_means(m.main.right) for m in members if m.main is not None}
    parts = _parts(panel)
    picks = [_best(means, parts != part) for part in range(PARTS)]
    chosen = [panel[name] for name in dict.fromkeys(picks)]
    matrices = _same_width(chosen)
    scores = np.full_like(matrices[picks[0]], np.nan)
    for part, name in enumerate(picks):
        scores[parts == part] = matrices[name][parts == part]
    return Representative(
        name=_best(means, np.ones(len(parts), dtype=np.bool_)), picks=Counter(picks),
        scores=scores, assumed=any(c.repeats and c.repetitions < 2 for c in chosen),
    )


def _parts(panel: Panel) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Deal rows, or whole clusters, into parts; depends on the rows alone."""
    n = len(panel.rows.targets)
    names = np.arange(n).astype(str) if panel.rows.clusters is None else panel.rows.clusters
    clusters, place = np.unique(np.asarray(names), return_inverse=True)
    dealt = np.random.default_rng(len(clusters)).permutation(len(clusters)) % PARTS
    return np.asarray(dealt[place], dtype=np.int64)


def _best(means: dict[str, Floats], rows: Mask) -> str:
    """Return the name with the highest mean over these rows; the first of equals."""
    found = {name: mean[rows] for name, mean in means.items()}
    score = {name: float(np.nanmean(part)) if not np.isnan(part).all() else -1.0
             for name, part in found.items()}
    return max(score, key=lambda name: score[name])


def _same_width(chosen: list[Measured]) -> dict[str, Floats]:
    """Return the whole repetitions of each, as many as the one that repeats least has."""
    wholes = {c.info.name: c.main.right[:, c.main.whole] for c in chosen if c.main is not None}
    repeated = [w.shape[1] for w in wholes.values() if w.shape[1] > 1]
    width = min(repeated, default=1)
    return {name: whole[:, :width] if whole.shape[1] > 1 else np.repeat(whole, width, axis=1)
            for name, whole in wholes.items()}


def declared_pairs(pairs: Pairs, members: tuple[Measured, ...]) -> tuple[Pair, ...]:
    """Return the pairs of family representatives with Holm's adjustment."""
    found = []
    for first, second in combinations(FAMILIES, 2):
        sides = [representative(pairs.panel, [m for m in members if m.info.family == family])
                 for family in (second, first)]
        if (pair := _declared(pairs, sides[0], sides[1])) is not None:
            found.append(pair)
    adjusted = holm([pair.p for pair in found if pair.p is not None])
    return tuple(pair.model_copy(update={"p_holm": p, "declared": True})
                 for pair, p in zip(found, adjusted, strict=True))


def _declared(
    pairs: Pairs, a: Representative | None, b: Representative | None
) -> Pair | None:
    if a is None or b is None:
        return None
    drawn = pairs.panel[a.name].drawn
    if not a.mixed and not b.mixed:
        found = pairs.difference(a.name, b.name)
        return _record(a.name, b.name, found, drawn) if found else None
    found = compare(pairs.panel, a, b)
    if found is None:
        return None
    record = _record(a.name, b.name, found, drawn)
    return record.model_copy(update={"method": f"{found.method}, chosen out of bag"})


def compare(panel: Panel, a: Representative, b: Representative) -> Difference | None:
    """Return the difference of two representatives, each chosen on other rows."""
    if not (answered(a.scores) & answered(b.scores)).any():
        return None
    assumed = ASSUMED_SD**2 * (a.assumed + b.assumed)
    return paired_difference(a.scores, b.scores, panel.rows.clusters, panel.rows.weights, assumed)

"""The best candidate of one family against the best of another, and the declared pairs.

The declared pairs are the comparisons of the families that were measured, six at most, and the two
members of one family that the verdict names beside each other. They are adjusted by Holm. All
other pairs are exploratory and their p-values are not adjusted. That the best of a family was
chosen on these rows widens no interval: the chance of a family counts it (`decision.chance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from choose.judge.scores.paired_comparison import Pairs, pair_record
from choose.judge.scores.score_tables import CandidateScores
from choose.judge.stats.paired import Difference, holm
from choose.schema.decision import Pair


class FamilyComparison(NamedTuple):
    """The best of one family (a) minus the best of another (b), on the rows both answered."""

    a: str
    b: str
    difference: Difference


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


def pair_records(pairs: Pairs, declared: Sequence[FamilyComparison]) -> tuple[Pair, ...]:
    """Return the declared pairs, then every other pair of candidates that answered."""
    drawn = {c.info.name: c.drawn for c in pairs.panel.candidates}
    adjusted = holm([match.difference.p for match in declared])
    first = tuple(
        pair_record(a, b, difference, drawn[a]).model_copy(update={"declared": True, "p_holm": p})
        for (a, b, difference), p in zip(declared, adjusted, strict=True)
    )
    shown = {frozenset((match.a, match.b)) for match in declared}
    names = [candidate.info.name for candidate in pairs.panel.scored]
    others = tuple(
        pair_record(a, b, difference, drawn[a])
        for a, b in combinations(names, 2)
        if frozenset((a, b)) not in shown and (difference := pairs.difference(a, b))
    )
    return first + others

"""Every candidate against the chosen one, the families, and the comparisons of the record."""

from __future__ import annotations

from itertools import combinations

from choose.judge.decision.contenders import Contenders
from choose.judge.decision.rule import Case
from choose.judge.measures.scorecard import accuracy
from choose.judge.measures.text_metrics import EQUAL
from choose.judge.scores.paired_comparison import (
    common_pool,
    interval_of,
    side_at,
)
from choose.judge.scores.score_tables import RETRAINING, CandidateScores
from choose.schema.base import Interval
from choose.schema.decision import Pair
from choose.schema.standings import FamilyResult, Standing
from choose.stats.paired import holm
from choose.stats.two_way import row_means
from choose.types import Family


def families_of(case: Case) -> tuple[FamilyResult, ...]:
    """Return every family of the question: the named one first, then by their lead over it."""
    known, best = case.contenders.families, case.contenders.named

    def behind(family: Family) -> tuple[bool, float]:
        gain = case.contenders.gain(best[family], case.name)
        return best[family] != case.name, -gain.value if gain else 1.0

    order = sorted(known, key=behind)
    measured = [FamilyResult(family=f, best=best[f], members=known[f]) for f in order]
    missing = [FamilyResult(family=family) for family in case.missing if family not in known]
    return (*measured, *missing)


def standings_of(contenders: Contenders, chosen: str) -> tuple[Standing, ...]:
    """Return a standing for each candidate, ranked by its difference to the chosen one.

    Candidates that share no row with the chosen one come last, then those beyond a limit.
    """
    standings = [_standing(contenders, c, chosen) for c in contenders.panel.candidates]
    return tuple(sorted(standings, key=_rank))


def _rank(standing: Standing) -> tuple[bool, bool, float]:
    if standing.chosen:
        return False, False, 0.0
    gap = standing.difference
    return bool(standing.beyond), gap is None, -gap.value if gap else 0.0


def _standing(contenders: Contenders, candidate: CandidateScores, chosen: str) -> Standing:
    name, cost = candidate.info.name, contenders.costs[candidate.info.name].record
    pair = contenders.gain(name, chosen) if name != chosen and candidate.main else None
    rows = int(candidate.main.complete.sum()) if candidate.main else 0
    return Standing(
        candidate=name,
        family=candidate.info.family,
        title=candidate.info.title,
        chosen=name == chosen,
        accuracy=accuracy(candidate),
        difference=Interval.of(pair) if pair else None,
        compared=pair.scores if pair else None,
        common=rows if name == chosen else pair.rows if pair else 0,
        rows=rows,
        ms_per_answer=cost.ms_per_item,
        usd_per_1k=cost.usd_per_1k,
        beyond=contenders.beyond.get(name, ()),
        **_rows_won(contenders.panel[chosen], candidate),
    )


def _rows_won(chosen: CandidateScores, other: CandidateScores) -> dict[str, int]:
    """Return on how many common rows another scores higher and lower, where both learned alike."""
    if other is chosen or (pool := common_pool(other, chosen)) is None:
        return {}
    theirs, own = side_at(other, pool).table, side_at(chosen, pool).table
    ahead = row_means(theirs.right) - row_means(own.right)
    return {"won": int((ahead > EQUAL).sum()), "lost": int((ahead < -EQUAL).sum())}


def pairs_of(case: Case) -> tuple[Pair, ...]:
    """Return the declared comparisons, then that of every other pair of candidates.

    Declared are those of the families that were measured, by their members to use, six at most,
    and that of the named member with the nearest other one. Holm's correction is over these; other
    pairs are exploratory. That a member was chosen on these rows widens no interval: the chance of
    a family counts it (`decision.chance`).
    """
    contenders, named = case.contenders, case.contenders.named
    between = [(named[b], named[a]) for a, b in combinations(contenders.families, 2)]
    wanted = [*between, *((near, case.name) for near in case.selection.near[:1])]
    declared = {pair: gain.p for pair in wanted if (gain := contenders.gain(*pair))}
    adjusted = dict(zip(declared, holm([*declared.values()]), strict=True))
    scored = [c.info.name for c in contenders.panel.scored]
    known = {frozenset(pair) for pair in declared}
    others = [pair for pair in combinations(scored, 2) if frozenset(pair) not in known]
    return tuple(
        Pair(
            a=a,
            b=b,
            p=gain.p,
            p_holm=adjusted.get((a, b)),
            method=gain.method,
            rows=gain.rows,
            difference=interval_of(gain, "new-pools" if contenders.panel[a].drawn else RETRAINING),
        )
        for a, b in (*declared, *others)
        if (gain := contenders.gain(a, b))
    )

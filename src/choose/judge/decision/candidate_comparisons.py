"""Every candidate against the named one, families, comparisons, and what a month costs."""

from itertools import combinations
from typing import Any

from choose.judge.decision.candidates import Candidates
from choose.judge.decision.rule import Case
from choose.judge.evidence import CandidateInfo, Evidence
from choose.judge.measures.costs import breakeven, label_usd
from choose.judge.measures.scorecard import common_rows, scorecard, text_figures
from choose.judge.scores.paired_comparison import common_pool, estimate_of, side_at, side_by_side
from choose.judge.scores.score_tables import RETRAINING, WHOLE, CandidateScores
from choose.schema.candidate_scorecard import Payback, Scorecard
from choose.schema.decision import FamilyResult, Pair
from choose.stats.paired import aligned, holm
from choose.types import Family


def families_of(case: Case) -> tuple[FamilyResult, ...]:
    """Return every family of the question: the named one first, then by their chances.

    Those of equal chances, in percent, and all where none is usable come by their lead over it.
    """
    known, best = case.candidates.families, case.candidates.best
    chances = case.chances.families if case.chances.usable else {}

    def behind(family: Family) -> tuple[bool, float, float]:
        gain, chance = case.candidates.gain(best[family], case.named), chances.get(family, 0.0)
        return best[family] != case.named, -round(chance, 2), -gain.value if gain else 1.0

    missing = [FamilyResult(family=family) for family in case.missing if family not in known]
    return (*[_result(case, family) for family in sorted(known, key=behind)], *missing)


def _result(case: Case, family: Family) -> FamilyResult:
    members, best = case.candidates.families[family], case.candidates.best[family]
    own = {n: p for n, p in case.chances.candidates.items() if case.candidates.family(n) == family}
    whole = sum(own.values())
    return FamilyResult(
        family=family,
        best=best,
        members=members,
        shares={name: own[name] / whole for name in members} if whole else {},
        usable=best in case.chances.able,
    )


def cards_of(evidence: Evidence, candidates: Candidates, named: str) -> tuple[Scorecard, ...]:
    """Return the card of every candidate, ranked by its difference to the named one.

    Candidates that share no row with the named one come last, then those beyond a limit.
    """
    common = common_rows(candidates.scores.candidates)

    def made(one: CandidateScores) -> Scorecard:
        more = {"text": text_figures(evidence, one), **_against(candidates, one, named)}
        return scorecard(one, candidates.costs[one.info.name], common).model_copy(update=more)

    return tuple(sorted(map(made, candidates.scores.candidates), key=_rank))


def _rank(card: Scorecard) -> tuple[bool, bool, float]:
    if card.chosen:
        return False, False, 0.0
    gap = card.difference
    return bool(card.beyond), gap is None, -gap.value if gap else 0.0


def _against(candidates: Candidates, candidate: CandidateScores, named: str) -> dict[str, Any]:
    name = candidate.info.name
    pair = candidates.gain(name, named) if name != named and candidate.main else None
    rows = int(candidate.main.complete.sum()) if candidate.main else 0
    return {
        "chosen": name == named,
        "difference": pair.estimate() if pair else None,
        "compared": pair.scores if pair else None,
        "common": rows if name == named else pair.rows if pair else 0,
        "beyond": candidates.beyond.get(name, ()),
        **(_rows_won(candidates.scores[named], candidate) if pair else {}),
    }


def _rows_won(named: CandidateScores, other: CandidateScores) -> dict[str, int]:
    """Return what another wins and loses on common rows, where both learned alike, in rows.

    These are sums of how far the mean scores of a row are apart, over its runs: after one run each,
    of right and wrong answers, they are counts. Won minus lost, of all common rows, is the
    difference of the two to half a row, so that rows have the weights of the metric.
    """
    if (pool := common_pool(other, named)) is None:
        return {}
    theirs, own = side_at(other, pool).table, side_at(named, pool).table
    x, y, common, _ = aligned(*side_by_side(theirs, own, pool != WHOLE))
    ahead, weights = x.mean(axis=1) - y.mean(axis=1), own.rows.weights_of(common)
    if weights is not None:
        ahead *= weights / weights.mean()
    won = round(float(ahead.clip(0.0).sum()))
    return {"won": won, "lost": won - round(float(ahead.sum()))}


def pairs_of(case: Case) -> tuple[Pair, ...]:
    """Return the declared comparisons, then that of every other pair of candidates.

    Declared are those of the families that were measured, by their members to use, six at most,
    and that of the named member with the nearest other one. Holm's correction is over these; other
    pairs are exploratory. That a member was chosen on these rows widens no interval: the chance of
    a family counts it (`decision.chance`).
    """
    candidates, named = case.candidates, case.candidates.best
    between = [(named[b], named[a]) for a, b in combinations(candidates.families, 2)]
    wanted = [*between, *((near, case.named) for near in case.near[:1])]
    declared = {pair: gain.p for pair in wanted if (gain := candidates.gain(*pair))}
    adjusted = dict(zip(declared, holm([*declared.values()]), strict=True))
    scored = [c.info.name for c in candidates.scores.scored]
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
            difference=estimate_of(gain, "new-pools" if candidates.scores[a].drawn else RETRAINING),
            breakeven=breakeven(candidates.costs[a], candidates.costs[b]),
        )
        for a, b in (*declared, *others)
        if (gain := candidates.gain(a, b))
    )


def payback_of(candidates: Candidates, named: str) -> Payback | None:
    """Return what a month costs by an API and on this machine; None unless both were measured.

    The candidate to use, `named`, represents its side.
    """
    infos = [candidates.scores[name].info for name in candidates.names]
    learning = [i for i in infos if i.learns and not (_bought(i) or i.given or i.floor)]
    sides = [[i.name for i in side] for side in (filter(_bought, infos), learning)]
    if not all(sides):
        return None
    api, own = (
        named if named in side else max(side, key=candidates.levels.__getitem__) for side in sides
    )
    rule, labels = candidates.rule, candidates.scores[own].pool
    volume, prices = rule.volume, [candidates.costs[n].usd_per_1k for n in (api, own)]
    usd = [None if p is None or volume is None else volume * p / 1000 for p in prices]
    price, months = label_usd(labels, rule), None
    if usd[0] is not None and usd[1] is not None and price is not None and usd[0] > usd[1]:
        months = price / (usd[0] - usd[1])
    return Payback(
        api=api,
        own=own,
        api_usd=usd[0],
        own_usd=usd[1],
        labels=labels,
        labels_usd=price,
        months=months,
        lost=lost.estimate() if (lost := candidates.gain(api, own)) else None,
    )


def _bought(info: CandidateInfo) -> bool:
    """Return whether each answer of a candidate is paid for to somebody else."""
    return info.remote or (info.given and info.usd_per_1k is not None)

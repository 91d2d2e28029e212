"""Every family against the chosen one, and every candidate against the chosen candidate."""

from __future__ import annotations

from choose.judge.decision.contenders import Contenders, Relation
from choose.judge.decision.rule import Case, family_relation
from choose.judge.measures.build_scorecard import accuracy
from choose.judge.measures.text_figures import beside_the_choice
from choose.judge.scores.paired_comparison import interval_of
from choose.judge.scores.score_tables import CandidateScores
from choose.schema.answer import FamilyResult, FamilyStatus, Standing
from choose.schema.base import Interval
from choose.types import FAMILIES, Family

_SHOWN: dict[Relation, FamilyStatus] = {
    "better": "ahead",
    "worse": "behind",
    "equivalent": "equivalent",
    "not better": "no gain",
    "open": "open",
}


def families_of(case: Case) -> tuple[FamilyResult, ...]:
    """Return every family of the question: the chosen one first, then the measured ones.

    Where the constant answer is used, no family is the chosen one, and none has a difference.
    """
    contenders = case.contenders
    reads = case.name not in contenders.constants
    measured = [f for f in contenders.families if not (reads and f == case.family)]
    missing = [f for f in FAMILIES if f not in contenders.families]
    results = [_family(case, family, reads) for family in measured]
    results.sort(key=lambda r: -r.difference.value if r.difference else 1.0)
    chosen = [_result(case, case.family, case.name, "chosen")] if reads else []
    return (*chosen, *results, *(FamilyResult(family=family) for family in missing))


def _family(case: Case, family: Family, reads: bool) -> FamilyResult:
    contenders = case.contenders
    result = _result(case, family, contenders.named[family], "open")
    match = contenders.versus(family, case.family) if reads else None
    if match is None:
        return result
    shown = family_relation(contenders, family, case.family)
    status = "behind" if match.difference.high < 0 else _SHOWN[shown]
    return result.model_copy(
        update={
            "best": match.a,
            "difference": interval_of(match.difference),
            "rows": match.difference.rows,
            "status": status,
        }
    )


def _result(case: Case, family: Family, best: str, status: FamilyStatus) -> FamilyResult:
    members = case.contenders.families[family]
    return FamilyResult(family=family, best=best, members=members, status=status)


def standings_of(contenders: Contenders, chosen: str) -> tuple[Standing, ...]:
    """Return a standing for each candidate, ranked by its difference to the chosen one.

    Candidates that share no row with the chosen one come last.
    """
    standings = [_standing(contenders, c, chosen) for c in contenders.panel.candidates]
    return tuple(sorted(standings, key=_rank))


def _rank(standing: Standing) -> tuple[bool, float]:
    if standing.chosen:
        return False, 0.0
    difference = standing.difference
    return difference is None, -difference.value if difference else 0.0


def _standing(contenders: Contenders, candidate: CandidateScores, chosen: str) -> Standing:
    name, cost = candidate.info.name, contenders.costs[candidate.info.name].record
    pair = contenders.gain(name, chosen) if name != chosen and candidate.main else None
    rows = int(candidate.main.complete.sum()) if candidate.main else 0
    beside = beside_the_choice(contenders.panel[chosen], candidate) if name != chosen else {}
    return Standing(
        candidate=name,
        family=candidate.info.family,
        title=candidate.info.title,
        chosen=name == chosen,
        accuracy=accuracy(candidate),
        difference=Interval.of(pair) if pair else None,
        common=rows if name == chosen else pair.rows if pair else 0,
        rows=rows,
        ms_per_answer=cost.ms_per_item,
        usd_per_1k=cost.usd_per_1k,
        **beside,
    )

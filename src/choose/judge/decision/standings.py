"""Every candidate against the chosen one, on the rows that both answered."""

from __future__ import annotations

from choose.judge.decision.contenders import Contenders
from choose.judge.measures.build_scorecard import accuracy
from choose.judge.scores.score_tables import CandidateScores
from choose.schema.answer import Standing
from choose.schema.base import Interval


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
    )

"""Candidates as a report orders, names and marks them: standings, titles, rows, contenders."""

from __future__ import annotations

from collections.abc import Iterable

from choose.formatting import DASH, clean, short_model
from choose.report.decision_text import chosen, ranked
from choose.schema.answer import Standing
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard

# Points behind the chosen candidate from which on a candidate is no contender: it is an arrow at
# the edge of the chart.
BEHIND = 15.0


def standings_of(decision: Decision) -> tuple[Standing, ...]:
    """Return the standings of a record; for records of earlier versions from its pairs."""
    known = {card.candidate for card in decision.scorecards}
    if stored := tuple(s for s in decision.standings if s.candidate in known):
        return stored
    pick = chosen(decision.verdict)
    pairs = {(p.a, p.b): p for p in decision.pairs}
    found = []
    for card in ranked(decision):
        name = card.candidate
        pair, back = pairs.get((name, pick)), pairs.get((pick, name))
        gap = pair.difference if pair else back and negated(back.difference)
        common = card.rows if name == pick else (pair or back).rows if pair or back else 0  # type: ignore[union-attr]
        found.append(
            Standing(
                candidate=name,
                family=card.family,
                chosen=name == pick,
                accuracy=card.accuracy,
                difference=gap or None,
                common=common,
                rows=card.rows,
                ms_per_answer=card.cost.ms_per_item,
                usd_per_1k=card.cost.usd_per_1k,
            )
        )
    return tuple(sorted(found, key=_rank))


def negated(interval: Interval) -> Interval:
    """Return a difference the other way round."""
    low = None if interval.high is None else -interval.high
    high = None if interval.low is None else -interval.low
    return Interval(value=-interval.value, low=low, high=high, estimand=interval.estimand)


def _rank(standing: Standing) -> tuple[bool, float]:
    if standing.chosen:
        return False, 0.0
    gap = standing.difference
    return gap is None, -gap.value if gap else 0.0


def titles(decision: Decision) -> dict[str, str]:
    """Return the readable name of each candidate: ``words + logistic regression (tfidf)``."""
    stored = {s.candidate: clean(s.title) for s in decision.standings}
    found = {}
    for card in decision.scorecards:
        name, title = clean(card.candidate), stored.get(card.candidate, "")
        if not title and card.model:
            title = short_model(card.model)
        found[card.candidate] = f"{title} ({name})" if title and title != name else name
    return found


def contending(decision: Decision) -> list[str]:
    """Return the chosen candidate and those less than `BEHIND` points behind it, the best first.

    If none is that close, the closest one stands in.
    """
    placed = [s for s in standings_of(decision) if s.chosen or s.difference is not None]
    near = [s.candidate for s in placed if s.chosen or points_ahead(s) > -BEHIND]
    return near if len(near) > 1 else [s.candidate for s in placed[:2]]


def points_ahead(standing: Standing) -> float:
    """Return the points by which a candidate is ahead of the chosen one, 0 for that one."""
    return 100 * standing.difference.value if standing.difference else 0.0


def fewer_rows(decision: Decision, card: Scorecard) -> str:
    """Return ``121 of 602``, the test rows of a candidate that answered fewer than others."""
    most = max((c.rows for c in decision.scorecards), default=0)
    return f"{card.rows:,} of {most:,}" if 0 < card.rows < most else ""


def marked(decision: Decision, card: Scorecard) -> str:
    """Return a candidate's name, with the rows that it answered if they are fewer than others'."""
    few = fewer_rows(decision, card)
    return f"{clean(card.candidate)} ({few})" if few else clean(card.candidate)


def of_rows(estimate: Interval, decision: Decision) -> str:
    """Return the number of rows behind a figure: ``602``, or ``121 of 602`` if it is not all."""
    if estimate.row_set is None:
        return DASH
    count, total = int(estimate.row_set.partition(":")[0]), decision.dataset.test_rows
    return f"{count:,} of {total:,}" if count < total else f"{count:,}"


def with_rows(decision: Decision, text: str, row_set: str | None, beside: Iterable[str]) -> str:
    """Add ``(121 of 602)`` to a figure of other rows than most of those beside it."""
    sets = list(beside)
    if row_set is None or not sets or row_set == max(sets, key=lambda s: (sets.count(s), s)):
        return text
    return f"{text} ({row_set.partition(':')[0]} of {decision.dataset.test_rows:,})"

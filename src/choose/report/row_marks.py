"""Marks of figures that are of other test rows than the figures beside them."""

from __future__ import annotations

from collections.abc import Iterable

from choose.formatting import DASH, clean
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard


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

"""Marks of figures that are of other test rows than the figures beside them."""

from __future__ import annotations

from collections.abc import Iterable

from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard


def fewer_rows(decision: Decision, card: Scorecard) -> str:
    """Return ``121 of 602``, the test rows of a candidate that answered fewer than others."""
    most = max((c.rows for c in decision.scorecards), default=0)
    return f"{card.rows:,} of {most:,}" if 0 < card.rows < most else ""


def with_rows(decision: Decision, text: str, row_set: str | None, beside: Iterable[str]) -> str:
    """Add ``(121 of 602)`` to a figure of other rows than most of those beside it."""
    sets = list(beside)
    if row_set is None or not sets or row_set == max(sets, key=lambda s: (sets.count(s), s)):
        return text
    return f"{text} ({row_set.partition(':')[0]} of {decision.dataset.test_rows:,})"

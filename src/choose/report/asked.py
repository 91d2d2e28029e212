"""What a reader must know where candidates were asked different rows."""

from __future__ import annotations

from choose.judge.record import Decision

WARNING = (
    "Candidates were asked different numbers of rows, and some rows are harder: compare "
    "them by their differences below, which are taken on common rows."
)


def uneven(decision: Decision) -> bool:
    """Return whether candidates that were measured were asked different numbers of rows."""
    return len({card.rows for card in decision.scorecards if card.accuracy}) > 1

"""Sentences of the audit that are the same for every set."""

from __future__ import annotations

from choose.judge.reach import ASSUMPTION

DIVISIONS = {
    "cross-fit": "compare asks each row once, by a fit that never saw it",
    "held-out": "compare learns from one part and asks another",
}

LIMITS = (
    f"Gains assume {ASSUMPTION}. No label was changed and no row left out: only a person can tell "
    "a wrong label from a hard row. Languages are guessed from scripts and small words; names and "
    "postal addresses have no pattern and were not looked for."
)

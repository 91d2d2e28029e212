"""Texts that stand under more than one label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from choose.types import Example


def torn(rows: Sequence[Example]) -> list[list[Example]]:
    """Return the rows of each text that has several labels, case and spaces set aside."""
    by_text: dict[str, list[Example]] = {}
    for example in rows:
        by_text.setdefault(" ".join(example.text.casefold().split()), []).append(example)
    return [same for same in by_text.values() if len({e.target for e in same}) > 1]


def lost(found: Sequence[Sequence[Example]]) -> int:
    """Return how many rows even the best answer to each such text gets wrong."""
    return sum(len(same) - max(Counter(e.target for e in same).values()) for same in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflicts:
    """Texts with several labels, their rows, and the rows that nobody can answer right."""

    texts: int
    rows: int
    lost: int


def counted(found: Sequence[Sequence[Example]]) -> Conflicts:
    """Count what `torn` found."""
    return Conflicts(texts=len(found), rows=sum(map(len, found)), lost=lost(found))

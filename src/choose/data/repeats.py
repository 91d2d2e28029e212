"""Rows that repeat a text: to the letter, but for case and punctuation, or nearly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from choose.data.duplicates import Twins
from choose.types import Example

Likeness = Literal["exact", "normalised", "near"]


class Repeat(NamedTuple):
    """A row, how alike its nearest twin is, and the first such twin."""

    id: str
    likeness: Likeness
    of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """How many rows repeat another row; a row counts once, under the closest likeness.

    Attributes:
        exact: the text is another row's to the letter.
        normalised: the words are, case, spaces and punctuation set aside.
        near: the cosine of the words, weighted by rarity, is at least 0.9.
        chain: the most rows that hang together, each nearly the same as some other of them.
    """

    exact: int
    normalised: int
    near: int
    chain: int

    @property
    def all(self) -> int:
        """Return the rows of any likeness."""
        return self.exact + self.normalised + self.near


def repeats_within(rows: Sequence[Example], twins: Twins) -> list[Repeat]:
    """Return the rows that repeat another of these rows, in their order; the first one too."""
    return _repeats(rows, rows, twins)


def repeats_across(asked: Sequence[Example], pool: Sequence[Example], twins: Twins) -> list[Repeat]:
    """Return the rows that are asked although a row to learn from is the same or nearly so."""
    return _repeats(asked, pool, twins)


def counted(found: Sequence[Repeat], chain: int) -> Repeats:
    """Count repeats by likeness."""
    by = Counter(repeat.likeness for repeat in found)
    return Repeats(exact=by["exact"], normalised=by["normalised"], near=by["near"], chain=chain)


def _repeats(asked: Sequence[Example], others: Sequence[Example], twins: Twins) -> list[Repeat]:
    by_letter: dict[str, list[str]] = defaultdict(list)
    by_words: dict[int, list[str]] = defaultdict(list)
    for e in others:
        by_letter[e.text].append(e.id)
        by_words[twins.text_of[e.id]].append(e.id)
    near: dict[int, list[int]] = defaultdict(list)
    for a, b in twins.pairs.tolist():
        near[a].append(b)
        near[b].append(a)
    found = []
    for e in asked:
        words = twins.text_of[e.id]
        steps: tuple[tuple[Likeness, list[str]], ...] = (
            ("exact", by_letter.get(e.text, [])),
            ("normalised", by_words.get(words, [])),
            ("near", [id for text in near.get(words, ()) for id in by_words.get(text, ())[:1]]),
        )
        for likeness, ids in steps:
            if twin := next((id for id in ids if id != e.id), None):
                found.append(Repeat(e.id, likeness, twin))
                break
    return found

"""The passages that hold the answer to a question, and what else is retrieved for it."""

from __future__ import annotations

from collections.abc import Sequence

from choose.corpus import AMONG_OTHERS, GOLD, NOTHING, WORDS, Corpus, Passage
from choose.models.retrieval.shared_indexes import passage_index
from choose.tasks.values import stands
from choose.types import Example, Item

# Passages that are retrieved to find the one with the evidence among them, and other passages.
SEARCHED = 50

# Passages that a control gives at most; a strategy reads as many of them as it retrieves.
GIVEN = 10


def gold_passage(row: Example, corpus: Corpus, words: int = WORDS) -> Passage | None:
    """Return the passage with a row's evidence; None where there is none.

    Of several it is the one nearest to the question, by BM25, in which an accepted answer stands.
    """
    return _ranked(row, corpus, words)[0]


def other_passages(row: Example, corpus: Corpus, words: int = WORDS) -> list[Passage]:
    """Return the passages retrieved for a row that hold none of its evidence, best first."""
    return _ranked(row, corpus, words)[1]


def given(
    condition: str, rows: Sequence[Example], corpus: Corpus, words: int = WORDS
) -> list[Item]:
    """Return the rows with evidence as items, with what a control gives them to read.

    Passages have at most `words` words, as those that the candidate retrieves.
    """
    items = []
    for row in rows:
        gold, others = _ranked(row, corpus, words)
        if gold is None:
            continue
        among = (gold, *others[: GIVEN - 1])
        passages = {NOTHING: (), GOLD: (gold,), AMONG_OTHERS: among}[condition]
        items.append(Item(id=row.id, text=row.text, fields=row.fields, passages=passages))
    return items


def _ranked(row: Example, corpus: Corpus, words: int) -> tuple[Passage | None, list[Passage]]:
    [hits] = passage_index(corpus, "bm25", words, "").search([row.text], SEARCHED)
    nearest = [hit.passage for hit in hits]
    holding = corpus.overlapping(row.evidence, words)
    ids = {passage.id for passage in holding}
    gold = [passage for passage in nearest if passage.id in ids] or holding
    exact = [passage for passage in gold if stands(row.targets, passage.text)]
    others = [passage for passage in nearest if passage.id not in ids]
    return next(iter(exact or gold), None), others

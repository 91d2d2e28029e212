"""What strategies that read share: passages for each question, and these as a field of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from choose.corpus import WORDS, Corpus, Passage
from choose.errors import StrategyError
from choose.models.retrieval.controls import gold_passage
from choose.models.retrieval.shared_indexes import (
    WAYS,
    Way,
    check_way,
    passage_index,
    shared_index,
)
from choose.models.saving import corpus_facts, corpus_from
from choose.models.weights.resolve import weights_digest
from choose.tasks.answering import READ, corpus_of
from choose.types import Example, Item, Task

# Labelled rows on which a retriever is chosen.
CHOSEN_ON = 200

NO_DOCUMENTS = "there are no documents to read (--documents)."


def no_documents(task: Task) -> str | None:
    """Return why a strategy that reads documents cannot answer a task, or None."""
    answering = getattr(task, "documents", "")
    return None if answering else NO_DOCUMENTS


def encoder_digest(retriever: str, encoder: str) -> str:
    """Return the digest of the encoder's weights; empty for a retriever that needs none."""
    return "" if retriever == WAYS[0] else weights_digest(encoder)


def prepare_retriever(retriever: str, encoder: str) -> None:
    """Load the encoder and the index library where the retriever needs them."""
    if retriever != WAYS[0]:
        from choose.models.embeddings import load_retriever

        load_retriever(encoder)


@dataclass(slots=True)
class Library:
    """The documents of a task with one way to find passages in them.

    Attributes:
        corpus: the documents.
        way: the retriever.
        words: most words of a passage.
        encoder: the model that embeds passages, if the retriever does.
        cached_seconds: what indexing and searches had taken where they were cached.
    """

    corpus: Corpus
    way: Way
    words: int
    encoder: str
    cached_seconds: float = 0.0

    def search(self, items: Sequence[Item], k: int) -> list[list[Passage]]:
        """Return what each item reads, best first: k passages, or what a control gives it."""
        open_ = [item for item in items if item.passages is None]
        index = passage_index(self.corpus, self.way, self.words, self.encoder)
        questions = [item.text for item in open_]
        self.cached_seconds += index.cached_seconds(questions)
        hits = iter(index.search(questions, k))
        return [
            [hit.passage for hit in next(hits)] if item.passages is None else [*item.passages[:k]]
            for item in items
        ]

    def reread(self, corpus: Corpus) -> tuple[Library, float]:
        """Return the same retriever over other documents, and the seconds of indexing them."""
        start = perf_counter()
        shared = shared_index(corpus, self.way, self.words, self.encoder)
        seconds = perf_counter() - start + shared.cached_seconds
        return replace(self, corpus=corpus), seconds

    def facts(self) -> dict[str, Any]:
        """Return the documents and the retriever as plain values."""
        return {"way": self.way, "documents": corpus_facts(self.corpus)}


def library_from(facts: Mapping[str, Any], words: int, encoder: str) -> Library:
    """Return the library that `Library.facts` described.

    Raises:
        ValueError: if the facts are not those of a library.
    """
    if facts["way"] not in WAYS:
        raise ValueError(f"there is no retriever {str(facts['way'])[:80]!r}")
    return Library(corpus_from(facts["documents"]), facts["way"], words, encoder)


def library_for(
    task: Task, examples: Sequence[Example], way: str, words: int = WORDS, encoder: str = ""
) -> Library:
    """Return the documents of a task with a retriever; ``auto`` chooses one on labelled rows.

    It is the one that ranks evidence of the rows best (mean reciprocal rank); of equals the first.

    Raises:
        StrategyError: if the task has no documents, or there is no such retriever.
    """
    corpus = corpus_of(task)
    if corpus is None:
        raise StrategyError(f"A strategy that reads cannot be fitted: {NO_DOCUMENTS}")
    if way != "auto":
        check_way(way)
    libraries = [
        Library(
            corpus, one, words, encoder, shared_index(corpus, one, words, encoder).cached_seconds
        )
        for one in WAYS
        if way in ("auto", one)
    ]
    rows = [row for row in examples if row.evidence][:CHOSEN_ON]
    if len(libraries) == 1 or not rows:
        return libraries[-1]
    best = max(libraries, key=lambda library: round(_reciprocal_rank(library, rows), 9))
    # The others were tried too; both indexes are parts of the hybrid one.
    best.cached_seconds = max(library.cached_seconds for library in libraries)
    return best


def _reciprocal_rank(library: Library, rows: Sequence[Example]) -> float:
    found = library.search([row.item() for row in rows], 10)
    ranks = [
        next(
            (
                1 / place
                for place, passage in enumerate(passages, 1)
                if any(passage.span.overlaps(span) for span in row.evidence)
            ),
            0.0,
        )
        for row, passages in zip(rows, found, strict=True)
    ]
    return sum(ranks) / len(ranks)


def with_passages(row: Item, passages: Sequence[Passage]) -> Item:
    """Return an item that has what it reads in the field `READ`, before the question."""
    text = "\n".join(passage.shown for passage in passages)
    fields = {READ: text, **row.fields} if passages else {**row.fields}
    return Item(id=row.id, text=row.text, fields=fields)


def example_with(row: Example, passages: Sequence[Passage]) -> Example:
    """Return a labelled row that has what it reads in the field `READ`."""
    return replace(row, fields=with_passages(row.item(), passages).fields, evidence=())


def shown_example(row: Example, library: Library) -> Example:
    """Return a labelled row with the passage that holds its answer, as a demonstration."""
    gold = gold_passage(row, library.corpus, library.words)
    return example_with(row, [gold] if gold is not None else [])

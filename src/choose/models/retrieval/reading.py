"""What strategies that read documents share: prompts with passages, and how many fit."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from choose.corpus import Corpus, Passage
from choose.engines.weights.resolve import weights_digest
from choose.formatting import plural
from choose.models.retrieval.passage_search import (
    NO_DOCUMENTS,
    WAYS,
    Library,
    gold_passage,
    load_retriever,
)
from choose.tasks.answering import READ
from choose.types import Example, Item, Task


def in_order(rows: Sequence[Example]) -> list[Example]:
    """Return rows in an order of their ids, so that overlapping pools begin with the same rows."""
    return sorted(rows, key=lambda r: hashlib.sha256(r.id.encode("utf-8", "replace")).digest())


class Read(NamedTuple):
    """Items that hold what they read, and the ids of these passages for each."""

    items: list[Item]
    evidence: tuple[tuple[str, ...], ...]


@runtime_checkable
class Measures(Protocol):
    """What lays out prompts, and so knows how many tokens passages may have."""

    def room(self, item: Item) -> int:
        """Return how many tokens of passages the model can read beside a question."""

    def tokens(self, text: str) -> int:
        """Return how many tokens a text has."""

    def beginning(self, text: str, limit: int) -> str:
        """Return the beginning of a text that has at most so many tokens."""


class ReadsDocuments:
    """The base, before another one, of strategies whose model reads passages of documents.

    A subclass has the hyperparameters declared here, and in `fit` sets `library`.
    """

    reads: ClassVar[bool] = True

    encoder: str
    retriever: str
    library: Library

    # Rows whose prompt has no room for all passages that were found.
    _short: set[str]

    def passages(self) -> tuple[int, int]:
        raise NotImplementedError

    def _measure(self) -> Measures | None:
        """Return what measures a prompt; None where the room for passages is unknown."""
        return None

    def refuses(self, task: Task) -> str | None:
        return NO_DOCUMENTS if not getattr(task, "documents", "") else None

    def weights(self) -> str:
        digest = "" if self.retriever == WAYS[0] else weights_digest(self.encoder)
        model = super().weights()  # type: ignore[misc]
        return f"{model} {digest}".strip()

    def embeds(self) -> str:
        return self.encoder if self.retriever in WAYS[1:] else ""

    def prepare(self) -> None:
        super().prepare()  # type: ignore[misc]
        if self.retriever != WAYS[0]:
            load_retriever(self.encoder)

    def reread(self, corpus: Corpus) -> float:
        self.library, seconds = self.library.reread(corpus)
        return seconds

    def find_passages(self, items: Sequence[Item]) -> Read:
        """Return items with what they read, and the ids of that."""
        count, _ = self.passages()
        fit = self.fitting(items, self.library.search(items, count))
        pairs = [with_passages(item, some) for item, some in zip(items, fit, strict=True)]
        return Read(pairs, tuple(tuple(passage.id for passage in some) for some in fit))

    def fitting(
        self, items: Sequence[Item], found: Sequence[Sequence[Passage]]
    ) -> list[list[Passage]]:
        """Return the passages that fit into a prompt, best first, whole; of the first a part."""
        if (measure := self._measure()) is None:
            return [[*some] for some in found]
        shown = [fitting(measure, item, some) for item, some in zip(items, found, strict=True)]
        triples = zip(items, found, shown, strict=True)
        self._short |= {item.id for item, some, fit in triples if fit != [*some]}
        return shown

    def _with_search(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return facts with what a cached search had cost, and what passages had no room."""
        saved = facts.get("cached_seconds", 0.0) + self.library.cached_seconds
        count, words = self.passages()
        way = f"{plural(count, 'passage')} of at most {words} words, found by {self.library.way}"
        notes = [f"Reads {way}.", *facts["notes"]]
        if self._short:
            questions = plural(len(self._short), "question")
            notes.append(
                f"Not all passages that were found fit into the model's prompt beside {questions}: "
                "the worst were left out, and the first was cut where it did not fit alone."
            )
        return {**facts, "notes": notes, "cached_seconds": saved}


def fitting(measure: Measures, item: Item, passages: Sequence[Passage]) -> list[Passage]:
    """Return the first passages that fit beside a question, at least a part of the first."""
    fit, room = [*passages], measure.room(item)
    # A token has at least a byte.
    while fit and len((text := _read(fit)).encode("utf-8", "replace")) > room:
        if measure.tokens(text) <= room:
            break
        if len(fit) == 1:
            [only] = fit
            left = room - measure.tokens(replace(only, text="").shown) - 1
            return [only.shortened(measure.beginning(only.text, max(0, left)))]
        fit.pop()
    return fit


def _read(passages: Sequence[Passage]) -> str:
    return "\n".join(passage.shown for passage in passages)


def with_passages(row: Item, passages: Sequence[Passage]) -> Item:
    """Return an item that has what it reads in the field `READ`, before the question."""
    fields = {READ: _read(passages), **row.fields} if passages else {**row.fields}
    return Item(id=row.id, text=row.text, fields=fields)


def example_with(row: Example, passages: Sequence[Passage]) -> Example:
    """Return a labelled row that has what it reads in the field `READ`."""
    return replace(row, fields=with_passages(row.item(), passages).fields, evidence=())


def shown_example(row: Example, library: Library) -> Example:
    """Return a labelled row with the passage that holds its answer, as a demonstration."""
    gold = gold_passage(row, library.corpus, library.words)
    return example_with(row, [gold] if gold is not None else [])

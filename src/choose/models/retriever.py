"""Nearest labelled neighbours under a frozen encoder, exact, by FAISS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from choose.models.encoder import Vectors, load_encoder
from choose.models.saved import row_facts, rows_from
from choose.types import Example, Item


class Neighbour(NamedTuple):
    """A labelled row and its cosine similarity to what was asked."""

    example: Example
    similarity: float


def load_retriever(encoder: str) -> None:
    """Load the encoder and the index library, so that neither counts as part of a fit."""
    import faiss  # noqa: F401

    load_encoder(encoder)


class Retriever:
    """An exact cosine index over a pool, shared by `knn` and `retrieval`.

    `cached_seconds` is what the embeddings that were there already had cost.
    """

    def __init__(
        self, encoder: str, examples: Sequence[Example], vectors: Vectors | None = None
    ) -> None:
        import faiss

        self.encoder = encoder
        self.examples = tuple(examples)
        self.cached_seconds = 0.0
        if vectors is None:
            vectors = self._embed([e.text for e in examples])
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(vectors)

    def state(self) -> tuple[list[list[str]], dict[str, Any]]:
        """Return the rows of the pool and their (n, d) vectors."""
        vectors = self.index.reconstruct_n(0, len(self.examples))
        return row_facts(self.examples), {"vectors": vectors}

    @classmethod
    def restored(
        cls, encoder: str, rows: Sequence[Sequence[str]], arrays: Mapping[str, Any]
    ) -> Retriever:
        """Index again what `state` returned, without embedding it."""
        return cls(encoder, rows_from(rows), np.ascontiguousarray(arrays["vectors"], np.float32))

    def search(self, items: Sequence[Item], k: int) -> list[list[Neighbour]]:
        """Return each item's k nearest rows, nearest first; a row never retrieves itself.

        Equal similarities are ordered by the row's place in the pool, so that an answer does not
        depend on how many items are asked at once.
        """
        if not items:
            return []
        vectors = self._embed([item.text for item in items])
        # One more than k, for the row itself where a row of the pool is asked.
        found = self.index.search(vectors, min(k + 1, len(self.examples)))
        return [
            self._nearest(item.id, similarities, places, k)
            for item, similarities, places in zip(items, *found, strict=True)
        ]

    def _embed(self, texts: Sequence[str]) -> Vectors:
        from choose.models.encoder import embed, embed_seconds

        self.cached_seconds += embed_seconds(texts, self.encoder)
        return np.ascontiguousarray(embed(texts, self.encoder), np.float32)

    def _nearest(
        self, asked: str, similarities: Vectors, places: Vectors, k: int
    ) -> list[Neighbour]:
        # Matrix products differ in the last bits with the number of rows; rounding hides that.
        pairs = zip(np.round(similarities, 5).tolist(), places.tolist(), strict=True)
        ranked = sorted(pairs, key=lambda pair: (-pair[0], pair[1]))
        near = [Neighbour(self.examples[place], float(s)) for s, place in ranked]
        return [n for n in near if n.example.id != asked][:k]

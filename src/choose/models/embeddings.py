"""Sentence embeddings, each distinct text embedded once; studies keep them for the next ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from choose.models.hardware.device import device, device_name, quiet_loading, set_threads
from choose.models.hardware.memory import limits_of
from choose.models.results.cache import CachedArray, ResultCache
from choose.models.saving import row_facts, rows_from
from choose.models.weights.resolve import resolve, weights_digest
from choose.progress import report_progress
from choose.types import Example, Item

# Texts of similar length embedded at a stretch, before it is asked again what this machine can do.
TEXTS_PER_CHUNK = 256


# Texts remembered at most: what is left of a stream of millions; studies have fewer.
MAX_TEXTS_IN_MEMORY = 100_000


Vectors = npt.NDArray[np.float32]


@dataclass
class Encoder:
    """A loaded sentence encoder with what it has embedded so far, and what that had cost.

    `cache` holds what earlier processes have embedded.
    """

    model: Any
    cache: ResultCache | None = None
    vectors: dict[str, Vectors] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return (n, d) unit vectors; texts longer than the model reads are cut by it."""
        self.recall(texts)
        new = sorted(self._unknown(texts), key=lambda t: (len(t), t))
        for first in range(0, len(new), TEXTS_PER_CHUNK):
            chunk = new[first : first + TEXTS_PER_CHUNK]
            set_threads()
            start = perf_counter()
            vectors = self._encode(chunk)
            each = (perf_counter() - start) / len(chunk)
            made = {text: (vector, each) for text, vector in zip(chunk, vectors, strict=True)}
            self._hold(made)
            if self.cache is not None:
                self.cache.put({_key(text): numbers for text, numbers in made.items()})
            report_progress(first + len(chunk), len(new), "embedding")
        if not texts:
            return np.empty((0, self.model.get_embedding_dimension()), np.float32)
        found = np.stack([self.vectors[text] for text in texts])
        while len(self.vectors) > MAX_TEXTS_IN_MEMORY:
            oldest = next(iter(self.vectors))
            del self.vectors[oldest]
            self.seconds.pop(oldest, None)
        return found

    def recall(self, texts: Sequence[str]) -> None:
        """Take from the cache what is not in memory, with what it had cost."""
        if self.cache is None:
            return
        keys = {_key(text): text for text in self._unknown(texts)}
        self._hold({keys[key]: numbers for key, numbers in self.cache.get(keys).items()})

    def _unknown(self, texts: Sequence[str]) -> set[str]:
        return {text for text in texts if text not in self.vectors}

    def _hold(self, made: Mapping[str, CachedArray]) -> None:
        for text, (vector, seconds) in made.items():
            self.vectors[text], self.seconds[text] = vector, seconds

    def _encode(self, texts: Sequence[str]) -> Vectors:
        # A lone surrogate, which broken data can hold, would stop the tokenizer.
        safe = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        vectors = self.model.encode(
            safe,
            batch_size=limits_of(self.model.device.type).embedding_texts,
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        # What is kept for other processes is float32, so what is computed is too.
        return np.asarray(vectors, np.float32)


def load_encoder(spec: str) -> Encoder:
    """Load an encoder once a process, and anew when its folder holds something else by now.

    Raises:
        ModelError: if its weights are not there.
    """
    return _loaded(spec, weights_digest(spec))


@lru_cache(maxsize=4)
def _loaded(spec: str, digest: str) -> Encoder:
    from sentence_transformers import SentenceTransformer

    folder = resolve(spec)
    with quiet_loading("Loading the encoder"):
        model = SentenceTransformer(
            str(folder), trust_remote_code=False, model_kwargs=_loading_options(device())
        )
    made_by = ("embedding", digest, str(model.dtype), device_name(model.device))
    return Encoder(model, ResultCache(made_by))


def _loading_options(device: str) -> dict[str, Any]:
    """Return how weights are read; processors are slow and coarse in the half of a checkpoint."""
    return {"use_safetensors": True, **({"dtype": "float32"} if device == "cpu" else {})}


def embed(texts: Sequence[str], spec: str) -> Vectors:
    """Return (n, d) unit vectors of the texts, float32."""
    return load_encoder(spec).embed(texts)


def embed_seconds(texts: Sequence[str], spec: str) -> float:
    """Return what embedding these texts, each once, had cost when it was done."""
    encoder = load_encoder(spec)
    encoder.recall(texts)
    return sum(encoder.seconds.get(text, 0.0) for text in set(texts))


def _key(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


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

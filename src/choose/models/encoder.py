"""Sentence embeddings, each distinct text embedded once a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.models.runtime import quiet, threads
from choose.models.weights import resolve

# Texts of similar length embedded at a stretch, before it is asked again what this machine can do.
CHUNK = 256

# Texts remembered at most: what is left of a stream of millions; studies have fewer.
MOST = 100_000

Vectors = npt.NDArray[np.float32]


@dataclass
class Encoder:
    """A loaded sentence encoder with what it has embedded so far, and what that had cost."""

    model: Any
    vectors: dict[str, Vectors] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return (n, d) unit vectors; texts longer than the model reads are cut by it."""
        new = sorted(
            {text for text in texts if text not in self.vectors}, key=lambda t: (len(t), t)
        )
        for first in range(0, len(new), CHUNK):
            chunk = new[first : first + CHUNK]
            threads()
            start = perf_counter()
            self.vectors.update(zip(chunk, self._encode(chunk), strict=True))
            self.seconds.update(dict.fromkeys(chunk, (perf_counter() - start) / len(chunk)))
        if not texts:
            return np.empty((0, self.model.get_embedding_dimension()), np.float32)
        found = np.stack([self.vectors[text] for text in texts])
        while len(self.vectors) > MOST:
            oldest = next(iter(self.vectors))
            del self.vectors[oldest]
            self.seconds.pop(oldest, None)
        return found

    def _encode(self, texts: Sequence[str]) -> Vectors:
        # A lone surrogate, which broken data can hold, would stop the tokenizer.
        safe = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        vectors: Vectors = self.model.encode(
            safe,
            batch_size=32,
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return vectors


@cache
def load_encoder(spec: str) -> Encoder:
    """Load an encoder once a process.

    Raises:
        ModelError: if its weights are not there.
    """
    from sentence_transformers import SentenceTransformer

    folder = resolve(spec)
    with quiet("Loading the encoder"):
        return Encoder(SentenceTransformer(str(folder), trust_remote_code=False))


def embed(texts: Sequence[str], spec: str) -> Vectors:
    """Return (n, d) unit vectors of the texts, float32."""
    return load_encoder(spec).embed(texts)


def embed_seconds(texts: Sequence[str], spec: str) -> float:
    """Return what embedding these texts, each once, had cost when it was done."""
    encoder = load_encoder(spec)
    return sum(encoder.seconds.get(text, 0.0) for text in set(texts))

"""Passages by the similarity of their meaning to a question's, as an encoder sees it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from choose.corpus import Passage
from choose.models.embeddings import Encoder, Vectors, load_encoder
from choose.models.retrieval.ranked_passages import PassageIndex, Ranked
from choose.progress import report_progress

# Questions searched between two looks at the clock.
STEP = 64

# Similarities are compared after rounding: their last digits differ with the texts beside them.
DIGITS = 5

# Windows searched beyond those asked for, so that equal ones at the end are ordered by place.
MARGIN = 16


class DenseIndex(PassageIndex):
    """An exact cosine index; a passage too long for the encoder counts as its best window."""

    def __init__(self, passages: Sequence[Passage], encoder: str) -> None:
        import faiss

        self.passages, self.encoder = passages, load_encoder(encoder)
        start = perf_counter()
        windows = [windows_of(self.encoder, passage) for passage in passages]
        texts = [text for own in windows for text in own]
        self.owners = np.repeat(np.arange(len(passages)), [len(own) for own in windows])
        cached = self.encoder.cached_seconds(texts)
        vectors = self.encoder.embed(texts)
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(np.ascontiguousarray(vectors, np.float32))
        self.seconds = perf_counter() - start + cached

    def ranked(self, questions: Sequence[str], k: int) -> list[list[Ranked]]:
        """Return the passages of the highest cosine similarities."""
        wanted = min(k, len(self.passages))
        if wanted <= 0 or not questions:
            return [[] for _ in questions]
        found: list[list[Ranked]] = []
        # One by one: faiss computes products of many questions another way, with other last digits.
        for vector in self.encoder.embed(questions):
            found.append(self._ranked(vector[None], wanted))
            if len(found) % STEP == 0:
                report_progress(len(found), len(questions), "search")
        return found

    def cached_seconds(self, questions: Sequence[str]) -> float:
        """Return what embedding the questions whose vectors are cached had taken."""
        return self.encoder.cached_seconds(questions)

    def asked_by(self, encoder: Encoder) -> DenseIndex:
        """Return the same vectors of passages for questions that another encoder embeds."""
        other = copy(self)
        other.encoder = encoder
        return other

    def vectors_of(self, places: Sequence[int]) -> Vectors:
        """Return (n, d) unit vectors of passages, the first window of each."""
        first = np.searchsorted(self.owners, places)
        return np.stack([self.index.reconstruct(int(window)) for window in first])

    def _ranked(self, vector: Any, k: int) -> list[Ranked]:
        count = min(k + MARGIN, len(self.owners))
        while True:
            similarities, places = self.index.search(vector, count)
            best: dict[int, float] = {}
            for similarity, window in zip(similarities[0], places[0], strict=True):
                best.setdefault(int(self.owners[window]), round(float(similarity), DIGITS))
            # A passage of many windows can take the places of others.
            if len(best) >= min(k + MARGIN // 2, len(self.passages)) or count == len(self.owners):
                return sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
            count = min(2 * count, len(self.owners))


def windows_of(encoder: Encoder, passage: Passage) -> list[str]:
    """Return a passage as it is shown, or parts of equal length that the encoder reads whole."""
    limit = getattr(encoder.model, "max_seq_length", None)
    # Words have a few characters, and no token has none.
    if not limit or len(passage.shown) < limit - 2:
        return [passage.shown]
    heading = f"{passage.title}: " if passage.title else ""
    room = limit - _tokens(encoder, heading)
    # A title that leaves no room for the text is not repeated.
    return list(_windows(encoder, heading if room >= limit // 2 else "", passage.text, limit))


def _windows(encoder: Encoder, heading: str, text: str, limit: int) -> Iterator[str]:
    tokens = _tokens(encoder, heading + text)
    if tokens <= limit or len(text) < 2:
        yield heading + text
        return
    outside = _tokens(encoder, heading)
    parts = max(2, math.ceil((tokens - outside) / (limit - outside)))
    for part in _cut(text, parts):
        yield from _windows(encoder, heading, part, limit)


def _cut(text: str, parts: int) -> Iterator[str]:
    """Yield parts of about equal length, cut between words, or inside one that is longer."""
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    if len(spans) < parts:
        size = math.ceil(len(text) / parts)
        yield from (text[start : start + size] for start in range(0, len(text), size))
        return
    bounds = [len(spans) * part // parts for part in range(parts + 1)]
    for first, last in pairwise(bounds):
        yield text[spans[first][0] : spans[last - 1][1]]


def _tokens(encoder: Encoder, text: str) -> int:
    """Return the length of a text in tokens, special ones included."""
    safe = text.encode("utf-8", "replace").decode("utf-8")
    return len(encoder.model.tokenizer(safe, verbose=False)["input_ids"])

"""Indexes of passages: by shared words (BM25, Robertson et al. 1994), by meaning, and by both."""

from __future__ import annotations

import logging
import math
import re
import sys
import unicodedata
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cache
from itertools import groupby, pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from choose.corpus import UNSPACED, Passage
from choose.models.embeddings import Encoder, Vectors, load_encoder
from choose.progress import report_progress

if TYPE_CHECKING:
    from choose.models.embeddings import Encoder


# The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).
RANK_CONSTANT = 60

# Passages of each index that are fused, so that the first of them do not depend on k.
FUSED_RANKS = 100

# A place in the corpus and its score.
Ranked = tuple[int, float]


class Hit(NamedTuple):
    """A passage and its score, which is comparable within an index only."""

    passage: Passage
    score: float


class PassageIndex(ABC):
    """Passages in the order of the corpus, to be searched.

    Attributes:
        passages: what is searched.
        seconds: how long building the index takes without any cache.
    """

    passages: Sequence[Passage]
    seconds: float

    @abstractmethod
    def ranked(self, questions: Sequence[str], k: int) -> list[list[Ranked]]:
        """Return places and scores of at most k passages for each question, best first."""

    def search(self, questions: Sequence[str], k: int) -> list[list[Hit]]:
        """Return the k best passages for each question, best first; all if there are fewer.

        Equal scores are ordered by place in the corpus. The result of a question does not depend on
        the others.
        """
        return [
            [Hit(self.passages[place], score) for place, score in row]
            for row in self.ranked(questions, k)
        ]

    def cached_seconds(self, questions: Sequence[str]) -> float:
        """Return what the cached part of a search of these questions had taken."""
        return 0.0

    def asked_by(self, encoder: Encoder) -> PassageIndex:
        """Return the same passages for questions that another encoder embeds, if one does."""
        return self


def best_places(scores: npt.NDArray[Any], k: int, above: float) -> list[Ranked]:
    """Return places and values of the k highest (n,) scores above a limit, ties by place."""
    if k <= 0 or not len(scores):
        return []
    least = np.partition(scores, -k)[-k] if k < len(scores) else -np.inf
    places = np.flatnonzero((scores >= least) & (scores > above))
    order = places[np.argsort(-scores[places], kind="stable")][:k]
    return list(zip(order.tolist(), scores[order].tolist(), strict=True))


class HybridIndex(PassageIndex):
    """Two indexes of the same passages, joined by the reciprocals of their ranks."""

    def __init__(self, words: PassageIndex, meaning: PassageIndex) -> None:
        self.passages = words.passages
        self.parts = words, meaning
        self.seconds = words.seconds + meaning.seconds

    def ranked(self, questions: Sequence[str], k: int) -> list[list[Ranked]]:
        """Return the passages with the highest sums of 1 / (60 + rank)."""
        depth = max(k, FUSED_RANKS)
        found = [part.ranked(questions, depth) for part in self.parts]
        return [fused(rankings)[: max(k, 0)] for rankings in zip(*found, strict=True)]

    def cached_seconds(self, questions: Sequence[str]) -> float:
        """Return what the cached parts of both searches had taken."""
        return sum(part.cached_seconds(questions) for part in self.parts)

    def asked_by(self, encoder: Encoder) -> HybridIndex:
        """Return both indexes for questions that another encoder embeds."""
        return HybridIndex(*(part.asked_by(encoder) for part in self.parts))


def fused(rankings: Sequence[Sequence[Ranked]]) -> list[Ranked]:
    """Return the reciprocal rank fusion of rankings, best first, ties by place."""
    sums: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, (place, _) in enumerate(ranking, 1):
            sums[place] += 1 / (RANK_CONSTANT + rank)
    # Sums of the same ranks in another order differ in the last bit.
    rounded = ((place, round(total, 12)) for place, total in sums.items())
    return sorted(rounded, key=lambda pair: (-pair[1], pair[0]))


# As in Lucene. On three sets (xquad_en, covid_qa, pubmedqa_l) hit@1 and hit@5 are as high as with
# bm25s's own 1.5 or higher, and higher without a stop list than with one.
K1, B = 1.2, 0.75

# Passages indexed, or questions searched, between two looks at the clock.
STEP = 256

_ASCII_WORD = re.compile(r"\w+", re.ASCII)


class BM25Index(PassageIndex):
    """A BM25 index of words of any script; passages without a word of the question are no hits."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        import bm25s

        # It sets its own level to DEBUG, and any handler of the program would print its lines.
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        start = perf_counter()
        self.passages = passages
        self.vocabulary: dict[str, int] = {}
        rows: list[list[int]] = []
        for passage in passages:
            words = words_of(passage.shown)
            rows.append([self.vocabulary.setdefault(w, len(self.vocabulary)) for w in words])
            if len(rows) % STEP == 0:
                report_progress(len(rows), len(passages), "indexing")
        self.scorer = bm25s.BM25(k1=K1, b=B)
        if self.vocabulary:  # it cannot index nothing
            corpus = rows, self.vocabulary
            self.scorer.index(corpus, create_empty_token=False, show_progress=False)
        self.seconds = perf_counter() - start

    def ranked(self, questions: Sequence[str], k: int) -> list[list[Ranked]]:
        """Return the passages of the highest scores above 0."""
        found: list[list[Ranked]] = []
        for question in questions:
            found.append(self._ranked(question, k))
            if len(found) % STEP == 0:
                report_progress(len(found), len(questions), "search")
        return found

    def _ranked(self, question: str, k: int) -> list[Ranked]:
        # Each word once, so that a long question takes no longer than the vocabulary.
        words = dict.fromkeys(words_of(question))
        known = [self.vocabulary[word] for word in words if word in self.vocabulary]
        return best_places(self.scorer.get_scores_from_ids(known), k, above=0.0) if known else []


def words_of(text: str) -> list[str]:
    """Return the words of a text without case; where a script has no spaces, pairs of characters.

    Those pairs are how Lucene indexes Chinese, Japanese and Korean.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("_", " ")
    if plain.isascii():
        return _ASCII_WORD.findall(plain)
    return [part for word in _runs().findall(plain) for part in _parts(word)]


def _parts(word: str) -> Iterator[str]:
    if word.isascii():
        yield word
        return
    for unspaced, run in groupby(word, key=_is_unspaced):
        part = "".join(run)
        if unspaced and len(part) > 1:
            yield from (part[n : n + 2] for n in range(len(part) - 1))
        else:
            yield part


@cache
def _is_unspaced(character: str) -> bool:
    return re.match(f"[{UNSPACED}]", character) is not None


@cache
def _runs() -> re.Pattern[str]:
    r"""Return a pattern of letters, digits and marks: `\w` splits words at vowel signs of Hindi."""
    marks = (c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] == "M")
    return re.compile(f"[\\w{''.join(marks)}]+")


# Questions searched between two looks at the clock.
ENCODED = 64

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
        windows: list[list[str]] = []
        for passage in passages:
            windows.append(windows_of(self.encoder, passage))
            if len(windows) % STEP == 0:
                report_progress(len(windows), len(passages), "measuring passages")
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
            if len(found) % ENCODED == 0:
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

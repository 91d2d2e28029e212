"""Indexes of passages, built once a process: the folds and settings of a study share them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, get_args

from choose.corpus import Corpus
from choose.errors import StrategyError, did_you_mean
from choose.models.retrieval.bm25 import BM25Index
from choose.models.retrieval.dense import DenseIndex
from choose.models.retrieval.ranked_passages import HybridIndex, PassageIndex
from choose.models.weights.resolve import weights_digest

Way = Literal["bm25", "dense", "hybrid"]
WAYS: tuple[Way, ...] = get_args(Way)

# A study tries a few lengths of passages by words and by meaning.
MAX_INDEXES = 8

_INDEXES: OrderedDict[tuple[str, ...], PassageIndex] = OrderedDict()


@dataclass(frozen=True, slots=True)
class SharedIndex:
    """An index, and the seconds that it did not take because it was cached in part or whole."""

    index: PassageIndex
    cached_seconds: float


def passage_index(corpus: Corpus, way: str, words: int, encoder: str) -> PassageIndex:
    """Return the index of a corpus cut into passages of at most so many words.

    `way` is ``bm25``, ``dense`` or ``hybrid``; the encoder of the last two is a model spec.

    Raises:
        StrategyError: if there is no such way.
        ModelError: if the encoder is needed and cannot be loaded.
    """
    return shared_index(corpus, way, words, encoder).index


def shared_index(corpus: Corpus, way: str, words: int, encoder: str) -> SharedIndex:
    """Return the same, and what caches saved."""
    check_way(way)
    start = perf_counter()
    index = _index(corpus, way, words, encoder)
    return SharedIndex(index, max(0.0, index.seconds - (perf_counter() - start)))


def check_way(way: str) -> None:
    """Refuse a way to search that does not exist.

    Raises:
        StrategyError: if there is none of that name.
    """
    if way not in WAYS:
        hint = did_you_mean(way, WAYS)
        raise StrategyError(f"No way to search {way!r}.{hint} There are: {', '.join(WAYS)}.")


def _index(corpus: Corpus, way: str, words: int, encoder: str) -> PassageIndex:
    if way == "hybrid":
        first, second = (_index(corpus, part, words, encoder) for part in ("bm25", "dense"))
        return HybridIndex(first, second)
    model = (encoder, weights_digest(encoder)) if way == "dense" else ()
    key = (corpus.digest, way, str(words), *model)
    if key not in _INDEXES:
        passages = corpus.passages(words)
        built = DenseIndex(passages, encoder) if way == "dense" else BM25Index(passages)
        _INDEXES[key] = built
        while len(_INDEXES) > MAX_INDEXES:
            _INDEXES.popitem(last=False)
    _INDEXES.move_to_end(key)
    return _INDEXES[key]

"""Search for passages: indexes that folds and settings of a study share, and what controls give."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, get_args

from choose.corpus import AMONG_OTHERS, GOLD, NOTHING, WORDS, Corpus, Passage
from choose.errors import StrategyError, did_you_mean
from choose.models.retrieval.indexes import BM25Index, DenseIndex, HybridIndex, PassageIndex
from choose.models.weights.resolve import weights_digest
from choose.tasks.values import stands
from choose.types import Example, Item

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

"""Passages for questions: shared indexes, libraries that strategies read, what controls give."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter
from typing import Any, Literal, NamedTuple, get_args

from choose.corpus import (
    AMONG_OTHERS,
    DEPTH,
    GOLD,
    LOOKED,
    NOTHING,
    WORDS,
    Corpus,
    Passage,
    reciprocal_rank,
)
from choose.errors import StrategyError, did_you_mean
from choose.models.embeddings import Encoder
from choose.models.retrieval.indexes import BM25Index, DenseIndex, HybridIndex, PassageIndex
from choose.models.saving import corpus_facts, corpus_from
from choose.models.weights.resolve import weights_digest
from choose.progress import decided_in_time, seconds_to_aim
from choose.tasks.answering import corpus_of
from choose.tasks.values import occurs
from choose.types import Example, Item, Task

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

    Of several it is the one nearest to the question, by BM25, in which an accepted answer occurs.
    """
    return _ranked(row, corpus, words)[0]


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
    exact = [passage for passage in gold if occurs(row.targets, passage.text)]
    others = [passage for passage in nearest if passage.id not in ids]
    return next(iter(exact or gold), None), others


class Found(NamedTuple):
    """The passages that each item reads, best first, and the ids of those found below."""

    read: list[list[Passage]]
    further: tuple[tuple[str, ...], ...]


def parted(items: Sequence[Item], found: Sequence[Sequence[Passage]], k: int) -> Found:
    """Return the first k passages of each item, and the others; of what a control gives, none."""
    pairs = zip(items, found, strict=True)
    below = ([] if item.passages is not None else some[k:] for item, some in pairs)
    return Found([[*some[:k]] for some in found], tuple(tuple(p.id for p in b) for b in below))


# Labelled rows on which a retriever is chosen.
CHOSEN_ON = 200

# Passages that are embedded to try retrievers by meaning: minutes on two cores.
MOST_EMBEDDED = 20_000

NO_DOCUMENTS = "there are no documents to read (--documents)."


@dataclass(slots=True)
class Library:
    """The documents of a task with one way to find passages in them.

    Attributes:
        corpus: the documents.
        way: the retriever.
        words: most words of a passage.
        encoder: the model that embeds passages, if the retriever does.
        tuned: the encoder of questions, if it is another one.
        cached_seconds: what indexing and searches had taken where they were cached.
    """

    corpus: Corpus
    way: Way
    words: int
    encoder: str
    tuned: Encoder | None = None
    cached_seconds: float = 0.0

    @property
    def index(self) -> PassageIndex:
        """Return the index, which fits share."""
        index = passage_index(self.corpus, self.way, self.words, self.encoder)
        return index if self.tuned is None else index.asked_by(self.tuned)

    def search(self, items: Sequence[Item], k: int) -> list[list[Passage]]:
        """Return what each item reads, best first: k passages, or what a control gives it."""
        open_, index = [item for item in items if item.passages is None], self.index
        questions = [item.text for item in open_]
        self.cached_seconds += index.cached_seconds(questions)
        hits = iter(index.search(questions, k))
        return [
            [hit.passage for hit in next(hits)] if item.passages is None else [*item.passages[:k]]
            for item in items
        ]

    def search_below(self, items: Sequence[Item], k: int) -> Found:
        """Return what each item reads, and what was found below that."""
        return parted(items, self.search(items, max(k, LOOKED)), k)

    def reciprocal_rank(self, rows: Sequence[Example]) -> float:
        """Return the mean reciprocal rank of the evidence of some rows; 0 without rows."""
        found = self.search([row.item() for row in rows], DEPTH)
        ranks = [
            reciprocal_rank([passage.span for passage in passages], row.evidence)
            for row, passages in zip(rows, found, strict=True)
        ]
        return round(sum(ranks) / max(1, len(ranks)), 9)

    def reread(self, corpus: Corpus) -> tuple[Library, float]:
        """Return the same retriever over other documents, and the seconds of indexing them."""
        start = perf_counter()
        shared = shared_index(corpus, self.way, self.words, self.encoder)
        seconds = perf_counter() - start + shared.cached_seconds
        return replace(self, corpus=corpus), seconds

    def facts(self) -> dict[str, Any]:
        """Return the documents and the retriever as plain values."""
        return {
            "way": self.way,
            "passage_words": self.words,
            "documents": corpus_facts(self.corpus),
        }


def library_from(facts: Mapping[str, Any], encoder: str, tuned: Encoder | None = None) -> Library:
    """Return the library that `Library.facts` described.

    Raises:
        ValueError: if the facts are not those of a library.
    """
    if facts["way"] not in WAYS:
        raise ValueError(f"there is no retriever {str(facts['way'])[:80]!r}")
    words = int(facts["passage_words"])
    return Library(corpus_from(facts["documents"]), facts["way"], words, encoder, tuned)


def libraries_for(task: Task, way: str, words: int = WORDS, encoder: str = "") -> list[Library]:
    """Return the documents of a task with a retriever, or with each where `way` is ``auto``.

    Of more than `MOST_EMBEDDED` passages, or where embedding them would take more than the time of
    a fit, ``auto`` is BM25 alone.

    Raises:
        StrategyError: if the task has no documents, or there is no such retriever.
    """
    corpus = corpus_of(task)
    if corpus is None:
        raise StrategyError(f"A strategy that reads cannot be fitted: {NO_DOCUMENTS}")
    if way != "auto":
        check_way(way)
    ways: Sequence[Way] = [one for one in WAYS if way in ("auto", one)]
    many = len(corpus.passages(words)) > MOST_EMBEDDED
    if way == "auto" and (many or takes_too_long(corpus, words, encoder)):
        ways = WAYS[:1]
    libraries = []
    for one in ways:
        cached = shared_index(corpus, one, words, encoder).cached_seconds
        libraries.append(Library(corpus, one, words, encoder, cached_seconds=cached))
    return libraries


# Passages that are embedded to forecast what all take.
FORECAST_FROM = 64


def takes_too_long(corpus: Corpus, words: int, encoder: str) -> bool:
    """Return whether embedding all passages would take more than the time of a fit that has one.

    An index that another fit has made is used. The forecast is from some passages.
    """
    key, in_time = (corpus.digest, "dense", str(words), encoder, weights_digest(encoder)), True
    passages = corpus.passages(words)
    if seconds_to_aim() < inf and key not in _INDEXES and len(passages) > FORECAST_FROM:
        start, some = perf_counter(), passages[:: -(-len(passages) // FORECAST_FROM)]
        DenseIndex(some, encoder)
        seconds = (perf_counter() - start) * len(passages) / len(some)
        in_time = seconds <= seconds_to_aim()
    return not decided_in_time(f"embedding passages of {words} words", in_time, 1)


def library_for(
    task: Task, examples: Sequence[Example], way: str, words: int = WORDS, encoder: str = ""
) -> Library:
    """Return the documents of a task with a retriever; ``auto`` chooses one on labelled rows.

    It is the one that ranks evidence of the rows best (mean reciprocal rank); of equals the first.

    Raises:
        StrategyError: if the task has no documents, or there is no such retriever.
    """
    libraries = libraries_for(task, way, words, encoder)
    rows = [row for row in examples if row.evidence][:CHOSEN_ON]
    if len(libraries) == 1 or not rows:
        return libraries[-1]
    best = max(libraries, key=lambda library: library.reciprocal_rank(rows))
    # The others were tried too; both indexes are parts of the hybrid one.
    best.cached_seconds = max(library.cached_seconds for library in libraries)
    return best

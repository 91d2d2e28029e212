"""Indexes of passages and of labelled rows, libraries that strategies read, what controls give."""

import logging
import re
import sys
import unicodedata
from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from math import inf
from time import perf_counter
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
import numpy.typing as npt

from choose.corpus import (
    AMONG_OTHERS,
    DEPTH,
    GOLD,
    NOTHING,
    UNSPACED,
    WORDS,
    Corpus,
    Document,
    Passage,
    reciprocal_rank,
)
from choose.engines.embeddings import Encoder, Vectors, load_encoder
from choose.engines.weights.resolve import weights_digest
from choose.errors import StrategyError, did_you_mean
from choose.models.saving import row_facts, rows_from
from choose.progress import decided_in_time, report_progress, seconds_to_aim
from choose.tasks.answering import corpus_of
from choose.tasks.value_parsing import occurs
from choose.types import Example, Item, Task

# The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).
RANK_CONSTANT = 60

# Passages of each index that are fused, so that the first of them do not depend on k.
FUSED_RANKS = 100

# A place in the corpus and its score.
Ranked = tuple[int, float]


class PassageIndex(ABC):
    """Passages in the order of the corpus, indexed in so many seconds without any cache."""

    passages: Sequence[Passage]
    seconds: float

    @abstractmethod
    def ranked(self, questions: Sequence[str], k: int) -> list[list[Ranked]]:
        """Return places and scores of at most k passages for each question, best first."""

    def search(self, questions: Sequence[str], k: int) -> list[list[Passage]]:
        """Return the k best passages for each question, best first; all if there are fewer.

        Equal scores are ordered by place in the corpus. The result of a question does not depend on
        the others.
        """
        return [[self.passages[place] for place, _ in row] for row in self.ranked(questions, k)]

    def cached_seconds(self, questions: Sequence[str]) -> float:
        """Return what the cached part of a search of these questions had taken."""
        return 0.0

    def asked_by(self, encoder: Encoder) -> Self:
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
        depth = max(k, FUSED_RANKS)
        found = [part.ranked(questions, depth) for part in self.parts]
        return [fused(rankings)[: max(k, 0)] for rankings in zip(*found, strict=True)]

    def cached_seconds(self, questions: Sequence[str]) -> float:
        return sum(part.cached_seconds(questions) for part in self.parts)

    def asked_by(self, encoder: Encoder) -> Self:
        return type(self)(*(part.asked_by(encoder) for part in self.parts))


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

# Vectors searched beyond those asked for, so that equal ones at the end are ordered by place.
MARGIN = 16


def nearest(index: Any, vectors: Vectors, k: int, *, together: int) -> list[list[Ranked]]:
    """Return places and cosines of the k nearest vectors of an index, ties by place.

    So many questions are searched at once.
    """
    found: list[list[Ranked]] = []
    for first in range(0, len(vectors), together):
        some = np.ascontiguousarray(vectors[first : first + together], np.float32)
        cosines, places = index.search(some, min(k + MARGIN, index.ntotal))
        for row in zip(places.tolist(), cosines.astype(float).round(DIGITS).tolist(), strict=True):
            ranked = sorted(zip(*row, strict=True), key=lambda pair: (-pair[1], pair[0]))
            found.append(ranked[:k])
        if len(found) % ENCODED == 0:
            report_progress(len(found), len(vectors), "search")
    return found


class DenseIndex(PassageIndex):
    """An exact cosine index; of a passage too long for the encoder its beginning counts."""

    def __init__(self, passages: Sequence[Passage], encoder: str) -> None:
        import faiss

        self.passages, self.encoder = passages, load_encoder(encoder)
        texts, start = [passage.shown for passage in passages], perf_counter()
        cached = self.encoder.cached_seconds(texts)
        vectors = self.encoder.embed(texts)
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(np.ascontiguousarray(vectors, np.float32))
        self.seconds = perf_counter() - start + cached

    def ranked(self, questions: Sequence[str], k: int) -> list[list[Ranked]]:
        if k <= 0 or not questions:
            return [[] for _ in questions]
        # One by one: faiss computes products of many questions another way, with other last digits.
        return nearest(self.index, self.encoder.embed(questions), k, together=1)

    def cached_seconds(self, questions: Sequence[str]) -> float:
        return self.encoder.cached_seconds(questions)

    def asked_by(self, encoder: Encoder) -> Self:
        other = copy(self)
        other.encoder = encoder
        return other

    def vectors_of(self, places: Sequence[int]) -> Vectors:
        """Return (n, d) unit vectors of passages."""
        return np.asarray(self.index.reconstruct_batch(np.array(places, dtype=np.int64)))


Way = Literal["bm25", "dense", "hybrid"]
WAYS: tuple[Way, ...] = get_args(Way)

# A study tries a few lengths of passages by words and by meaning.
MAX_INDEXES = 8

_INDEXES: OrderedDict[tuple[str, ...], PassageIndex] = OrderedDict()


def passage_index(corpus: Corpus, way: str, words: int, encoder: str) -> PassageIndex:
    """Return the index of a corpus cut into passages of at most so many words.

    `way` is ``bm25``, ``dense`` or ``hybrid``; the encoder of the last two is a model spec.
    """
    check_way(way)
    if way == "hybrid":
        return HybridIndex(*(passage_index(corpus, w, words, encoder) for w in WAYS[:2]))
    key = _index_key(corpus, way, words, encoder)
    if key not in _INDEXES:
        passages = corpus.passages(words)
        _INDEXES[key] = DenseIndex(passages, encoder) if way == "dense" else BM25Index(passages)
        while len(_INDEXES) > MAX_INDEXES:
            _INDEXES.popitem(last=False)
    _INDEXES.move_to_end(key)
    return _INDEXES[key]


def _index_key(corpus: Corpus, way: str, words: int, encoder: str) -> tuple[str, ...]:
    model = (encoder, weights_digest(encoder)) if way == "dense" else ()
    return (corpus.digest, way, str(words), *model)


def check_way(way: str) -> None:
    """Refuse a way to search that does not exist."""
    if way not in WAYS:
        hint = did_you_mean(way, WAYS)
        raise StrategyError(f"No way to search {way!r}.{hint} There are: {', '.join(WAYS)}.")


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
    [nearest] = passage_index(corpus, "bm25", words, "").search([row.text], SEARCHED)
    holding = corpus.overlapping(row.evidence, words)
    ids = {passage.id for passage in holding}
    gold = [passage for passage in nearest if passage.id in ids] or holding
    exact = [passage for passage in gold if occurs(row.targets, passage.text)]
    others = [passage for passage in nearest if passage.id not in ids]
    return next(iter(exact or gold), None), others


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

    @classmethod
    def opened(cls, corpus: Corpus, way: Way, words: int, encoder: str) -> Self:
        """Index a corpus; note the seconds that caches saved."""
        start = perf_counter()
        index = passage_index(corpus, way, words, encoder)
        saved = max(0.0, index.seconds - (perf_counter() - start))
        return cls(corpus, way, words, encoder, cached_seconds=saved)

    @property
    def index(self) -> PassageIndex:
        index = passage_index(self.corpus, self.way, self.words, self.encoder)
        return index if self.tuned is None else index.asked_by(self.tuned)

    def search(self, items: Sequence[Item], k: int) -> list[list[Passage]]:
        """Return what each item reads, best first: k passages, or what a control gives it."""
        open_, index = [item for item in items if item.passages is None], self.index
        questions = [item.text for item in open_]
        self.cached_seconds += index.cached_seconds(questions)
        found = iter(index.search(questions, k))
        return [next(found) if item.passages is None else [*item.passages[:k]] for item in items]

    def reciprocal_rank(self, rows: Sequence[Example]) -> float:
        found = self.search([row.item() for row in rows], DEPTH)
        ranks = [
            reciprocal_rank([passage.span for passage in passages], row.evidence)
            for row, passages in zip(rows, found, strict=True)
        ]
        return round(sum(ranks) / max(1, len(ranks)), 9)

    def reread(self, corpus: Corpus) -> tuple[Self, float]:
        start = perf_counter()
        saved = self.opened(corpus, self.way, self.words, self.encoder).cached_seconds
        return replace(self, corpus=corpus), perf_counter() - start + saved

    def facts(self) -> dict[str, Any]:
        return {
            "way": self.way,
            "passage_words": self.words,
            "encoder": self.encoder,
            "documents": [[d.id, d.title, d.text] for d in self.corpus.documents],
        }


def library_from(facts: Mapping[str, Any], tuned: Encoder | None = None) -> Library:
    """Return the library that `Library.facts` described.

    Raises:
        ValueError: if the facts are not those of a library.
    """
    if facts["way"] not in WAYS:
        raise ValueError(f"there is no retriever {str(facts['way'])[:80]!r}")
    words, encoder = int(facts["passage_words"]), str(facts["encoder"])
    rows = (Document(id=id, title=title, text=text) for id, title, text in facts["documents"])
    return Library(Corpus(tuple(rows)), facts["way"], words, encoder, tuned)


def libraries_for(task: Task, way: str, words: int = WORDS, encoder: str = "") -> list[Library]:
    """Return the documents of a task with a retriever, or with each where `way` is ``auto``.

    Of more than `MOST_EMBEDDED` passages, or where embedding them would end after the aim of a time
    limit, ``auto`` is BM25 alone. An index that another fit has made is used.
    """
    corpus = corpus_of(task)
    if corpus is None:
        raise StrategyError(f"A strategy that reads cannot be fitted: {NO_DOCUMENTS}")
    if way != "auto":
        check_way(way)
    ways: Sequence[Way] = [one for one in WAYS if way in ("auto", one)]
    if way == "auto" and len(corpus.passages(words)) > MOST_EMBEDDED:
        ways = WAYS[:1]
    elif way == "auto":
        limit = seconds_to_aim()
        made = _index_key(corpus, "dense", words, encoder) in _INDEXES
        in_time = limit == inf or made or seconds_to_embed(corpus, encoder, words) <= limit
        if not decided_in_time(f"embedding passages of {words} words", in_time, 1):
            ways = WAYS[:1]
    return [Library.opened(corpus, one, words, encoder) for one in ways]


# Passages that are embedded to forecast what all take, and how many between looks at the clock.
FORECAST_FROM, FORECAST_STEP = 64, 8


def seconds_to_embed(
    corpus: Corpus, encoder: str, words: int = WORDS, *, limit: float = inf
) -> float:
    """Forecast what embedding all passages takes, whatever is cached; 0 where there are none.

    The forecast is from some passages, and from fewer where the first take `limit` seconds.
    """
    loaded, start, done = load_encoder(encoder), perf_counter(), 0
    texts = [*dict.fromkeys(passage.shown for passage in corpus.passages(words))]
    some = texts[:: max(1, -(-len(texts) // FORECAST_FROM))]
    while done < len(some) and (not done or perf_counter() - start < limit):
        loaded.embed(some[done : done + FORECAST_STEP])
        done = min(done + FORECAST_STEP, len(some))
    return loaded.cached_seconds(some[:done]) / max(1, done) * len(texts)


def library_for(
    task: Task, examples: Sequence[Example], way: str, words: int = WORDS, encoder: str = ""
) -> Library:
    """Return the documents of a task with a retriever; ``auto`` chooses one on labelled rows.

    It is the one that ranks evidence of the rows best (mean reciprocal rank); of equals the first.
    """
    libraries = libraries_for(task, way, words, encoder)
    rows = [row for row in examples if row.evidence][:CHOSEN_ON]
    if len(libraries) == 1 or not rows:
        return libraries[-1]
    best = max(libraries, key=lambda library: library.reciprocal_rank(rows))
    # The others were tried too; both indexes are parts of the hybrid one.
    best.cached_seconds = max(library.cached_seconds for library in libraries)
    return best


class Neighbour(NamedTuple):
    """A labelled row and its cosine similarity to the query."""

    example: Example
    similarity: float


def load_retriever(encoder: str) -> None:
    """Load the encoder and the index library, so that neither counts as part of a fit."""
    import faiss  # noqa: F401

    load_encoder(encoder)


class Retriever:
    """An exact cosine index over a pool, shared by `knn` and `retrieval`.

    `cached_seconds` is what the embeddings that were in memory or in the cache had taken.
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

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        vectors = self.index.reconstruct_n(0, len(self.examples))
        return {"encoder": self.encoder, "rows": row_facts(self.examples)}, {"vectors": vectors}

    @classmethod
    def restored(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Rebuild the index from what `state` returned, without embedding."""
        vectors = np.ascontiguousarray(arrays["vectors"], np.float32)
        return cls(str(facts["encoder"]), rows_from(facts["rows"]), vectors)

    def search(self, items: Sequence[Item], k: int) -> list[list[Neighbour]]:
        """Return each item's k nearest rows, nearest first; a row never retrieves itself.

        Equal similarities are ordered by the row's place in the pool, so that an answer does not
        depend on how many items are searched at once.
        """
        vectors = self._embed([item.text for item in items])
        # One more than k, for the row itself where the item is a row of the pool.
        found = nearest(self.index, vectors, k + 1, together=ENCODED)
        return [
            [
                Neighbour(self.examples[place], cosine)
                for place, cosine in row
                if self.examples[place].id != item.id
            ][:k]
            for item, row in zip(items, found, strict=True)
        ]

    def _embed(self, texts: Sequence[str]) -> Vectors:
        encoder = load_encoder(self.encoder)
        self.cached_seconds += encoder.cached_seconds(texts)
        return np.ascontiguousarray(encoder.embed(texts), np.float32)

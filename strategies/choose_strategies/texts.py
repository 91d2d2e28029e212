"""Baselines without a language model for texts: copy, lead, nearest and sentence."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from choose.corpus import Corpus, Passage
from choose.models.retrieval.passage_search import Library, libraries_for, library_from
from choose.models.retrieval.reading import in_order
from choose.models.saving import Learnt, read_fitted, row_facts, rows_from, write_fitted
from choose.models.tfidf_and_logistic import TfidfFeatures
from choose.tasks.answering import corpus_of, passage_field
from choose.types import Answers, Example, Item, Task
from choose_strategies.baselines import Baseline


class TextBaseline(Baseline):
    """The base of these baselines: what they have in common, and answers from texts."""

    always_compared: ClassVar[bool] = True

    def predict(self, items: Sequence[Item]) -> Answers:
        return text_answers([self.answer(item) for item in items])

    def answer(self, item: Item) -> str:
        raise NotImplementedError


def text_answers(texts: Sequence[str], **facts: Any) -> Answers:
    """Return texts as answers; an empty one is none."""
    return Answers(
        outputs=tuple(text or None for text in texts),
        status=tuple("ok" if text else "empty" for text in texts),
        **facts,
    )


class Copy(TextBaseline):
    """Answer with the input itself."""

    title: ClassVar[str] = "copy of the input"
    good_for: ClassVar[str] = "the score that any text written must beat"
    needs: ClassVar[str] = "nothing"
    kinds: ClassVar[tuple[str, ...]] = ("writing",)
    learns: ClassVar[bool] = False
    floor: ClassVar[bool] = True

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Learn nothing."""

    def answer(self, item: Item) -> str:
        return item.text.strip()


# The end of a sentence, or of a turn of a dialogue.
_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+")


class Lead(TextBaseline):
    """Answer with the first sentences of the input, as many as score best on the pool."""

    title: ClassVar[str] = "first sentences of the input"
    good_for: ClassVar[str] = "summaries of texts that begin with what matters"
    needs: ClassVar[str] = "rows with texts to write, to choose how many sentences"
    kinds: ClassVar[tuple[str, ...]] = ("writing",)
    floor: ClassVar[bool] = True
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"most": (1, 100)}
    learnt: ClassVar[Learnt] = {"sentences": int}

    def __init__(self, *, seed: int, most: int = 5) -> None:
        self.seed, self.most = seed, most

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        metric = task.metrics[0]
        means = [
            np.mean([task.score(_lead(e.text, n) or None, e.targets)[metric] for e in examples])
            for n in range(1, self.most + 1)
        ]
        self.sentences = int(np.argmax(means)) + 1

    def answer(self, item: Item) -> str:
        return _lead(item.text, self.sentences)


def _lead(text: str, sentences: int) -> str:
    return " ".join(_SENTENCE.split(text.strip())[:sentences]).strip()


# Passages of documents in which words are counted: enough to know the common ones.
MOST_COUNTED = 5_000

# Numbers of passages that are tried, 0 for the first one whole; training rows for that.
NUMBERS, FEWEST_TRIED, MOST_TRIED = (1, 3, 5, 0), 16, 200


class Sentence(TextBaseline):
    """Answer with the sentence of what is read that shares the rarest words with the question.

    What is read is the question's own passage, or the first passages of the documents that BM25
    finds: as many as give the best answers to training rows, unless `k` says how many, or the first
    one whole.
    """

    title: ClassVar[str] = "best sentence of the passage"
    good_for: ClassVar[str] = "the score that a model that reads the passage must beat"
    needs: ClassVar[str] = "documents (--documents), or questions with a passage (fields)"
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
    revision: ClassVar[int] = 4
    reads: ClassVar[bool] = True
    floor: ClassVar[bool] = True
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"k": (1, 100)}
    # The field or the documents, and how rare words are.
    learnt: ClassVar[Learnt] = {
        "passage": str,
        "rarity": dict,
        "library": lambda facts: library_from(facts) if facts else None,
        "read": int,
    }

    k: int | None
    library: Library | None
    notes: Sequence[str] = ()

    def __init__(self, *, seed: int, k: int | None = None) -> None:
        self.seed, self.k = seed, k

    def refuses(self, task: Task) -> str | None:
        if passage_field(task) or corpus_of(task) is not None:
            return None
        return "the questions have no passage (fields), and there are no documents (--documents)."

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Index the documents, count in how many sentences each word occurs, and choose `k`."""
        self.passage, self.library = passage_field(task) or "", None
        if corpus_of(task) is None:
            texts = dict.fromkeys(e.fields.get(self.passage, "") for e in examples)
        else:
            [self.library] = libraries_for(task, "bm25")
            passages = self.library.index.passages
            step = math.ceil(len(passages) / MOST_COUNTED) or 1
            texts = dict.fromkeys(p.text for p in passages[::step])
        sentences = [words for text in texts for _, words in _sentences(text)]
        self.rarity = {
            word: math.log(len(sentences) / count)
            for word, count in sorted(Counter(w for words in sentences for w in words).items())
        }
        self.read, self.notes = self.k or 1, list[str]()
        if self.k is None and self.library is not None:
            self._choose(task, examples)

    def _choose(self, task: Task, examples: Sequence[Example]) -> None:
        """Choose how many passages are read, on rows from which nothing else is learnt."""
        rows = in_order([row for row in examples if row.evidence])[:MOST_TRIED]
        if len(rows) < FEWEST_TRIED:
            return
        items = [row.item() for row in rows]
        found = self._shown(items, max(NUMBERS))
        metric, means = task.metrics[0], dict[int, float]()
        for count in NUMBERS:
            scores = list[float]()
            for item, row, own in zip(items, rows, found, strict=True):
                answer = self._best(item, own[: count or 1], whole=not count)
                scores.append(task.score(answer or None, row.targets)[metric])
            means[count] = round(sum(scores) / len(scores), 9)
        self.read = max(means, key=means.__getitem__)
        told = ", ".join(f"{mean:.3f} with {n or 'the first whole'}" for n, mean in means.items())
        read = self.read or "the first, whole"
        self.notes = [f"Passages read: {read}. {metric} on {len(rows)} training rows: {told}."]

    def predict(self, items: Sequence[Item]) -> Answers:
        shown = self._shown(items, self.read or 1)
        pairs = zip(items, shown, strict=True)
        outputs = [self._best(*pair, whole=not self.read) for pair in pairs]
        known = self.library is not None or any(item.passages is not None for item in items)
        evidence = tuple(tuple(p.id for p in own) for own in shown) if known else None
        return text_answers(outputs, evidence=evidence)

    def reread(self, corpus: Corpus) -> float:
        assert self.library is not None
        self.library, seconds = self.library.reread(corpus)
        return seconds

    def facts(self) -> Mapping[str, Any]:
        saved = self.library.cached_seconds if self.library is not None else 0.0
        return {"cached_seconds": saved, "notes": self.notes}

    def _shown(self, items: Sequence[Item], most: int) -> list[list[Passage]]:
        if self.library is not None:
            return self.library.search(items, most)
        return [[*(item.passages or ())[:most]] for item in items]

    def _best(self, item: Item, passages: Sequence[Passage], *, whole: bool = False) -> str:
        asked = _words(item.text)
        # The question's own passage is in a field, unless another could have been given.
        own = item.fields.get(self.passage, "") if item.passages is None else ""
        texts = [passage.text for passage in passages] or [own]
        if whole:
            return " ".join(texts[0].split())
        unknown = max(self.rarity.values(), default=1.0)

        def score(words: frozenset[str]) -> float:
            shared = sum(self.rarity.get(word, unknown) for word in sorted(words & asked))
            return round(shared / math.sqrt(len(words) or 1), 9)

        every = [pair for text in texts for pair in _sentences(text)]
        return max(every, key=lambda pair: score(pair[1]), default=("", frozenset()))[0]


def _sentences(text: str) -> list[tuple[str, frozenset[str]]]:
    parts = (" ".join(part.split()) for part in _SENTENCE.split(text))
    return [(part, _words(part)) for part in parts if part]


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


class Nearest(TextBaseline):
    """Answer with the target of the most similar row of the pool, by TF-IDF."""

    title: ClassVar[str] = "answer of the nearest row"
    good_for: ClassVar[str] = "inputs that repeat; a reference for retrieval"
    needs: ClassVar[str] = "labelled rows"
    kinds: ClassVar[tuple[str, ...]] = ("extraction", "writing", "answering", "ranking")
    floor: ClassVar[bool] = True

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        self._index(list(examples))

    def predict(self, items: Sequence[Item]) -> Answers:
        if not items or not self.rows:
            return text_answers([""] * len(items))
        similar = (self.features([whole(item) for item in items]) @ self.matrix.T).toarray()
        rows = [self.rows[place] for place in similar.round(9).argmax(axis=1)]
        return text_answers([row.target for row in rows], evidence=tuple((row.id,) for row in rows))

    def save(self, folder: Path) -> None:
        """Write the pool itself."""
        write_fitted(folder, self, {"rows": row_facts(self.rows)})

    def load(self, folder: Path) -> None:
        facts, _ = read_fitted(folder, self)
        self._index(rows_from(facts["rows"]))

    def _index(self, rows: list[Example]) -> None:
        self.rows, self.features = rows, TfidfFeatures("words", "characters")
        if rows:
            self.matrix = self.features.fit([whole(row) for row in rows])


def whole(row: Item | Example) -> str:
    """Return everything that a row shows: its text and its further fields."""
    return " ".join([row.text, *row.fields.values()]) or " "

"""Baselines without a language model for texts: copy, lead, nearest and sentence."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from choose.models.saving import read_fitted, row_facts, rows_from, write_fitted
from choose.models.tfidf_logistic import TfidfFeatures
from choose.tasks.answering import passage_field
from choose.types import Answers, Example, Family, Item, Status, Task


class TextBaseline:
    """The base of these baselines: what they have in common, and answers from texts."""

    family: ClassVar[Family] = "baseline"
    revision: ClassVar[int] = 1
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = True
    always_compared: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer each item by itself."""
        outputs = [self.answer(item) for item in items]
        return Answers(
            outputs=tuple(output or None for output in outputs),
            status=tuple("ok" if output else "empty" for output in outputs),
        )

    def answer(self, item: Item) -> str:
        """Return the answer to one item; an empty text where there is none."""
        raise NotImplementedError


def statuses(status: Status, answers: Sequence[Any]) -> tuple[Status, ...]:
    """Return the same status for each answer."""
    return (status,) * len(answers)


class Copy(TextBaseline):
    """Answer with the input itself."""

    title: ClassVar[str] = "copy of the input"
    good_for: ClassVar[str] = "the score that any text written must beat"
    needs: ClassVar[str] = "nothing"
    takes: ClassVar[str] = "no time"
    kinds: ClassVar[tuple[str, ...]] = ("writing",)
    learns: ClassVar[bool] = False
    reference: ClassVar[bool] = True

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Learn nothing."""

    def answer(self, item: Item) -> str:
        """Return the text."""
        return item.text.strip()

    def save(self, folder: Path) -> None:
        """Write the settings."""
        write_fitted(folder, self, {})

    def load(self, folder: Path) -> None:
        """Restore the settings."""
        read_fitted(folder, self)


# The end of a sentence, or of a turn of a dialogue.
_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+")


class Lead(TextBaseline):
    """Answer with the first sentences of the input, as many as score best on the pool."""

    title: ClassVar[str] = "first sentences of the input"
    good_for: ClassVar[str] = "summaries of texts that begin with what matters"
    needs: ClassVar[str] = "rows with texts to write, to choose how many sentences"
    takes: ClassVar[str] = "seconds to train, under a millisecond an answer"
    kinds: ClassVar[tuple[str, ...]] = ("writing",)
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"most": (1, 100)}

    def __init__(self, *, seed: int, most: int = 5) -> None:
        self.seed, self.most = seed, most

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Choose the number of sentences by the headline metric on the pool."""
        metric = task.metrics[0]
        means = [
            np.mean([task.score(_lead(e.text, n) or None, e.targets)[metric] for e in examples])
            for n in range(1, self.most + 1)
        ]
        self.sentences = int(np.argmax(means)) + 1

    def answer(self, item: Item) -> str:
        """Return the first sentences."""
        return _lead(item.text, self.sentences)

    def save(self, folder: Path) -> None:
        """Write how many sentences are taken."""
        write_fitted(folder, self, {"sentences": self.sentences})

    def load(self, folder: Path) -> None:
        """Restore how many sentences are taken."""
        facts, _ = read_fitted(folder, self)
        self.sentences = int(facts["sentences"])


def _lead(text: str, sentences: int) -> str:
    return " ".join(_SENTENCE.split(text.strip())[:sentences]).strip()


class Sentence(TextBaseline):
    """Answer with the sentence of the passage that shares the rarest words with the question."""

    title: ClassVar[str] = "best sentence of the passage"
    good_for: ClassVar[str] = "the score that a model that reads the passage must beat"
    needs: ClassVar[str] = "questions with a passage, named with --field"
    takes: ClassVar[str] = "under a second to train, under a millisecond an answer"
    kinds: ClassVar[tuple[str, ...]] = ("answering",)
    reference: ClassVar[bool] = True

    def refuses(self, task: Task) -> str | None:
        """Return that there is no passage, or None."""
        return None if passage_field(task) else "the questions have no passage (--field)."

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Count in how many sentences of the pool's passages each word stands."""
        self.passage = passage_field(task) or ""
        passages = dict.fromkeys(e.fields.get(self.passage, "") for e in examples)
        sentences = [words for text in passages for _, words in _sentences(text)]
        self.rarity = {
            word: math.log(len(sentences) / count)
            for word, count in sorted(Counter(w for words in sentences for w in words).items())
        }

    def answer(self, item: Item) -> str:
        """Return the best sentence; of equally good ones the first."""
        asked = _words(item.text)
        unknown = max(self.rarity.values(), default=1.0)

        def score(words: frozenset[str]) -> float:
            shared = sum(self.rarity.get(word, unknown) for word in sorted(words & asked))
            return round(shared / math.sqrt(len(words) or 1), 9)

        found = _sentences(item.fields.get(self.passage, ""))
        return max(found, key=lambda pair: score(pair[1]), default=("", frozenset()))[0]

    def save(self, folder: Path) -> None:
        """Write the field and how rare words are."""
        write_fitted(folder, self, {"passage": self.passage, "rarity": self.rarity})

    def load(self, folder: Path) -> None:
        """Restore the field and how rare words are."""
        facts, _ = read_fitted(folder, self)
        self.passage = str(facts["passage"])
        self.rarity = {str(word): float(value) for word, value in facts["rarity"].items()}


def _sentences(text: str) -> list[tuple[str, frozenset[str]]]:
    """Return the sentences of a text, each on one line, with their words."""
    parts = (" ".join(part.split()) for part in _SENTENCE.split(text))
    return [(part, _words(part)) for part in parts if part]


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


class Nearest(TextBaseline):
    """Answer with the target of the most similar row of the pool, by TF-IDF."""

    title: ClassVar[str] = "answer of the nearest row"
    good_for: ClassVar[str] = "inputs that repeat; the floor of retrieval"
    needs: ClassVar[str] = "labelled rows"
    takes: ClassVar[str] = "seconds to train, milliseconds an answer"
    kinds: ClassVar[tuple[str, ...]] = ("extraction", "writing", "answering")
    reference: ClassVar[bool] = True

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Index the pool."""
        self._index(list(examples))

    def predict(self, items: Sequence[Item]) -> Answers:
        """Answer with a row's target; of equally similar rows the first counts."""
        if not items or not self.rows:
            return Answers(outputs=(None,) * len(items), status=statuses("empty", items))
        similar = (self.features([whole(item) for item in items]) @ self.matrix.T).toarray()
        rows = [self.rows[place] for place in similar.round(9).argmax(axis=1)]
        return Answers(
            outputs=tuple(row.target for row in rows),
            status=statuses("ok", rows),
            evidence=tuple((row.id,) for row in rows),
        )

    def save(self, folder: Path) -> None:
        """Write the pool itself."""
        write_fitted(folder, self, {"rows": row_facts(self.rows)})

    def load(self, folder: Path) -> None:
        """Restore the pool and index it."""
        facts, _ = read_fitted(folder, self)
        self._index(rows_from(facts["rows"]))

    def _index(self, rows: list[Example]) -> None:
        self.rows, self.features = rows, TfidfFeatures("words", "characters")
        if rows:
            self.matrix = self.features.fit([whole(row) for row in rows])


def whole(row: Item | Example) -> str:
    """Return everything that a row shows: its text and its further fields."""
    return " ".join([row.text, *row.fields.values()]) or " "

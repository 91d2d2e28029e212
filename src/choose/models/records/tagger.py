"""A linear tagger of words: where the values of a record's fields stand in a text.

Each word gets a tag: it begins a value of a field, goes on with one, or neither (BIO; Ramshaw and
Marcus 1995). Logistic regression over features of the word and its neighbours gives probabilities,
and the best sequence without a value that begins in its middle is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from choose.models.tfidf_logistic import LogisticHead
from choose.progress import report_progress
from choose.types import Floats

# Columns into which names of features are hashed.
COLUMNS = 2**20

# Words of a text that are tagged; others hold no value.
MOST_WORDS = 1_000

# From so many words of a pool on, features must hold of two words.
MANY_WORDS = 5_000

OUTSIDE = "O"

_WORD = re.compile(r"\w+(?:[.,:'/-]\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text with its place."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """A value of a field in a text: its words from `first` to before `last`."""

    field: str
    first: int
    last: int
    probability: float = 1.0


def words_of(text: str) -> list[Word]:
    """Return the words, numbers and marks of a text, in order."""
    found: list[Word] = []
    for match in _WORD.finditer(text):
        if len(found) == MOST_WORDS:
            break
        found.append(Word(match[0], match.start(), match.end()))
    return found


def written(text: str, words: Sequence[Word], span: Span) -> str:
    """Return the words of a span as they stand in the text."""
    return text[words[span.first].start : words[span.last - 1].end]


class Tagger:
    """Spans of fields in texts, learnt from texts with spans."""

    def __init__(self, C: float) -> None:
        self.head = LogisticHead(C)

    def fit(
        self,
        texts: Sequence[Sequence[Word]],
        contexts: Sequence[Sequence[str]],
        spans: Sequence[Sequence[Span]],
    ) -> None:
        """Learn the tags of words; `contexts` are features of a whole row, such as its fields."""
        tags = [_tags(len(words), found) for words, found in zip(texts, spans, strict=True)]
        matrix = _matrix(texts, contexts)
        # In a large pool a feature of one word teaches next to nothing, and is most of the columns.
        self.columns = np.flatnonzero(matrix.getnnz(axis=0) > (matrix.shape[0] > MANY_WORDS))
        self.head.fit(matrix[:, self.columns], [tag for row in tags for tag in row])

    def predict(
        self, texts: Sequence[Sequence[Word]], contexts: Sequence[Sequence[str]]
    ) -> list[list[Span]]:
        """Return the spans found in each text, in order."""
        if not any(texts) or not self.head.seen:  # a pool without words
            return [[] for _ in texts]
        probabilities = self.head.probabilities(_matrix(texts, contexts)[:, self.columns])
        ends = np.cumsum([len(words) for words in texts])[:-1]
        tags = list(self.head.seen)
        allowed = _allowed(tags)
        return [_spans(tags, allowed, rows) for rows in np.split(probabilities, ends)]

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the tags and a weight for each used column; no row of the pool."""
        facts, arrays = self.head.state()
        return facts, {**arrays, "columns": self.columns.astype(np.int64)}

    @classmethod
    def restored(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Tagger:
        """Rebuild the tagger from what `state` returned."""
        tagger = cls(facts["C"])
        tagger.columns = np.asarray(arrays["columns"])
        if (
            tagger.columns.ndim != 1
            or not ((tagger.columns >= 0) & (tagger.columns < COLUMNS)).all()
        ):
            raise ValueError("the columns of the tagger are not those of its features")
        tagger.head = LogisticHead.restored(facts, arrays)
        return tagger


def _tags(words: int, spans: Sequence[Span]) -> list[str]:
    tags = [OUTSIDE] * words
    for span in spans:
        tags[span.first : span.last] = [f"I {span.field}"] * (span.last - span.first)
        tags[span.first] = f"B {span.field}"
    return tags


def _allowed(tags: Sequence[str]) -> Floats:
    """Return (tags, tags) 0 where the second may follow the first, else minus infinity.

    Only its own beginning or middle may come before the middle of a value; the last row is the
    beginning of a text.
    """
    allowed = np.zeros((len(tags) + 1, len(tags)))
    for column, tag in enumerate(tags):
        if tag.startswith("I "):
            before = [one != tag and one != f"B {tag[2:]}" for one in tags]
            allowed[[*before, True], column] = -np.inf
    return allowed


def _spans(tags: Sequence[str], allowed: Floats, probabilities: Floats) -> list[Span]:
    """Return the spans of the most probable allowed sequence (Viterbi)."""
    count = len(probabilities)
    if not count:
        return []
    logs = np.log(np.maximum(probabilities, 1e-12))
    best, came = logs[0] + allowed[-1], np.zeros((count, len(tags)), dtype=np.int64)
    for word in range(1, count):
        paths = best[:, None] + allowed[:-1]
        came[word] = paths.argmax(axis=0)
        best = paths.max(axis=0) + logs[word]
    chosen = [int(best.argmax())]
    for word in range(count - 1, 0, -1):
        chosen.append(int(came[word, chosen[-1]]))
    return list(_read(tags, chosen[::-1], probabilities))


def _read(tags: Sequence[str], chosen: Sequence[int], probabilities: Floats) -> Iterator[Span]:
    first = 0
    for word in range(len(chosen) + 1):
        tag = tags[chosen[word]] if word < len(chosen) else OUTSIDE
        before = tags[chosen[word - 1]] if word else OUTSIDE
        if before != OUTSIDE and not tag.startswith("I "):
            sure = probabilities[range(first, word), chosen[first:word]].mean()
            yield Span(before[2:], first, word, float(sure))
        if tag.startswith("B "):
            first = word


def _matrix(texts: Sequence[Sequence[Word]], contexts: Sequence[Sequence[str]]) -> Any:
    """Return (words of all texts, COLUMNS) sparse features, 1 where a feature holds."""
    from scipy.sparse import csr_matrix

    hashed: dict[str, int] = {}
    columns: list[int] = []
    ends = [0]
    for number, (words, context) in enumerate(zip(texts, contexts, strict=True)):
        if number % 100 == 0:
            report_progress(number, len(texts), "reading words")
        for names in _features(words, context):
            for name in names:
                column = hashed.get(name)
                if column is None:
                    column = hashed[name] = crc32(name.encode("utf-8", "replace")) % COLUMNS
                columns.append(column)
            ends.append(len(columns))
    ones = np.ones(len(columns), dtype=np.float64)
    matrix = csr_matrix((ones, columns, ends), shape=(len(ends) - 1, COLUMNS))
    matrix.sum_duplicates()
    return matrix


def _features(words: Sequence[Word], context: Sequence[str]) -> Iterator[list[str]]:
    """Yield the names of the features that hold of each word."""
    lower = [word.text.casefold() for word in words]
    shapes = [_shape(word.text) for word in words]
    padded = ["<<", "<", *lower, ">", ">>"]
    forms = ["<<", "<", *shapes, ">", ">>"]
    size = min(len(words), 4)
    for i, (word, shape) in enumerate(zip(lower, shapes, strict=True)):
        at = i + 2
        names = [
            "bias",
            f"w {word}",
            f"s {shape}",
            f"p {word[:3]}",
            f"e {word[-3:]}",
            f"e2 {word[-2:]}",
            f"-1 {padded[at - 1]}",
            f"+1 {padded[at + 1]}",
            f"-2 {padded[at - 2]}",
            f"+2 {padded[at + 2]}",
            f"-1s {forms[at - 1]}",
            f"+1s {forms[at + 1]}",
            f"-21 {padded[at - 2]} {padded[at - 1]}",
            f"-1w {padded[at - 1]} {word}",
            f"w+1 {word} {padded[at + 1]}",
            f"+12 {padded[at + 1]} {padded[at + 2]}",
            f"-1s0 {padded[at - 1]} {shape}",
            f"s0+1 {shape} {padded[at + 1]}",
            f"sss {forms[at - 1]} {shape} {forms[at + 1]}",
            f"at {min(i, 3)} of {size}",
        ]
        names += [f"{one} w {word}" for one in context]
        names += [f"{one} s {shape}" for one in context]
        yield names + list(context)


def _shape(word: str) -> str:
    """Return the kind of a word: digits as 9, letters as a or A, runs of them shortened."""
    drawn = "".join(
        "9" if c.isdigit() else "A" if c.isupper() else "a" if c.isalpha() else c for c in word
    )
    return re.sub(r"(.)\1{2,}", r"\1\1\1", drawn)

"""What a reader sees of the words of a passage, beside those of a question."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from choose.models.retrieval.indexes import word_pattern

Columns = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

# The characters from a place to before another.
Chars = tuple[int, int]

# The most common words of passages, which are known by name beside an answer and in it, and those
# of questions, such as "who": their form of the answer is learnt.
COMMON, ASKED = 80, 40

# What all questions share, before those of their words that are in `ASKED`.
_BIAS = 1

# Words that share so many letters at their beginning are nearly equal; they count a little less.
_STEM, _NEARLY = 5, 0.7

# Decay of the weight of a nearby word of the question, for every word between.
_NEAR = 0.85

# Columns of `PassageWords.own`, of `PassageFeatures.shared`, and of what both ends of a span see.
OWN, SHARED, ENDS = 8, 3, 36

_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[\u3002\uff01\uff1f])|\n+")


@dataclass(frozen=True, slots=True)
class PassageWords:
    """The words and marks of a passage, and what they look like.

    Attributes:
        text: the passage.
        places: (n, 2) where each word begins and ends.
        low: the words without case.
        sentence: (n,) the number of the sentence of each.
        own: (n, OWN) capital, year, number, small letters, mark, all capitals, capital inside a
            sentence; the last column is for the rarity of a word, which is learnt.
    """

    text: str
    places: Places
    low: tuple[str, ...]
    sentence: Places
    own: Columns

    def written(self, first: int, last: int) -> str:
        """Return the text from a word to another."""
        return self.text[self.places[first, 0] : self.places[last, 1]]


@lru_cache(maxsize=4_096)
def passage_words(text: str) -> PassageWords:
    """Return the words of a text, read once."""
    found = list(word_pattern().finditer(text))
    words = [match.group() for match in found]
    places = np.array([match.span() for match in found], dtype=np.int64).reshape(-1, 2)
    ends = np.array([match.end() for match in _SENTENCE.finditer(text)], dtype=np.int64)
    sentence = np.searchsorted(ends, places[:, 0], side="right")
    own = np.array([_looks(word) for word in words], dtype=np.float32).reshape(-1, OWN)
    own[:, 6] = own[:, 0] * ~_first(sentence)
    return PassageWords(text, places, tuple(w.casefold() for w in words), sentence, own)


def _looks(word: str) -> list[bool]:
    return [
        word[0].isupper(),
        word.isdecimal() and len(word) == 4,
        any(character.isdecimal() for character in word),
        word.islower(),
        not word[0].isalnum(),
        word.isupper() and len(word) > 1,
        False,
        False,
    ]


def occurrences(answer: str, text: str) -> list[Chars]:
    """Return where the words of an answer occur in a text, but for case and marks around them."""
    wanted = list(passage_words(answer).low)
    while wanted and not wanted[-1][0].isalnum():
        wanted.pop()
    while wanted and not wanted[0][0].isalnum():
        wanted.pop(0)
    words = passage_words(text)
    return [
        (int(words.places[n, 0]), int(words.places[n + len(wanted) - 1, 1]))
        for n in range(len(words.low) - len(wanted) + 1)
        if wanted and words.low[n] == wanted[0] and list(words.low[n : n + len(wanted)]) == wanted
    ]


def _first(sentence: Places) -> npt.NDArray[np.bool_]:
    """Return (n,) whether a word is the first of a sentence."""
    first: npt.NDArray[np.bool_] = np.diff(sentence, prepend=-1) != 0
    return first


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What words are known from the pool and the passages.

    Attributes:
        rarity: of each word of the passages, 1 for one that occurs nowhere.
        common: the most common words of the passages.
        asked: the most common words of the questions.
    """

    rarity: Mapping[str, float]
    common: tuple[str, ...]
    asked: tuple[str, ...]

    @classmethod
    def learnt(cls, questions: Iterable[str], passages: Collection[str]) -> Vocabulary:
        """Count words in passages and questions."""
        holding, all_words, asked = Counter[str](), Counter[str](), Counter[str]()
        for text in passages:
            words = passage_words(text).low
            all_words.update(words)
            holding.update(set(words))
        for text in questions:
            asked.update(set(passage_words(text).low))
        most = math.log(2 * len(passages) + 2)
        rarity = {
            word: max(0.0, math.log((len(passages) + 1) / (count + 0.5)) / most)
            for word, count in sorted(holding.items())
        }
        return cls(rarity, _most(all_words, COMMON), _most(asked, ASKED))

    def rarities(self, words: Sequence[str]) -> Columns:
        """Return (n,) how rare words are."""
        return np.array([self.rarity.get(word, 1.0) for word in words], dtype=np.float32)

    def question(self, text: str) -> Columns:
        """Return (1 + ASKED,) which of the common words of questions a question has."""
        words = set(passage_words(text).low)
        known = [float(word in words) for word in self.asked]
        return np.array([1.0, *known, *[0.0] * (ASKED - len(known))], dtype=np.float32)


QUESTION = _BIAS + ASKED

# Common words are numbered from 1; 0 is any other word, and the last number is no word.
NUMBERS = COMMON + 2


def _most(counts: Counter[str], most: int) -> tuple[str, ...]:
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:most])


@dataclass(frozen=True, slots=True)
class PassageFeatures:
    """What is seen of a passage beside a question.

    Attributes:
        words: the words of the passage.
        own: (n, OWN) what they look like, with their rarity.
        shared: (n, SHARED) whether a word occurs in the question, how rare it then is, and whether
            a sentence begins.
        start: (n, ENDS) of a word that an answer may begin with, and `end` of a last one.
        number: (n + 2,) of the common words, with no word before the first and after the last.
        covered: the rarity of the question's words that the best sentence and the passage hold.
    """

    words: PassageWords
    own: Columns
    shared: Columns
    start: Columns
    end: Columns
    number: Places
    covered: tuple[float, float]


def passage_features(
    question: str, words: PassageWords, vocabulary: Vocabulary, heading: str = ""
) -> PassageFeatures:
    """Return what is seen of a passage beside a question; its heading counts as a part of it."""
    rarity = vocabulary.rarities(words.low)
    own = words.own.copy()
    own[:, 7] = rarity
    match, keys = _matches(question, words.low, rarity)
    first = _first(words.sentence).astype(np.float32)
    asked = [word for word in dict.fromkeys(passage_words(question).low) if word[0].isalnum()]
    total = float(vocabulary.rarities(asked).sum()) or 1.0
    sentences = _held(match, keys, words.sentence)
    best = max(sentences, default=0.0)
    whole = _covered(question, (match, keys), vocabulary, heading)
    mine = np.array(sentences, dtype=np.float32)[words.sentence]
    shared = np.stack([match > 0, match, first], axis=1).astype(np.float32)
    both = np.column_stack(
        [
            match > 0,
            match,
            *_nearby(match),
            *(column[::-1] for column in _nearby(match[::-1])),
            mine / (best or 1.0),
            mine / total,
            mine == best,
            np.full(len(match), whole / total),
            first,
        ]
    ).astype(np.float32)
    number = {word: place for place, word in enumerate(vocabulary.common, 1)}
    numbers = [number.get(word, 0) for word in words.low]
    return PassageFeatures(
        words,
        own,
        shared,
        np.hstack([both, _neighbours(own, match, 1)]),
        np.hstack([both, _neighbours(own, match, -1)]),
        np.array([NUMBERS - 1, *numbers, NUMBERS - 1], dtype=np.int64),
        (best / total, whole / total),
    )


def _matches(question: str, low: Sequence[str], rarity: Columns) -> tuple[Columns, list[str]]:
    """Return (n,) the rarity of words that occur in the question, and by what they match."""
    asked = {word for word in passage_words(question).low if word[0].isalnum()}
    stems = {word[:_STEM] for word in asked if len(word) >= _STEM}
    weights = [
        1.0 if word in asked else _NEARLY if len(word) >= _STEM and word[:_STEM] in stems else 0.0
        for word in low
    ]
    keys = [word if word in asked else word[:_STEM] for word in low]
    return np.array(weights, dtype=np.float32) * rarity, keys


def _held(match: Columns, keys: Sequence[str], part: Places) -> list[float]:
    """Return the rarity of the question's words that each part holds, each counted once."""
    sums = [0.0] * (int(part.max(initial=-1)) + 1)
    seen = set()
    for place in np.flatnonzero(match).tolist():
        key = int(part[place]), keys[place]
        if key not in seen:
            seen.add(key)
            sums[key[0]] += float(match[place])
    return sums


def _covered(
    question: str,
    matches: tuple[Columns, list[str]],
    vocabulary: Vocabulary,
    heading: str,
) -> float:
    """Return the rarity of the question's words that a passage or its heading holds."""
    above = passage_words(heading).low
    match, keys = _matches(question, above, vocabulary.rarities(above))
    every = np.concatenate([matches[0], match])
    return sum(_held(every, matches[1] + keys, np.zeros(len(every), dtype=np.int64)))


def _nearby(match: Columns) -> tuple[Columns, Columns]:
    """Return (n,) the nearest match before each word, and all of them, less with distance."""
    nearest, together = np.zeros_like(match), np.zeros_like(match)
    high = total = 0.0
    for place, here in enumerate(match.tolist()):
        nearest[place], together[place] = high, total
        high, total = _NEAR * max(high, here), _NEAR * (total + here)
    return nearest, together


def _neighbours(own: Columns, match: Columns, step: int) -> Columns:
    """Return what the word before looks like, or, with a step of -1, the one after."""
    looks = np.zeros((len(own), 6), dtype=np.float32)
    other = np.zeros(len(own), dtype=np.float32)
    if step > 0:
        looks[1:], other[1:] = own[:-1, :6], match[:-1]
    else:
        looks[:-1], other[:-1] = own[1:, :6], match[1:]
    pairs = own[:, :3, None] * looks[:, None, :]
    return np.hstack([other[:, None], looks, pairs.reshape(len(own), 18)])


class Source(NamedTuple):
    """A passage to read: its heading and its text."""

    heading: str
    text: str


class Place(NamedTuple):
    """Where an answer is: which passage, and from which character to before which."""

    passage: int
    start: int
    end: int


class Seen(NamedTuple):
    """A question: (QUESTION,) its words, what is seen of its passages, and (3,) of no answer."""

    question: Columns
    passages: Sequence[PassageFeatures]
    none: Columns


def seen(vocabulary: Vocabulary, question: str, sources: Sequence[Source]) -> Seen:
    """Return what is seen of some passages beside a question."""
    passages = [
        passage_features(question, passage_words(source.text), vocabulary, source.heading)
        for source in sources
    ]
    covered = [one.covered for one in passages] or [(0.0, 0.0)]
    none = np.array([1.0, *np.max(covered, axis=0)], dtype=np.float32)
    return Seen(vocabulary.question(question), passages, none)


def words_at(asked: Seen, place: Place) -> tuple[int, int, int] | None:
    """Return the passage, the first and the last word of characters, if they hold a word."""
    places = asked.passages[place.passage].words.places
    inside = np.flatnonzero((places[:, 0] < place.end) & (places[:, 1] > place.start))
    return (place.passage, int(inside[0]), int(inside[-1])) if len(inside) else None

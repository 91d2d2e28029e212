"""A linear tagger of words: where the values of a record's fields occur in a text.

Each word gets a tag: it begins a value of a field, goes on with one, or neither (BIO; Ramshaw and
Marcus 1995). A linear-chain conditional random field (Lafferty, McCallum and Pereira 2001) weighs
features of a word and its neighbours, and which tag follows which; the best sequence is taken.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from choose.models.records.values_in_text import NUMBER_WORDS, Span, Word, month_of, weekday_of
from choose.models.tfidf_and_logistic import MAX_PASSES
from choose.progress import report_progress
from choose.types import Codes, Floats

Weights = npt.NDArray[np.float32]

# Words on either side that are features of a word.
REACH = 5

# What is known of a word by itself, in the order of `_forms`. The class of a number, a day or a
# capitalised word is its kind, that of another word is the word.
WORD, SHAPE, KIND, CLASS, START_2, START_3, START_4, END_1, END_2, END_3, END_4 = range(11)

# Features of a word, each a form of one or several words at a distance from it.
_TEMPLATES: tuple[tuple[tuple[int, int], ...], ...] = (
    *(((form, 0),) for form in range(11)),
    *(((form, at),) for form in (WORD, KIND) for at in (-2, -1, 1, 2)),
    *(((form, at),) for form in (SHAPE, END_3) for at in (-1, 1)),
    ((WORD, -2), (WORD, -1)),
    ((WORD, -1), (WORD, 0)),
    ((WORD, 0), (WORD, 1)),
    ((WORD, 1), (WORD, 2)),
    ((WORD, -1), (SHAPE, 0)),
    ((SHAPE, 0), (WORD, 1)),
    ((CLASS, -1), (CLASS, 0)),
    ((CLASS, 0), (CLASS, 1)),
    ((CLASS, -2), (CLASS, -1), (CLASS, 0)),
    ((CLASS, -1), (CLASS, 0), (CLASS, 1)),
    ((SHAPE, -1), (SHAPE, 0), (SHAPE, 1)),
    ((KIND, -1), (KIND, 0), (KIND, 1)),
)

_NUMBERS = frozenset(NUMBER_WORDS) | {
    "half", "quarter", "couple", "dozen", "thirteen", "fourteen", "sixteen", "seventeen",
    "eighteen", "nineteen", "sixty", "seventy", "eighty", "ninety",
}  # fmt: skip

_DAYS = frozenset({"today", "tonight", "tomorrow", "yesterday"})

_TIME = re.compile(r"\d{1,2}[:.]\d\d(?:[ap]\.?m)?|\d{1,2}[ap]\.?m")

_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)")


def feature_codes(
    texts: Sequence[Sequence[Word]], contexts: Sequence[Sequence[str]]
) -> list[Codes]:
    """Return codes of features, each array with one for every word of all texts.

    `contexts` are features of a whole text, such as its further fields; a text without one has the
    code 0 in its place.
    """
    forms, at = _forms_of_words(texts)
    kinds, columns = forms[at, KIND], list[Codes]()
    for name, template in enumerate(_TEMPLATES):
        columns.append(_mixed(name, [forms[at + far, form] for form, far in template]))
    for far in range(1, REACH + 1):
        # The same feature at every distance: a word somewhere before, or after, one of this kind.
        columns.append(_mixed(100, [forms[at - far, CLASS], kinds]))
        columns.append(_mixed(101, [forms[at + far, CLASS], kinds]))
    sizes = np.array([len(words) for words in texts], dtype=np.int64)
    place = _places(sizes)
    columns += [_mixed(102, [place]), _mixed(103, [np.zeros_like(place)])]
    for number in range(max(map(len, contexts), default=0)):
        own = [_code(row[number]) if number < len(row) else 0 for row in contexts]
        context = np.repeat(np.array(own, dtype=np.int64), sizes)
        parts = [[], [forms[at, WORD]], [forms[at, SHAPE]], [kinds], [kinds, place]]
        for name, others in enumerate(parts, 104):
            columns.append(np.where(context == 0, 0, _mixed(name, [context, *others])))
    return columns


def _forms_of_words(texts: Sequence[Sequence[Word]]) -> tuple[Codes, Codes]:
    """Return (places, forms) codes, with room between texts, and the places of their words."""
    rows: dict[str, int] = {"": 0}
    order, at = [0] * REACH, list[int]()
    for number, words in enumerate(texts):
        if number % 100 == 0:
            report_progress(number, len(texts), "reading words")
        for word in words:
            if word.breaks:  # the break is a neighbour too: lists and addresses have a line each
                order.append(rows.setdefault("\n", len(rows)))
            at.append(len(order))
            order.append(rows.setdefault(word.text, len(rows)))
        order += [0] * REACH
    known = np.array([_forms(word) for word in rows], dtype=np.int64)
    return known[order], np.array(at, dtype=np.int64)


def _places(sizes: Codes) -> Codes:
    """Return a number for each word: whether it is the first, second, third or a later one.

    And whether its text has one, two, three or more words.
    """
    ends = np.cumsum(sizes)
    place = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
    return np.minimum(place, 3) * 5 + np.minimum(np.repeat(sizes, sizes), 4)


def _mixed(name: int, parts: Sequence[Codes]) -> Codes:
    """Return codes of the features of a name with these parts, never 0."""
    mixed = np.full(np.shape(parts[0]), name + 1, dtype=np.uint64)
    for part in parts:
        # The steps of splitmix64 (Steele, Lea and Flood 2014), which wrap round.
        mixed = (mixed ^ part.astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(1)).astype(np.int64) | 1


@lru_cache(maxsize=200_000)
def _forms(word: str) -> tuple[int, ...]:
    lower, shape = word.casefold(), _shape(word)
    named = _kind(lower.rstrip("."))
    kind = named or re.sub(r"(.)\1+", r"\1", shape)
    classed = kind if named or "9" in kind or kind.startswith("A") else lower
    pieces = [lower[:2], lower[:3], lower[:4], lower[-1:], lower[-2:], lower[-3:], lower[-4:]]
    return tuple(_code(text) for text in (lower, shape, kind, classed, *pieces))


def _code(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _kind(word: str) -> str:
    """Return the kind of a word that is known without its neighbours: a number, a day, ..."""
    if word in _NUMBERS:
        return "number"
    if word in _DAYS or weekday_of(word) is not None:
        return "day"
    if len(word) > 2 and month_of(word) is not None:
        return "month"
    if word in ("am", "pm", "a.m", "p.m"):
        return "half of day"
    if _ORDINAL.fullmatch(word):
        return "ordinal"
    return "time" if _TIME.fullmatch(word) else ""


def _shape(word: str) -> str:
    """Return the kind of a word: digits as 9, letters as a or A, runs of them shortened."""
    drawn = "".join(
        "9" if c.isdigit() else "A" if c.isupper() else "a" if c.isalpha() else c for c in word
    )
    return re.sub(r"(.)\1{2,}", r"\1\1\1", drawn)


OUTSIDE = "O"

# Log-odds taken from "no value" when a text is read: the best F1 comes from answering values that
# are less likely than not (Lipton, Elkan and Naryanaswamy 2014). Measured by cross-validation on
# three sets of 100 to 1,200 rows: up to four points of field-F1 over 0, and never less.
EAGERNESS = 0.7


class Tagger:
    """Spans of fields in texts, learnt from texts with spans.

    Attributes:
        C: the inverse of the strength of the L2 penalty.
        tags: those of the pool, in order.
        columns: (d,) ascending codes of the features that have weights.
        weights: (d + tags + 1, tags) of features, then of each tag before, then at the beginning.
    """

    def __init__(self, C: float) -> None:
        self.C = C

    def fit(
        self,
        texts: Sequence[Sequence[Word]],
        contexts: Sequence[Sequence[str]],
        spans: Sequence[Sequence[Span]],
    ) -> None:
        """Learn the tags of words; `contexts` are features of a whole row, such as its fields."""
        rows = [_tags(len(words), found) for words, found in zip(texts, spans, strict=True)]
        self.tags = sorted({tag for row in rows for tag in row})
        codes = feature_codes(texts, contexts)
        columns, uses = np.unique(np.concatenate(codes), return_counts=True)
        # Most features hold of one word alone, and teach nothing of others.
        self.columns = columns[(uses > 1) & (columns > 0)]
        if len(self.tags) < 2:
            shape = len(self.columns) + len(self.tags) + 1, len(self.tags)
            self.weights = np.zeros(shape, dtype=np.float32)
            return
        places = {tag: place for place, tag in enumerate(self.tags)}
        loss = ChainLoss(
            _matrix(codes, self.columns),
            np.array([places[tag] for row in rows for tag in row]),
            [len(row) for row in rows],
            self._allowed(),
            self.C,
        )
        self.weights = loss.least().astype(np.float32)

    def predict(
        self, texts: Sequence[Sequence[Word]], contexts: Sequence[Sequence[str]]
    ) -> list[list[Span]]:
        if not any(texts) or not self.tags:  # a pool without words
            return [[] for _ in texts]
        features = len(self.columns)
        scores = _matrix(feature_codes(texts, contexts), self.columns) @ self.weights[:features]
        scores = scores.astype(np.float64)
        if OUTSIDE in self.tags:
            scores[:, self.tags.index(OUTSIDE)] -= EAGERNESS
        moves = np.where(self._allowed(), self.weights[features:], -np.inf).astype(np.float64)
        ends = np.cumsum([len(words) for words in texts])[:-1]
        return [list(self._spans(rows, moves)) for rows in np.split(scores, ends)]

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"C": self.C, "tags": self.tags}, {"columns": self.columns, "weights": self.weights}

    @classmethod
    def restored(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        tagger = cls(float(facts["C"]))
        tagger.tags = [str(tag) for tag in facts["tags"]]
        tagger.columns, tagger.weights = np.asarray(arrays["columns"]), arrays["weights"]
        return tagger

    def _allowed(self) -> npt.NDArray[np.bool_]:
        """Return (tags + 1, tags) whether the second may follow the first, or begin a text.

        Only its own beginning or middle may come before the middle of a value.
        """
        allowed = np.ones((len(self.tags) + 1, len(self.tags)), dtype=np.bool_)
        for column, tag in enumerate(self.tags):
            if tag.startswith("I "):
                before = [one in (tag, f"B {tag[2:]}") for one in self.tags]
                allowed[:, column] = [*before, False]
        return allowed

    def _spans(self, scores: Floats, moves: Floats) -> Iterator[Span]:
        """Yield the spans of the best sequence of tags, with the mean probability of their tags."""
        if not len(scores):
            return
        chosen = _best_sequence(scores, moves)
        chances = SequenceSums([len(scores)]).of(scores, np.exp(moves))[1]
        first = 0
        for word in range(len(chosen) + 1):
            tag = self.tags[chosen[word]] if word < len(chosen) else OUTSIDE
            before = self.tags[chosen[word - 1]] if word else OUTSIDE
            if before != OUTSIDE and not tag.startswith("I "):
                sure = chances[range(first, word), chosen[first:word]].mean()
                yield Span(before[2:], first, word, float(sure))
            if tag.startswith("B "):
                first = word


def _tags(words: int, spans: Sequence[Span]) -> list[str]:
    tags = [OUTSIDE] * words
    for span in spans:
        tags[span.first : span.last] = [f"I {span.field}"] * (span.last - span.first)
        tags[span.first] = f"B {span.field}"
    return tags


def _matrix(codes: Sequence[Codes], columns: Codes) -> Any:
    from scipy.sparse import csr_matrix

    flat = np.stack(codes, axis=1) if codes else np.zeros((0, 0), dtype=np.int64)
    places = np.searchsorted(columns, flat)
    known = columns[np.minimum(places, len(columns) - 1)] == flat if len(columns) else flat < 0
    ends = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
    found = places[known]
    matrix = csr_matrix(
        (np.ones(len(found), dtype=np.float32), found, ends), shape=(len(flat), len(columns))
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1  # a word that is nearby twice
    return matrix


def _best_sequence(scores: Floats, moves: Floats) -> list[int]:
    best, came = scores[0] + moves[-1], np.zeros(scores.shape, dtype=np.int64)
    for word in range(1, len(scores)):
        paths = best[:, None] + moves[:-1]
        came[word] = paths.argmax(axis=0)
        best = paths.max(axis=0) + scores[word]
    chosen = [int(best.argmax())]
    for word in range(len(scores) - 1, 0, -1):
        chosen.append(int(came[word, chosen[-1]]))
    return chosen[::-1]


class SequenceSums:
    """Sums over all sequences of tags of texts, first words of all texts first, then second ones.

    Attributes:
        order: the place of each word, counted text by text.
        first: how many texts have a word.
        before: the word before each word that is not a first one, in this order.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        sizes = np.array(lengths, dtype=np.int64)
        starts = np.cumsum(sizes) - sizes
        longest = np.argsort(-sizes, kind="stable")
        sizes, starts = sizes[longest], starts[longest]
        counts = [int((sizes > word).sum()) for word in range(int(sizes.max(initial=0)))]
        self.ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        none = [np.zeros(0, dtype=np.int64)]
        self.order = np.concatenate(none + [starts[:n] + word for word, n in enumerate(counts)])
        self.first = counts[0] if counts else 0
        begins = zip(self.ends, counts[1:], strict=False)
        self.before = np.concatenate(none + [np.arange(start, start + n) for start, n in begins])

    def of(self, scores: Any, moves: Any) -> tuple[float, Any, Any]:
        """Return the log of the sum, (words, tags) probabilities and those of each move, summed.

        Args:
            scores: (words, tags) in the order of this object.
            moves: (tags + 1, tags) factors of a move from tag to tag, last those of a beginning.
        """
        highest = scores.max(axis=1, keepdims=True)
        factors = np.exp(scores - highest)
        ahead, behind = np.empty_like(factors), np.ones_like(factors)
        norms = np.empty(len(factors), dtype=factors.dtype)
        blocks = list(zip(self.ends[:-1], self.ends[1:], strict=True))
        for number, (start, end) in enumerate(blocks):
            before = blocks[number - 1][0]
            came = ahead[before : before + end - start] @ moves[:-1] if number else moves[-1]
            some = came * factors[start:end]
            # A step of the solver that goes much too far leaves no probability, which is no error.
            norms[start:end] = np.maximum(some.sum(axis=1), 1e-30)
            np.divide(some, norms[start:end, None], out=ahead[start:end])
        factors /= norms[:, None]
        for number in range(len(blocks) - 1, 0, -1):
            (start, end), before = blocks[number], blocks[number - 1][0]
            some = factors[start:end] * behind[start:end]
            behind[before : before + end - start] = some @ moves[:-1].T
        total = float(np.log(norms).sum(dtype=np.float64) + highest.sum(dtype=np.float64))
        later = factors[self.first :] * behind[self.first :]
        return total, ahead * behind, (ahead[self.before].T @ later) * moves[:-1]


class ChainLoss:
    """The mean log loss of a word with an L2 penalty, of the weights of a `Tagger`."""

    def __init__(
        self,
        rows: Any,
        targets: Codes,
        lengths: Sequence[int],
        allowed: npt.NDArray[np.bool_],
        C: float,
    ) -> None:
        self.sums = SequenceSums(lengths)
        self.rows, self.targets = rows[self.sums.order].tocsr(), targets[self.sums.order]
        self.columns = self.rows.T.tocsr()
        self.allowed, self.words, tags = allowed, len(targets), allowed.shape[1]
        self.shape, self.penalty = (rows.shape[1] + tags + 1, tags), 1 / (C * len(targets))
        # How often each tag followed each, and began a text.
        self.moves = np.zeros(allowed.shape, dtype=np.float32)
        np.add.at(self.moves, (self.targets[self.sums.before], self.targets[self.sums.first :]), 1)
        self.moves[-1] = np.bincount(self.targets[: self.sums.first], minlength=tags)

    def least(self) -> Floats:
        """Return the weights at which the loss is least, by L-BFGS (Liu and Nocedal 1989)."""
        from scipy.optimize import minimize

        passes = 0

        def loss(flat: Floats) -> Any:
            nonlocal passes
            passes += 1
            report_progress(min(passes, MAX_PASSES - 1), MAX_PASSES, "tagging", at_most=True)
            value, gradient = self(flat.reshape(self.shape).astype(np.float32))
            return value, gradient.ravel().astype(np.float64)

        options = {"maxiter": MAX_PASSES, "gtol": 1e-4}
        start = np.zeros(self.shape).ravel()
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
        return np.asarray(found.x).reshape(self.shape)

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        features = self.rows.shape[1]
        scores, moves = self.rows @ weights[:features], weights[features:]
        own = np.arange(self.words), self.targets
        reached = float(scores[own].sum(dtype=np.float64)) + float(np.vdot(moves, self.moves))
        factors = np.where(self.allowed, np.exp(moves), 0).astype(np.float32)
        total, chances, pairs = self.sums.of(scores, factors)
        began = chances[: self.sums.first].sum(axis=0)
        chances[own] -= 1
        gradient = weights * np.float32(self.penalty)
        gradient[:features] += (self.columns @ chances) / self.words
        gradient[features:-1] += (pairs - self.moves[:-1]) / self.words
        gradient[-1] += (began - self.moves[-1]) / self.words
        squares = float(np.vdot(weights, weights))
        return (total - reached) / self.words + 0.5 * self.penalty * squares, gradient

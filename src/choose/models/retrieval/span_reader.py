"""A linear reader: the most probable span of some passages as the answer to a question.

The score of a span is a sum over its first word, its last word, the words inside and its length;
what the words look like is weighed by which common words the question has, such as "who". All spans
of all passages of a question, and that there is no answer, share one softmax, so that scores of
passages can be compared (Clark and Gardner 2018). On 400 questions of xquad_en the states of MiniLM
added nothing to these features, and MiniLM alone, tuned on 100, read far worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from choose.models.classical.logistic_solver import SETTLED, Weights, minimise
from choose.models.retrieval.span_features import (
    ENDS,
    NUMBERS,
    OWN,
    QUESTION,
    SHARED,
    Place,
    Seen,
    Source,
    Vocabulary,
    seen,
    words_at,
)
from choose.models.saving import floats
from choose.progress import report_progress

# Words of the longest answer that is read, at least and at most.
SHORTEST, LONGEST = 8, 60

# What the words of a question say of the length of the answer: four shapes of it.
_LENGTHS = 4

# Words whose spans are scored at a time.
_BLOCK = 100_000

# The parts of the weights and how many each has, without those of lengths.
_SIZES = {
    "start": ENDS,
    "start own": OWN * QUESTION,
    "start before": NUMBERS,
    "start number": NUMBERS,
    "end": ENDS,
    "end own": OWN * QUESTION,
    "end number": NUMBERS,
    "end after": NUMBERS,
    "inside": SHARED,
    "inside own": OWN * QUESTION,
    "asked length": _LENGTHS * QUESTION,
    "none": 3,
}

_Matrix = npt.NDArray[np.float32]


class Row(NamedTuple):
    """A question with the passages that are read for it, and every place of its answer."""

    question: str
    sources: Sequence[Source]
    answers: Sequence[Place]


class Reading(NamedTuple):
    """The best answer, the passage it occurs in, its probability, and that of no answer."""

    answer: str
    passage: int
    probability: float
    none: float


class SpanReader:
    """Answers from passages, learnt from questions whose answers occur in some.

    Attributes:
        C: the inverse of the strength of the L2 penalty.
        vocabulary: what is known of words.
        longest: words of the longest answer.
        weights: by part.
    """

    def __init__(self, C: float) -> None:
        self.C = C

    def fit(self, rows: Sequence[Row], texts: Sequence[str]) -> None:
        """Learn from questions, and from texts how rare words are."""
        self.vocabulary = Vocabulary.learnt([row.question for row in rows], texts)
        read, spans = [], []
        for count, row in enumerate(rows, 1):
            asked = seen(self.vocabulary, row.question, row.sources)
            if sum(len(one.own) for one in asked.passages):
                read.append(asked)
                spans.append([s for place in row.answers if (s := words_at(asked, place))])
            report_progress(count, len(rows), "reading")
        lengths = [last - first + 1 for row in spans for _, first, last in row]
        usual = float(np.quantile(lengths, 0.99)) if lengths else 0.0
        self.longest = int(np.clip(usual, SHORTEST, LONGEST))
        if not read:
            self.weights = _parts(np.zeros((_size(self.longest), 1), np.float32), self.longest)
            return
        loss = _SpanLoss(list(_blocks(read, spans, self.longest)), len(read), self.C, self.longest)
        self.weights = _parts(minimise(loss, least=SETTLED), self.longest)

    def read(self, question: str, sources: Sequence[Source]) -> Reading | None:
        """Return the best answer; of equally good ones the first. None if nothing can be read."""
        asked = seen(self.vocabulary, question, sources)
        best: tuple[float, int, int, int] | None = None
        scores = [float((asked.none @ self.weights["none"]).item())]
        for number, passage in enumerate(asked.passages):
            if not len(passage.own):
                continue
            # Each passage by itself: sums over several would depend on how many there are.
            block = _block([Seen(asked.question, [passage], asked.none)], [[]], self.longest)
            spans = _span_scores(block, self.weights)[0]
            place = int(spans.argmax())
            first, length = divmod(place, self.longest)
            scores += [top := float(spans.max()), _log_sum(spans) - top]
            if best is None or top > best[0]:
                best = top, number, first, first + length
        if best is None:
            return None
        none, tops, rests = scores[0], scores[1::2], scores[2::2]
        total = float(
            np.logaddexp.reduce([none, *(t + r for t, r in zip(tops, rests, strict=True))])
        )
        _, number, first, last = best
        text = asked.passages[number].words.written(first, last)
        return Reading(text, number, float(np.exp(best[0] - total)), float(np.exp(none - total)))

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what is known of words, and the weights."""
        return {"C": self.C, "longest": self.longest, **asdict(self.vocabulary)}, dict(self.weights)

    @classmethod
    def restored(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> SpanReader:
        """Rebuild the reader from what `state` returned.

        Raises:
            ValueError: if the weights are not those of its features.
        """
        reader = cls(float(facts["C"]))
        reader.longest = int(facts["longest"])
        if not SHORTEST <= reader.longest <= LONGEST:
            raise ValueError(f"an answer has up to {reader.longest} words")
        rarity = {str(word): float(value) for word, value in facts["rarity"].items()}
        common, asked = (tuple(map(str, facts[name])) for name in ("common", "asked"))
        if len(common) > NUMBERS - 2 or len(asked) > QUESTION - 1:
            raise ValueError("there are more common words than weights for them")
        reader.vocabulary = Vocabulary(rarity, common, asked)
        sizes = {**_SIZES, "length": reader.longest}
        reader.weights = {
            name: np.asarray(floats(arrays, name, size), np.float32) for name, size in sizes.items()
        }
        return reader


@dataclass(frozen=True, slots=True)
class _Block:
    """Some questions with the words of their passages one after another.

    Attributes:
        start: (n, ENDS), as are `end`, `shared` and `own` of `PassageFeatures`.
        number: (3, n) the common words before, here and after.
        room: (n,) words from each to the end of its passage.
        group: (n,) the question of each word, and `first` the first word of each question.
        question: (questions, QUESTION), and `none` (questions, 3).
        gold: (3, spans) question, first word and length - 1 of the answers.
        unanswered: (questions,) whether a question has none.
    """

    start: _Matrix
    end: _Matrix
    shared: _Matrix
    own: _Matrix
    number: npt.NDArray[np.int64]
    room: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    question: _Matrix
    none: _Matrix
    gold: npt.NDArray[np.int64]
    unanswered: npt.NDArray[np.bool_]


_Spans = Sequence[tuple[int, int, int]]


def _blocks(rows: Sequence[Seen], spans: Sequence[_Spans], longest: int) -> Iterator[_Block]:
    """Yield blocks of whole questions."""
    begin = words = 0
    for place, row in enumerate(rows):
        own = sum(len(one.own) for one in row.passages)
        if words and words + own > _BLOCK:
            yield _block(rows[begin:place], spans[begin:place], longest)
            begin, words = place, 0
        words += own
    yield _block(rows[begin:], spans[begin:], longest)


def _block(rows: Sequence[Seen], spans: Sequence[_Spans], longest: int) -> _Block:
    passages = [one for row in rows for one in row.passages]
    lengths = [len(one.own) for one in passages]
    sizes = [sum(len(one.own) for one in row.passages) for row in rows]
    gold, begin = [], 0
    for group, (row, own) in enumerate(zip(rows, spans, strict=True)):
        starts = [0, *accumulate(len(one.own) for one in row.passages)]
        places = {(begin + starts[number] + first, last - first) for number, first, last in own}
        gold += [(group, first, extra) for first, extra in sorted(places) if extra < longest]
        begin += starts[-1]
    answered = {group for group, _, _ in gold}
    return _Block(
        start=np.concatenate([one.start for one in passages]),
        end=np.concatenate([one.end for one in passages]),
        shared=np.concatenate([one.shared for one in passages]),
        own=np.concatenate([one.own for one in passages]),
        number=np.hstack([[p.number[:-2], p.number[1:-1], p.number[2:]] for p in passages]),
        room=np.concatenate([np.arange(n, 0, -1) for n in lengths]),
        group=np.repeat(np.arange(len(rows)), sizes),
        first=np.cumsum([0, *sizes[:-1]]),
        question=np.stack([row.question for row in rows]),
        none=np.stack([row.none for row in rows]),
        gold=np.array(gold, dtype=np.int64).reshape(-1, 3).T,
        unanswered=np.array([group not in answered for group in range(len(rows))]),
    )


def _size(longest: int) -> int:
    return sum(_SIZES.values()) + longest


def _parts(weights: Weights, longest: int) -> dict[str, _Matrix]:
    """Return views of the parts of (size, 1) weights."""
    parts, place = {}, 0
    for name, size in {**_SIZES, "length": longest}.items():
        parts[name] = weights[place : place + size, 0]
        place += size
    return parts


def _shapes(longest: int) -> _Matrix:
    """Return (_LENGTHS, longest) functions of the number of words less one."""
    extra = np.arange(longest, dtype=np.float32)
    return np.stack([np.log1p(extra), extra / 10, extra == 0, extra > 4]).astype(np.float32)


def _span_scores(block: _Block, weights: Mapping[str, _Matrix]) -> tuple[_Matrix, _Matrix]:
    """Return (n, longest) scores of spans by first word and further words, and of no answer."""
    before, here, after = block.number
    asked = {
        name: ((block.question @ weights[name].reshape(QUESTION, OWN))[block.group] * block.own)
        for name in ("start own", "end own", "inside own")
    }
    start = block.start @ weights["start"] + asked["start own"].sum(axis=1)
    start += weights["start before"][before] + weights["start number"][here]
    end = block.end @ weights["end"] + asked["end own"].sum(axis=1)
    end += weights["end number"][here] + weights["end after"][after]
    inside = block.shared @ weights["inside"] + asked["inside own"].sum(axis=1)
    until = np.concatenate([[0.0], np.cumsum(inside, dtype=np.float64)])
    longest, count = len(weights["length"]), len(start)
    lengths = block.question @ weights["asked length"].reshape(QUESTION, _LENGTHS)
    by_length = weights["length"] + lengths @ _shapes(longest)
    scores = start[:, None] + by_length[block.group]
    for extra in range(min(longest, count)):
        held = until[extra + 1 :] - until[: count - extra]
        scores[: count - extra, extra] += end[extra:] + held.astype(np.float32)
    scores[np.arange(longest) >= block.room[:, None]] = -np.inf
    return scores, block.none @ weights["none"]


def _log_sum(scores: _Matrix) -> float:
    top = scores.max()
    return float(top) + float(np.log(np.exp(scores - top).sum(dtype=np.float64)))


class _SpanLoss:
    """The mean log loss of a question with an L2 penalty."""

    def __init__(self, blocks: Sequence[_Block], questions: int, C: float, longest: int) -> None:
        self.blocks, self.questions, self.longest = blocks, questions, longest
        self.shape, self.penalty = (_size(longest), 1), 1 / (C * questions)

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        """Return the loss and its gradient."""
        gradient = np.zeros_like(weights)
        parts, into, total = _parts(weights, self.longest), _parts(gradient, self.longest), 0.0
        for block in self.blocks:
            total += self._add(block, parts, into)
        gradient /= np.float32(self.questions)
        gradient += np.float32(self.penalty) * weights
        squares = float(np.vdot(weights, weights))
        return total / self.questions + 0.5 * self.penalty * squares, gradient

    def _add(self, block: _Block, weights: dict[str, _Matrix], into: dict[str, _Matrix]) -> float:
        """Return the loss of a block, and add its gradient."""
        scores, none = _span_scores(block, weights)
        top = np.maximum(np.maximum.reduceat(scores.max(axis=1), block.first), none)
        chances = np.exp(scores - top[block.group][:, None])
        empty = np.exp(none - top)
        sums = np.add.reduceat(chances.sum(axis=1, dtype=np.float64), block.first) + empty
        group, first, extra = block.gold
        right = chances[first, extra]
        reached = np.bincount(group, right, minlength=len(none)) + empty * block.unanswered
        # A step of the solver that goes much too far leaves no probability, which is no error.
        reached = np.maximum(reached, 1e-30)
        chances /= sums[block.group][:, None].astype(np.float32)
        chances[first, extra] -= (right / reached[group]).astype(np.float32)
        empty = empty / sums - block.unanswered
        into["none"] += block.none.T @ empty.astype(np.float32)
        self._add_words(block, chances, into)
        return float(np.log(sums).sum() - np.log(reached).sum())

    def _add_words(self, block: _Block, chances: _Matrix, into: dict[str, _Matrix]) -> None:
        """Add the gradient of the weights of words and lengths, given that of (n, longest)."""
        before, here, after = block.number
        start, count = chances.sum(axis=1), len(chances)
        end, steps = np.zeros_like(start), np.zeros(count + 1, dtype=np.float64)
        steps[:count] = start
        for extra in range(min(self.longest, count)):
            end[extra:] += chances[: count - extra, extra]
            steps[extra + 1 :] -= chances[: count - extra, extra]
        inside = np.cumsum(steps[:count]).astype(np.float32)
        for name, columns, values in (
            ("start", block.start, start),
            ("end", block.end, end),
            ("inside", block.shared, inside),
        ):
            into[name] += columns.T @ values
            own = np.add.reduceat(block.own * values[:, None], block.first)
            into[f"{name} own"] += (block.question.T @ own).ravel()
        for name, numbers, values in (
            ("start before", before, start),
            ("start number", here, start),
            ("end number", here, end),
            ("end after", after, end),
        ):
            into[name] += np.bincount(numbers, values, minlength=NUMBERS).astype(np.float32)
        lengths = np.add.reduceat(chances, block.first)
        into["length"] += lengths.sum(axis=0)
        asked = block.question.T @ (lengths @ _shapes(self.longest).T)
        into["asked length"] += asked.ravel()

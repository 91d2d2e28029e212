"""The tagger of words: its sums against all sequences, and what it learns."""

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.sparse import csr_matrix

from choose.models.records.tagger import ChainLoss, SequenceSums, Tagger
from choose.models.records.values_in_text import Span, Word, words_of, written
from choose.types import Floats

LENGTHS = [3, 0, 1, 4]


def enumerated(scores: Floats, moves: Floats) -> tuple[float, Floats, Floats]:
    """Return what `SequenceSums.of` does, from every sequence of one text."""
    count, tags = scores.shape
    total, chances, pairs = 0.0, np.zeros(scores.shape), np.zeros((tags, tags))
    for sequence in product(range(tags), repeat=count):
        weight = moves[-1, sequence[0]] * np.exp(
            sum(scores[n, tag] for n, tag in enumerate(sequence))
        )
        weight *= np.prod([moves[move] for move in pairwise(sequence)])
        total += weight
        chances[range(count), sequence] += weight
        for move in pairwise(sequence):
            pairs[move] += weight
    return float(np.log(total)), chances / total, pairs / total


def test_sums_over_sequences_are_those_of_all_sequences() -> None:
    rng = np.random.default_rng(3)
    scores, moves = rng.normal(size=(8, 3)) * 3, np.exp(rng.normal(size=(4, 3)))
    moves[0, 2] = moves[3, 2] = 0  # moves that are not allowed
    sums = SequenceSums(LENGTHS)
    total, chances, pairs = sums.of(scores[sums.order], moves)
    texts = [part for part in np.split(scores, np.cumsum(LENGTHS)[:-1]) if len(part)]
    each = [enumerated(part, moves) for part in texts]
    assert total == pytest.approx(sum(one[0] for one in each))
    in_order = np.concatenate([one[1] for one in each])[sums.order]
    assert np.allclose(chances, in_order)
    assert np.allclose(pairs, sum(one[2] for one in each))


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(5)
    rows = csr_matrix((rng.random((8, 6)) < 0.5).astype(np.float64))
    allowed = np.ones((4, 3), dtype=bool)
    allowed[0, 2] = allowed[3, 2] = False
    targets = np.array([0, 1, 2, 1, 0, 0, 1, 2])
    loss = ChainLoss(rows, targets, LENGTHS, allowed, 2.0)

    def value(flat: Floats) -> float:
        return loss(flat.reshape(loss.shape))[0]

    def gradient(flat: Floats) -> Floats:
        return loss(flat.reshape(loss.shape))[1].ravel()

    point = rng.normal(size=loss.shape).ravel()
    error = check_grad(value, gradient, point, epsilon=1e-5)
    assert error < 1e-3 * np.linalg.norm(gradient(point))


def learnt(texts: list[str], spans: list[list[Span]], C: float = 10.0) -> Tagger:
    tagger = Tagger(C)
    tagger.fit([words_of(text) for text in texts], [[] for _ in texts], spans)
    return tagger


def found(tagger: Tagger, text: str, *context: str) -> list[tuple[str, str]]:
    words = words_of(text)
    return [(s.field, written(text, words, s)) for s in tagger.predict([words], [context])[0]]


NAMES = ["Ann Lee", "Bo Day", "Cy Orr", "Di Fox", "Ed Poe", "Flo Ray"]


def test_values_are_found_by_their_kind_and_by_the_words_around_them() -> None:
    texts = [f"This is {name}, a table for {3 + n} on Monday" for n, name in enumerate(NAMES)]
    spans = [[Span("name", 2, 4), Span("people", 8, 9), Span("day", 10, 11)] for _ in texts]
    tagger = learnt(texts, spans)
    # A number in words and a weekday that no text of the pool holds.
    assert found(tagger, "This is Gus Hay, a table for eleven on Thursday") == [
        ("name", "Gus Hay"),
        ("people", "eleven"),
        ("day", "Thursday"),
    ]


def test_the_lines_of_a_text_are_seen() -> None:
    texts = [f"{first}\n{second} {third}" for first, second, third in product("abc", repeat=3)]
    tagger = learnt(texts, [[Span("second", 1, 2)] for _ in texts])
    assert found(tagger, "b a\nc") == [("second", "c")]


def test_fields_of_a_row_tell_what_a_bare_value_is() -> None:
    texts = [str(n) for n in range(2, 30)]
    asked = [["asked=time"] if n % 2 else ["asked=people"] for n in range(len(texts))]
    spans = [[Span(row[0].partition("=")[2], 0, 1)] for row in asked]
    tagger = Tagger(10.0)
    tagger.fit([words_of(text) for text in texts], asked, spans)
    assert found(tagger, "77", "asked=time") == [("time", "77")]
    assert found(tagger, "77", "asked=people") == [("people", "77")]


def test_a_value_is_as_sure_as_its_tags_are_probable() -> None:
    texts = ["x one"] * 30 + ["x two"] * 30
    spans = [[Span("value", 1, 2)]] * 59 + [[]]
    tagger = learnt(texts, spans)
    one, two = tagger.predict([words_of("x one"), words_of("x two")], [[], []])
    assert 0.9 < two[0].probability < one[0].probability < 1


@pytest.mark.parametrize("texts", [[], [""], ["", "\n"], ["a"]])
def test_pools_without_values(texts: list[str]) -> None:
    tagger = learnt(texts, [[] for _ in texts])
    assert found(tagger, "a b") == []
    restored = Tagger.restored(*tagger.state())
    assert restored.predict([[Word("a", 0, 1)]], [[]]) == [[]]


@pytest.mark.parametrize("damage", ["columns", "weights"])
def test_a_damaged_file_is_refused(damage: str) -> None:
    facts, arrays = learnt(["x one", "x two"], [[Span("value", 1, 2)]] * 2).state()
    arrays[damage] = arrays[damage][::-1][:-1]
    with pytest.raises(ValueError, match="not those of its features"):
        Tagger.restored(facts, arrays)

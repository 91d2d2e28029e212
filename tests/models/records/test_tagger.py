"""The tagger of words: its sums against all sequences, and what it learns."""

from datetime import date
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.sparse import csr_matrix

from choose.models.records.tagger import ChainLoss, SequenceSums, Tagger
from choose.models.records.values_in_text import (
    Span,
    Word,
    date_in,
    literal_fields,
    without_inventions,
    words_of,
    written,
)
from choose.tasks.extraction import Extraction, as_text
from choose.types import Answers, Example, Floats, Item

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
    assert np.allclose(chances, np.concatenate([one[1] for one in each])[sums.order])
    assert np.allclose(pairs, sum(one[2] for one in each))


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(5)
    rows = csr_matrix((rng.random((8, 6)) < 0.5).astype(np.float64))
    allowed = np.ones((4, 3), dtype=bool)
    allowed[0, 2] = allowed[3, 2] = False
    loss = ChainLoss(rows, np.array([0, 1, 2, 1, 0, 0, 1, 2]), LENGTHS, allowed, 2.0)

    def value(flat: Floats) -> float:
        return loss(flat.reshape(loss.shape))[0]

    def gradient(flat: Floats) -> Floats:
        return loss(flat.reshape(loss.shape))[1].ravel()

    point = rng.normal(size=loss.shape).ravel()
    assert check_grad(value, gradient, point, epsilon=1e-5) < 1e-3 * np.linalg.norm(gradient(point))


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
    tagger = learnt(texts, [[Span("value", 1, 2)]] * 59 + [[]])
    one, two = tagger.predict([words_of("x one"), words_of("x two")], [[], []])
    assert 0.9 < two[0].probability < one[0].probability < 1


@pytest.mark.parametrize("texts", [[], [""], ["", "\n"], ["a"]])
def test_pools_without_values(texts: list[str]) -> None:
    tagger = learnt(texts, [[] for _ in texts])
    assert found(tagger, "a b") == []
    assert Tagger.restored(*tagger.state()).predict([[Word("a", 0, 1)]], [[]]) == [[]]


TUESDAY = date(2025, 1, 7)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2025-01-14", "2025-01-14"),
        ("14/1", "2025-01-14"),
        ("14.1.25", "2025-01-14"),
        ("14 Jan", "2025-01-14"),
        ("14th of January", "2025-01-14"),
        ("January 14th, 2026", "2026-01-14"),
        ("by Tuesday 14 Jan", "2025-01-14"),
        ("5 Jan", "2026-01-05"),
        ("the 14th", "2025-01-14"),
        ("the 3rd", "2025-02-03"),
        ("today", "2025-01-07"),
        ("tomorrow", "2025-01-08"),
        ("Tuesday", "2025-01-14"),
        ("by Weds", "2025-01-08"),
        ("next Tuesday", "2025-01-14"),
        ("this Friday", "2025-01-10"),
        ("next Friday", "2025-01-17"),
        ("Friday week", "2025-01-17"),
        ("end of next week", "2025-01-17"),
        ("end of the week", "2025-01-10"),
        ("a week today", "2025-01-14"),
        ("in 3 days", "2025-01-10"),
        ("two weeks time", "2025-01-21"),
        ("31 Feb", None),
        ("99/99", None),
        ("March", None),
        ("asap", None),
        ("", None),
        ("4", None),
    ],
)
def test_a_day_is_read_as_a_person_means_it(text: str, meant: str | None) -> None:
    found = date_in(text, TUESDAY)
    assert (None if found is None else found.isoformat()) == meant


def test_without_a_reference_only_complete_dates_are_read() -> None:
    assert date_in("14 January 2025", None) == date(2025, 1, 14)
    assert date_in("14 January", None) is None
    assert date_in("tomorrow", None) is None


def test_the_month_first() -> None:
    assert date_in("3/4/2025", None, day_first=False) == date(2025, 3, 4)


def test_the_29th_of_february_is_in_no_common_year() -> None:
    assert date_in("29 Feb", date(2025, 1, 1)) is None


TASK = Extraction(fields={"name": "text", "day": "date", "size": "text", "tags": "list"})


def rows(count: int = 20) -> list[Example]:
    found = []
    for n in range(count):
        record = {"name": f"Ada{n}", "size": "small", "tags": [f"t{n}", "red"]}
        text = f"Ada{n} wants it in red, t{n}, on the {n + 1}th."
        found.append(Example(id=str(n), text=text, target=as_text(record)))
    return found


def test_fields_are_literal_if_their_right_values_stand_in_the_text() -> None:
    assert literal_fields(TASK, rows()) == ("name", "tags")
    assert literal_fields(TASK, rows(8)) == ("tags",)  # nine names are too few to tell
    wrong = [Example(id="x", text="no one", target=as_text({"name": "Bo"}))] * 2
    assert literal_fields(TASK, [*rows(), *wrong]) == ("tags",)
    assert literal_fields(TASK, []) == ()


def test_made_up_values_are_dropped_and_the_answer_is_kept_as_it_was() -> None:
    items = [Item(id="a", text="Ada wants red"), Item(id="b", text="Bo wants blue")]
    said = (
        as_text({"name": "Ada", "size": "large", "tags": ["red", "green"]}),
        as_text({"name": "Bo", "tags": ["blue"]}),
    )
    answers = Answers(outputs=said, status=("ok", "ok"))
    found = without_inventions(answers, items, TASK, ("name", "tags"))
    assert found.outputs == (as_text({"name": "Ada", "size": "large", "tags": ["red"]}), said[1])
    assert found.raw == (said[0], None)
    assert found.status == ("ok", "ok")
    assert without_inventions(answers, items, TASK, ()) is answers


def test_an_unusable_answer_stays_unusable() -> None:
    answers = Answers(outputs=(None,), status=("malformed",), raw=('{"name": "Cy"',))
    found = without_inventions(answers, [Item(id="a", text="Ada")], TASK, ("name",))
    assert (found.outputs, found.raw) == (answers.outputs, answers.raw)

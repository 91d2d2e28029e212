"""Settings are chosen on labelled rows by a rule, and the gain that is stated is no illusion."""

import random

from choose.corpus import Passage, Span, reciprocal_rank
from choose.models.retrieval.question_encoder_tuning import held_apart
from choose.models.retrieval.reading import fitting, in_order
from choose.types import Example, Item


def row(name: str, *documents: str) -> Example:
    return Example(id=name, text=name, target="x", evidence=tuple(Span(d, 0, 5) for d in documents))


def documents(rows: list[Example]) -> set[str]:
    return {span.document for one in rows for span in one.evidence}


def test_questions_about_one_document_are_held_out_together() -> None:
    rows = [row(f"q{n}", f"d{n % 12}") for n in range(60)] + [row("both", "d1", "d2")]
    learnt, held, apart = held_apart(rows, 0.25)
    assert apart
    assert not documents(learnt) & documents(held)
    assert {one.id for one in learnt} | {one.id for one in held} == {one.id for one in rows}
    assert 8 <= len(held) <= 23
    assert {len(documents(part) & {"d1", "d2"}) for part in (learnt, held)} == {0, 2}
    assert held_apart(random.Random(1).sample(rows, len(rows)), 0.25) == (learnt, held, apart)


def test_rows_about_one_document_are_divided_all_the_same() -> None:
    learnt, held, apart = held_apart([row(f"q{n}", "only") for n in range(20)], 0.25)
    assert not apart
    assert (len(learnt), len(held)) == (15, 5)
    assert held_apart([], 0.25) == ([], [], False)


def test_an_overlapping_pool_begins_with_the_same_rows() -> None:
    rows = [row(f"q{n}") for n in range(100)]
    some = in_order(rows[:90])
    assert [one for one in in_order(rows) if one in some] == some


def test_the_reciprocal_rank_is_of_the_first_passage_with_evidence() -> None:
    shown = [Span("a", 0, 10), Span("b", 0, 10), Span("a", 10, 20)]
    assert reciprocal_rank(shown, [Span("b", 9, 12)]) == 1 / 2
    assert reciprocal_rank(shown, [Span("a", 10, 11), Span("c", 0, 1)]) == 1 / 3
    assert reciprocal_rank(shown, [Span("b", 10, 12)]) == 0
    assert reciprocal_rank([Span("x", 0, 1)] * 10 + shown, [Span("a", 0, 1)]) == 0
    assert reciprocal_rank(shown, []) == 0


class Words:
    """A prompt with room for three words, in which blanks are one space each."""

    def room(self, item: Item) -> int:
        return 3

    def tokens(self, text: str) -> int:
        return len(text.split())

    def beginning(self, text: str, limit: int) -> str:
        return " ".join(text.split()[:limit])


def test_what_was_read_of_a_passage_is_told_in_characters_of_the_document() -> None:
    text = "One  two,\n\n\nthree four."
    passage = Passage(span=Span("d", 10, 10 + len(text)), text=text)
    [read] = fitting(Words(), Item(id="q", text="?"), [passage])
    assert read.text == "One two,"
    assert read.span == Span("d", 10, 10 + len("One  two,"))
    assert passage.shortened("").span == Span("d", 10, 10)

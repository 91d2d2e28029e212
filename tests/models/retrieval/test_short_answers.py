"""What repeats the question is left out of an answer; what is left occurs in the passage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choose.models.retrieval.reading import without_echo

PASSAGE = (
    "Refunds: card payments are refunded within 5 to 7 working days. The fee is 2.9 % for all "
    "cards, and Maria Lopez approves refunds above $500."
)


@pytest.mark.parametrize(
    ("question", "answer", "short"),
    [
        ("What is the fee?", "The fee is 2.9 % for all cards.", "2.9 % for all cards"),
        ("Who approves refunds?", "Refunds are approved by Maria Lopez.", "Maria Lopez"),
        ("Who approves refunds?", "Maria Lopez", "Maria Lopez"),
        ("When are card payments refunded?", "within 5 to 7 working days", None),
        ("What is the limit?", "The limit is: $500, as stated.", "$500"),
        ("What colour is it?", "The colour is green.", None),  # nothing of it occurs there
        ("Who approves refunds?", "", ""),
        ("", "Maria Lopez", "Maria Lopez"),
    ],
)
def test_the_first_words_that_answer_are_kept(question, answer, short):
    assert without_echo(answer, question, PASSAGE) == (answer if short is None else short)


WORDS = st.lists(st.sampled_from([*PASSAGE.split()[:12], "green", "who", "the"]), max_size=8)


@given(WORDS, WORDS)
def test_it_shortens_and_never_adds(answer: list[str], question: list[str]) -> None:
    said = " ".join(answer)
    found = without_echo(said, " ".join(question), PASSAGE)
    assert len(found) <= len(said)
    assert set(found.split()) <= set(said.split()) | {w.strip(" ,.;:!?\"'") for w in said.split()}
    assert found == "" or said != ""
    # An answer is never taken away.
    assert bool(found) == bool(said)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choose.tasks.writing import Writing, chrf, rouge_l

REFERENCE = "The patient is a 26-year-old female, referred to Physical Therapy for low back pain."
ANSWER = "A 26 year old woman was referred for physical therapy because of lower-back pain."


def test_golden_values_of_sacrebleu_and_rouge_score() -> None:
    assert chrf(ANSWER, REFERENCE) == pytest.approx(0.406735, abs=5e-7)
    assert rouge_l(ANSWER, REFERENCE) == pytest.approx(0.580645, abs=5e-7)


def test_other_scripts_equal_themselves() -> None:
    thai = "สวัสดีครับ"
    assert chrf(thai, thai) == rouge_l(thai, thai) == 1


@given(st.text("ab \n.", max_size=30), st.text("ab \n.", max_size=30))
def test_rouge_l_is_that_of_rouge_score(one: str, other: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    words = any(c in "ab" for c in one) and any(c in "ab" for c in other)
    theirs = RougeScorer(["rougeL"]).score(one, other)["rougeL"].fmeasure
    assert not words or rouge_l(one, other) == pytest.approx(theirs)


@given(st.text(min_size=1, max_size=40))
def test_identity_scores_1_where_there_is_a_character(text: str) -> None:
    assert not text.strip() or rouge_l(text, text) == 1
    assert not text.strip() or chrf(text, text) == pytest.approx(1)


def test_an_empty_answer_scores_0_and_is_a_problem() -> None:
    task = Writing()
    assert task.score("", ["a text"]) == task.score(None, ["a text"]) == {"chrf": 0, "rouge-l": 0}
    assert task.problem_with(" \n") == "it is empty"


def test_the_best_of_several_right_texts_counts() -> None:
    assert Writing().score("yes", ["no", "yes"])["chrf"] == pytest.approx(1)

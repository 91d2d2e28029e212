"""Answers to questions: the scores of SQuAD, values, no answer, and cells as people write them."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choose.errors import DataError, StudyError
from choose.schema.study_sections import TaskSection
from choose.tasks.answering import (
    NO_ANSWER,
    Answering,
    answering_from,
    exact_match,
    passage_of,
    token_f1,
)
from choose.tasks.kinds import KINDS, make_task, read_targets, read_task
from choose.tasks.value_parsing import occurs
from choose.tasks.writing import Writing, chrf, rouge_l
from choose.types import Example, Task

TASK = Answering()

# (answer, accepted answer, exact match, token F1): of the evaluation script of SQuAD 2.0.
GOLDEN = [
    ("308", "308 points", 0, 2 / 3),
    ("gold and blue", "blue gold", 0, 0.8),
    ("the", "a", 1, 1),
    ("", "none", 0, 0),
    ("5–10", "5-10", 0, 0),  # noqa: RUF001
    ("1.5 million", "15 million", 1, 1),
    ("$1,200.50", "1200.5", 0, 0),
    ("The Rhine.", "rhine", 1, 1),
    ("Paris Paris Paris", "Paris", 0, 0.5),
]


@pytest.mark.parametrize(("output", "target", "exact", "f1"), GOLDEN)
def test_golden_values_of_squad(output: str, target: str, exact: float, f1: float) -> None:
    assert exact_match(output, target) == exact
    assert token_f1(output, target) == pytest.approx(f1, abs=1e-12)


@given(st.text(min_size=1, max_size=30), st.lists(st.text(min_size=1, max_size=9), max_size=3))
def test_an_accepted_answer_scores_1_and_the_order_of_answers_is_nothing(text, others):
    targets = [text, *others]
    if not all(one.strip() for one in targets):
        return
    found = TASK.score(text, targets)
    assert found["value-match"] == 1
    if len(targets) == 1:
        assert set(found.values()) == {1.0}
    Random(0).shuffle(targets)
    assert TASK.score(text, targets) == found == TASK.score(text, targets[::-1])


def test_the_nearest_accepted_answer_counts_for_each_score() -> None:
    found = TASK.score("in 1912", ["the year 1912", "1912"])
    assert found["token-f1"] == pytest.approx(2 / 3)
    assert found["exact-match"] == found["value-match"] == 0
    assert TASK.score("1912", ["the year 1912", "1912"])["exact-match"] == 1


@pytest.mark.parametrize(
    ("output", "target", "same"),
    [
        ("$1,200.50", "1200.5", True),
        ("1.5 million", "15 million", False),
        ("5 March 2025", "2025-03-05", True),
        ("March 2025", "2025-03-05", False),
        ("5–10", "5-10", True),  # noqa: RUF001
        ("308", "308 points", False),
        ("A", "the", False),
        ("the Rhine", "Rhine", True),
    ],
)
def test_numbers_and_dates_are_compared_by_value(output: str, target: str, same: bool) -> None:
    assert TASK.score(output, [target])["value-match"] == same


def test_no_answer_is_right_where_there_is_none_and_only_there() -> None:
    for said in (NO_ANSWER, "No answer.", "", " "):
        assert set(TASK.score(said, [NO_ANSWER]).values()) == {1.0}
        assert set(TASK.score(said, ["Paris", "A"]).values()) == {0.0}
    for said in ("Paris", "no answer is known", "answer"):
        assert set(TASK.score(said, [NO_ANSWER]).values()) == {0.0}
    assert set(TASK.score(None, [NO_ANSWER]).values()) == {0.0}  # cut or refused, not abstaining


def test_answers_of_marks_only_count_if_they_are_alone_as_in_squad() -> None:
    assert TASK.score("the", ["A"])["token-f1"] == 1
    assert TASK.score("the", ["A", "London"])["token-f1"] == 0
    assert TASK.score("the", [NO_ANSWER])["token-f1"] == 1


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ("Paris ", ("Paris",)),
        (["Paris", "in Paris", "Paris"], ("Paris", "in Paris")),
        ([], (NO_ANSWER,)),
        (None, (NO_ANSWER,)),
        ("[]", (NO_ANSWER,)),
        ("No answer.", (NO_ANSWER,)),
        ('["1912", "in 1912"]', ("1912", "in 1912")),
        ("[sic]", ("[sic]",)),
        ("[12]", ("[12]",)),
        ({"text": ["308", "308 points"], "answer_start": [3, 3]}, ("308", "308 points")),
        ({"text": [], "answer_start": []}, (NO_ANSWER,)),
        ([{"text": "308", "answer_start": 3}], ("308",)),
        ('{"text": ["308"], "answer_start": [3]}', ("308",)),
        (1912, ("1912",)),
        (True, ("true",)),
        ("two\n lines", ("two lines",)),
        ([NO_ANSWER, "Paris"], ("Paris", NO_ANSWER)),
        ("  ", ()),
        ([""], ()),
    ],
)
def test_cells_as_people_write_them(cell: Any, texts: tuple[str, ...]) -> None:
    assert read_targets("answering", [cell], [1], "answers", None) == [texts]


@pytest.mark.parametrize("cell", [{"a": 1}, [["a"]], [{"answer": "a"}], b"a", {"text": [{}]}])
def test_a_cell_of_something_else_is_refused_with_its_row(cell: Any) -> None:
    with pytest.raises(DataError, match=r"Row 7, column 'answers': the answer is .*\[\] where"):
        read_targets("answering", [cell], [7], "answers", None)


@pytest.mark.parametrize(
    ("answer", "passage", "found"),
    [
        ("seven", "a seven-layer model", True),
        ("U.S.", "in the U.S. army", True),
        ("the Rhine", "Along Rhine and Meuse.", True),
        ("9", "in 1912", False),
        ("1912", "in 19125", False),
        ("2013年", "はい、2013年です", True),
        ("the", "the town", True),
        ("", "", False),
    ],
)
def test_an_answer_stands_in_a_passage_as_whole_words(answer, passage, found):
    assert occurs([answer], passage) == found


def row(i: int, target: str, **fields: str) -> Example:
    return Example(id=str(i), text=f"question {i}?", target=target, fields=fields)


def test_the_passage_is_the_field_in_which_answers_stand() -> None:
    rows = [row(i, f"word {i}", about=f"Page {i}", notes=f"Here, Word {i}!") for i in range(9)]
    assert passage_of(rows) == "notes"
    assert passage_of([row(i, "x y", about="b", Context="c") for i in range(9)]) == "Context"
    assert passage_of([row(i, "x y", about="b") for i in range(9)]) is None
    assert passage_of([]) is None


def test_the_task_says_what_to_write_without_an_answer_only_if_rows_have_none() -> None:
    rows = [row(i, f"word {i}", notes=f"A word {i}.") for i in range(9)]
    plain = answering_from(rows, [], TaskSection())
    assert NO_ANSWER not in plain.guidance()
    assert "of the passage" in plain.guidance()
    some = answering_from([*rows, row(9, NO_ANSWER, notes="-")], [], TaskSection())
    assert some.guidance().endswith(f"write: {NO_ANSWER}")
    closed = answering_from([row(0, "a"), row(1, NO_ANSWER)], [], TaskSection())
    assert "passage" not in closed.guidance()
    assert isinstance(some, Task)


def test_facts_make_the_task_again(refusal) -> None:
    task = Answering(instruction="Say.", unanswerable=True, passage="notes", day_first=False)
    facts = json.loads(json.dumps({"kind": task.kind, **task.facts()}))
    assert read_task(facts) == task
    assert "its metric 'x' is unknown" in refusal(ValueError, read_task, {**facts, "headline": "x"})


def test_one_answer_to_everything_is_refused() -> None:
    with pytest.raises(DataError, match="All 3 questions have the same answer 'no answer'"):
        KINDS["answering"].check([row(i, NO_ANSWER) for i in range(3)], None)
    with pytest.raises(StudyError, match=r"names. is for .*this task is answering"):
        make_task("answering", [], [], TaskSection(names={"a": "b"}))


def test_strata_copies_and_problems() -> None:
    assert TASK.stratum(NO_ANSWER) != TASK.stratum("not known")
    assert (TASK.copied(NO_ANSWER), TASK.copied("308")) == ((), ("308",))
    assert TASK.problem_with(" ") == "it is empty"
    assert TASK.problem_with(NO_ANSWER) is None


REFERENCE = "The patient is a 26-year-old female, referred to Physical Therapy for low back pain."
ANSWER = "A 26 year old woman was referred for physical therapy because of lower-back pain."


def test_golden_values_of_sacrebleu_and_rouge_score() -> None:
    assert chrf(ANSWER, REFERENCE) == pytest.approx(0.406735, abs=5e-7)
    assert rouge_l(ANSWER, REFERENCE) == pytest.approx(0.580645, abs=5e-7)


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
    assert task.score("", ["a text"]) == task.score(None, ["a text"]) == dict.fromkeys(task.own, 0)
    assert task.problem_with(" \n") == "it is empty"


def test_the_best_of_several_right_texts_counts() -> None:
    assert Writing().score("yes", ["no", "yes"])["chrf"] == pytest.approx(1)

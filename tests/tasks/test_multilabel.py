"""Sets of labels as answers: their scores, parts, forms and facts."""

import json
import random

import numpy as np
import pytest
from sklearn.metrics import f1_score

from choose.files import digest
from choose.tasks.kinds import read_task
from choose.tasks.multilabel import Multilabel, example_f1, read_set, set_text
from support.label_sets import LABELS, TASK, label_rows


def test_example_f1_is_that_of_scikit_learn_and_defined_for_empty_sets() -> None:
    rng = random.Random(1)
    rows = [[rng.sample(LABELS, rng.randint(0, 3)) for _ in range(2)] for _ in range(400)]
    given, right = (
        np.array([[label in row[side] for label in LABELS] for row in rows]) for side in (0, 1)
    )
    ours = [TASK.score(set_text(a), [set_text(b)]) for a, b in rows]
    theirs = f1_score(right, given, average="samples", zero_division=1)
    assert np.mean([score["example-f1"] for score in ours]) == pytest.approx(theirs, abs=1e-12)
    exact = (given == right).all(axis=1).mean()
    assert np.mean([score["exact-set"] for score in ours]) == pytest.approx(exact)
    assert example_f1([], []) == 1.0
    assert example_f1(["a"], []) == example_f1([], ["a"]) == 0.0
    assert example_f1(["a", "b"], ["b", "c", "d"]) == 0.4
    assert TASK.score(None, ["[]"]) == {"example-f1": 0.0, "exact-set": 0.0}


def test_an_answer_is_a_sorted_list_of_known_labels() -> None:
    assert set_text(["pin", "card", "pin"]) == '["card", "pin"]'
    assert TASK.problem_with('["card", "pin"]') is None
    assert TASK.problem_with("[]") is None
    wrong = {
        '["pin", "card"]': "its labels are not in order",
        '["card", "card"]': "it names a label twice",
        '["card", "iron"]': "it holds 'iron', which is no label",
        '{"card": 1}': "it is no JSON list of labels",
        "[1]": "it is no JSON list of labels",
        "card": "it is no JSON list of labels",
        "[" * 50_000: "it is no JSON list of labels",
    }
    assert {text: TASK.problem_with(text) for text in wrong} == wrong


def test_parts_are_counted_and_wrong_ones_named() -> None:
    output, target = '["card", "thanks"]', '["card", "lost", "pin"]'
    assert TASK.counts(output, target) == {
        "card": (1, 1, 1),
        "lost": (0, 0, 1),
        "pin": (0, 0, 1),
        "thanks": (0, 1, 0),
    }
    assert TASK.counts(None, '["pin"]') == {"pin": (0, 0, 1)}
    assert TASK.errors(output, target) == [
        ("lost", "missing"),
        ("pin", "missing"),
        ("thanks", "spurious"),
    ]


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ('The labels are ["pin", "CARD"].', '["card", "pin"]'),
        ("Card, pin", '["card", "pin"]'),
        ("[card; pin]", '["card", "pin"]'),
        ('["card", "unheard of"]', '["card"]'),
        ("[]", "[]"),
        ("none of these", None),
        ("", None),
    ],
)
def test_a_repair_reads_known_labels_of_an_unusable_answer(raw: str, read: str | None) -> None:
    assert TASK.lenient(raw) == read


def test_names_are_labels_too_and_facts_make_the_task_again() -> None:
    task = Multilabel(choices=("a_1", "b"), choice_names=("first one", "B"), headline="exact-set")
    assert task.named("First  one") == task.named('"a-1"') == "a_1"
    assert task.named("c") is None
    assert task.metrics == ("exact-set", "example-f1")
    stored = json.loads(json.dumps({"kind": task.kind, **task.facts()}))
    assert read_task(stored) == task
    assert (
        read_task(stored).digest
        == task.digest
        != TASK.digest
        == digest(["multilabel", TASK.facts()])
    )
    with pytest.raises(ValueError, match="one name for each label"):
        read_task({**stored, "choice_names": []})


def test_the_rows_of_the_tests_hold_empty_sets_and_sets_of_several() -> None:
    sizes = {len(read_set(e.target)) for e in label_rows()}
    assert sizes == {0, 1, 2, 3}

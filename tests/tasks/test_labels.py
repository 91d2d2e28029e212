"""Labels and sets of labels: how cells are read, what is refused, and how answers are scored."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from choose.errors import DataError, StudyError
from choose.files import digest
from choose.schema.study_sections import TaskSection
from choose.tasks.kinds import read_task
from choose.tasks.labels import check_targets, readable, task_from
from choose.tasks.multilabel import Multilabel, separator_of, set_text
from choose.types import Example
from support.studies import LABELS, TASK, label_file, label_rows, load

# U3: U+2010 to U+2015 and the minus sign.
DASHES = [chr(code) for code in (*range(0x2010, 0x2016), 0x2212)]


def labelled(*labels: str) -> list[Example]:
    return [Example(id=str(i), text="t", target=label) for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("card_arrival", "card arrival"),
        ("cardArrival", "card arrival"),
        ("CardArrival", "card arrival"),
        ("card-arrival", "card arrival"),
        ("Refund_not_showing_up", "Refund not showing up"),
        ("reverted_card_payment?", "reverted card payment?"),
        ("HTTPError", "HTTP error"),
        ("Non-Transferable License", "Non-Transferable License"),
        ("URGENT", "URGENT"),
        ("1", "1"),
        ("-1", "-1"),
        ("__", "__"),
        ("größe_l", "größe l"),
    ],
)
def test_labels_are_made_readable(label: str, name: str) -> None:
    assert readable(label) == name


def test_labels_stand_in_a_fixed_order_whatever_the_order_of_rows() -> None:
    task = task_from(labelled("b", "10", "a", "2", "b", "a2", "a10"))
    assert task.labels == ("2", "10", "a", "a2", "a10", "b")
    assert task == task_from(labelled("a10", "a2", "2", "a", "10", "b"))


def test_names_descriptions_and_instruction_are_taken_over() -> None:
    task = task_from(
        labelled("0", "1"),
        TaskSection(names={"0": "no"}, descriptions={"1": "It is so."}, instruction="Decide."),
    )
    assert task.names == ("no", "1")
    assert task.descriptions == {"1": "It is so."}
    assert task.instruction == "Decide."


@pytest.mark.parametrize(
    ("labels", "names", "says"),
    [
        (("card_arrival", "cardArrival"), {}, "'card_arrival'"),
        (("Billing", "billing"), {}, "'Billing' and 'billing'"),
        (("a", "b"), {"a": "b"}, "the same name"),
        *(((f"x{dash}y", "x-y"), {"x-y": "x-y"}, "look-alike") for dash in DASHES),
        (("refund", "b"), {"refnud": "x"}, "Did you mean 'refund'?"),
        (("a", "b"), {"a": " "}, "is empty"),
    ],
)
def test_names_that_cannot_be_used(refusal, labels, names, says):
    assert says in refusal(StudyError, task_from, labelled(*labels), TaskSection(names=names))


def test_a_description_for_an_unknown_label_is_refused() -> None:
    with pytest.raises(StudyError, match=r"\[task.descriptions\].*The labels are 'a', 'b'"):
        task_from(labelled("a", "b"), TaskSection(descriptions={"c": "x"}))


@pytest.mark.parametrize(
    ("label", "twin"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("caf\u00e9", "caf\u00e9\u200b"),
        ("caf\u00e9", "\u202ecaf\u00e9"),
        ("caf\u00e9", "caf\u00e9\U000e0041"),
        ("caf\u00e9", "\uff43\uff41\uff46\u00e9"),
        ("caf\u00e9", "\u0441\u0430f\u00e9"),
        ("caf\u00e9", "CAF\u00c9"),
        ("caf\u00e9", "c\u03b1f\u00e9"),
        ("caf\u00e9", "caf\u00e9\ufe0f"),
        ("Возврат", "возврат"),
        ("Τιμή", "τιμή"),
    ],
)
def test_labels_that_look_the_same_are_one_label(refusal, label: str, twin: str) -> None:
    """L1: Unicode form, invisible characters, width and look-alikes, as case and blanks are."""
    assert "same name" in refusal(StudyError, task_from, labelled(label, twin))
    task_from(labelled(label, twin), TaskSection(names={twin: "another"}))


def test_labels_of_another_script_stay_apart() -> None:
    labels = ["ток", "tok", "0", "O", "1", "I", "a-b-c", "👍", "日本"]
    assert len(task_from(labelled(*labels)).labels) == len(labels)


@pytest.mark.parametrize("label", ["\x07", "\u200b", "\U000e0041\u2060", "\u3164"])
def test_a_label_that_shows_nothing_is_refused(refusal, label: str) -> None:
    """L1."""
    assert "invisible" in refusal(StudyError, task_from, labelled("a", label))


def test_labels_of_thousands_of_digits_are_ordered_by_value() -> None:
    """C2: the value was computed."""
    long = "9" * 5_000
    assert task_from(labelled(long, "1" + long, "2", "010", "9")).labels == (
        "2", "9", "010", long, "1" + long,
    )  # fmt: skip


def test_long_ids_are_not_taken_for_one_number(refusal) -> None:
    rows = labelled(*["1" * 400, "2" * 400, "12345678901234567", "12345678901234568"] * 3)
    check_targets([replace(row, id=str(i)) for i, row in enumerate(rows)], None)
    assert "same number" in refusal(DataError, check_targets, labelled(*["1", "1.0"] * 6), None)


ROWS = label_rows(60)
SETS = [json.loads(e.target) for e in ROWS]


def written(path: Path, cells: list[Any]) -> Path:
    table = pl.DataFrame({"text": [e.text for e in ROWS], "labels": cells}, strict=False)
    table.write_parquet(path) if path.suffix == ".parquet" else table.write_csv(path)
    return path


def test_lists_json_cells_and_cells_with_a_separator_make_the_same_sets(tmp_path: Path) -> None:
    label_file(tmp_path / "a.jsonl", ROWS)
    written(tmp_path / "a.parquet", SETS)
    written(tmp_path / "json.csv", [json.dumps(labels) for labels in SETS])
    written(tmp_path / "python.csv", [str(labels) for labels in SETS])
    written(tmp_path / "cells.csv", [" ; ".join(labels) or "[]" for labels in SETS])
    found = {}
    for name in ("a.jsonl", "a.parquet", "json.csv", "python.csv"):
        data = load(tmp_path / name)
        assert data.task.kind == "multilabel"
        assert "The task is multilabel: the targets are lists of labels." in data.findings[0]
        found[name] = [e.target for e in data.examples.values()]
    assert set(map(tuple, found.values())) == {tuple(e.target for e in ROWS)}
    data = load(tmp_path / "cells.csv", {"kind": "multilabel"})
    assert [e.target for e in data.examples.values()] == found["a.jsonl"]
    assert data.task.facts()["choices"] == list(LABELS)


def test_a_separator_is_found_and_said(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", ["|".join(labels) or "other" for labels in SETS])
    data = load(path)
    assert data.task.kind == "multilabel"
    assert "cells hold several labels, separated by '|'" in data.findings[0]
    assert data.findings[1] == "'|' parts the labels in cells of 'labels'."
    stated = load(path, {"kind": "multilabel"})
    assert stated.fingerprint == data.fingerprint
    assert not any("multilabel" in finding for finding in stated.findings)


@pytest.mark.parametrize(
    "cells",
    [
        ["food, drinks", "travel, hotels"] * 20,  # each pair is one label
        ["a; b", "a; c", "d; b", "d; c"] * 10,  # four labels, none of which is alone
        ["up", "down"] * 20,
        [f"A text, with a comma, and the number {n}" for n in range(40)],
    ],
)
def test_cells_that_make_another_kind_are_parted_by_nothing(cells: list[str]) -> None:
    assert separator_of(cells) is None


def test_empty_sets_stand_beside_cells_with_a_separator(tmp_path: Path) -> None:
    sets = [labels if n % 5 else [] for n, labels in enumerate(SETS)]
    path = written(tmp_path / "a.csv", [";".join(labels) or "[]" for labels in sets])
    found = [load(path), load(path, {"kind": "multilabel"})]
    assert [[json.loads(e.target) for e in data.examples.values()] for data in found] == [sets] * 2


def test_of_a_stated_kind_most_cells_say_what_parts_labels() -> None:
    cells = ["card, pin", "card, iron", "pin, iron"] * 5
    assert separator_of([*cells, "bugs; crashes"]) is None
    assert separator_of([*cells, "bugs; crashes"], stated=True) == ","
    assert separator_of(["card", "pin", "[]"], stated=True) is None
    assert separator_of([*cells, '["card", "pin"]'], stated=True) is None


def test_the_separator_of_the_pool_is_that_of_the_test_file(tmp_path: Path) -> None:
    pool = written(tmp_path / "a.csv", [";".join(labels) or "other" for labels in SETS])
    test = tmp_path / "test.csv"
    test.write_text("text,labels\n" + "".join(f"text {n},card\n" for n in range(6)))
    assert load(pool, test=str(test)).task.kind == "multilabel"
    test.write_text("text,labels\nsome text,card;lost\nanother one,pin\n")
    assert '["card", "lost"]' in {e.target for e in load(pool, test=str(test)).examples.values()}


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("card;;lost", "'card;;lost' holds a blank label, beside a stray ';'"),
        ("card;", "'card;' holds a blank label, beside a stray ';'"),
        (";", "';' holds a blank label, beside a stray ';'"),
        ("card;card", "'card;card' names the label 'card' twice"),
        ('["card", ""]', "holds a blank label."),
        ('["card", "card"]', "names the label 'card' twice"),
        ('["card"', "begins like a list but is no JSON list of labels"),
        ('[["card"]]', "begins like a list but is no JSON list of labels"),
    ],
)
def test_a_cell_that_is_no_set_is_named_with_what_to_write(refusal, tmp_path, cell, why):
    cells = [";".join(labels) or "other" for labels in SETS]
    cells[4] = cells[9] = cell
    said = refusal(DataError, load, written(tmp_path / "a.csv", cells), {"kind": "multilabel"})
    assert f"In '{tmp_path / 'a.csv'}': Row 6, column 'labels': " in said
    assert why in said
    assert "Row 11 cannot be read either." in said
    # An empty cell is refused too: it may be a row that is not labelled yet.
    assert "name each label once and write [] where a row has no label" in said
    assert "empty" not in said
    assert said.endswith('or write each set as a list such as ["a", "b"].')


def test_what_makes_no_multi_label_task_is_refused(tmp_path: Path) -> None:
    def refused(match: str, cells: list[Any], **more: Any) -> None:
        with pytest.raises((DataError, StudyError), match=match):
            load(written(tmp_path / "a.parquet", cells), **more)

    refused("60 rows have the same set of labels", [["card"]] * 60, task={"kind": "multilabel"})
    refused(
        "they look like free text", [[f"word {n}"] for n in range(60)], task={"kind": "multilabel"}
    )
    refused("The labels '1' and '1.0' are the same number", [["1", "a"], ["1.0", "a"]] * 30)
    refused("have the same name 'card'", [["card", "pin"], ["Card", "pin"]] * 30)
    cells: list[Any] = [*SETS[:59], None]
    refused("Row 60 has a text and no set of labels: an empty cell may be", cells)
    names = {"names": {"iron": "the iron"}}
    refused(r"\[task.names\] has a label 'iron' that no row has", SETS, task=names)


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
    assert TASK.score(None, ["[]"]) == dict.fromkeys(TASK.own, 0.0)


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


def test_parts_are_counted() -> None:
    output, target = '["card", "thanks"]', '["card", "lost", "pin"]'
    assert TASK.counts(output, target) == {
        "card": (1, 1, 1),
        "lost": (0, 0, 1),
        "pin": (0, 0, 1),
        "thanks": (0, 1, 0),
    }
    assert TASK.counts(None, '["pin"]') == {"pin": (0, 0, 1)}


def test_names_are_labels_too_and_facts_make_the_task_again() -> None:
    task = Multilabel(choices=("a_1", "b"), choice_names=("first one", "B"), headline="exact-set")
    assert task.named("First  one") == task.named('"a-1"') == "a_1"
    assert task.named("c") is None
    assert task.metrics[:2] == ("exact-set", "example-f1")
    stored = json.loads(json.dumps(task.facts()))
    assert read_task(stored) == task
    assert read_task(stored).digest == task.digest != TASK.digest == digest(TASK.facts())
    with pytest.raises(ValueError, match="one name for each label"):
        read_task({**stored, "choice_names": []})

"""Columns of label sets: lists, JSON and cells with a separator; what is refused, and how."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from choose.check.label_lines import joined_sentence
from choose.data.dataset import load_dataset
from choose.errors import DataError, StudyError
from choose.schema.study_sections import DataSection, TaskSection
from choose.tasks.label_sets import joined_labels, likely_joined, separator_of
from choose.types import Dataset
from support.label_sets import LABELS, label_file, label_rows

ROWS = label_rows(60)
SETS = [json.loads(e.target) for e in ROWS]


def load(path: Path, task: dict[str, Any] | None = None, **data: Any) -> Dataset:
    return load_dataset(DataSection(path=str(path), **data), TaskSection(**(task or {})))


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
    data = load(tmp_path / "cells.csv", {"kind": "multilabel"}, separator=";")
    assert [e.target for e in data.examples.values()] == found["a.jsonl"]
    assert data.task.facts()["choices"] == list(LABELS)


def test_a_separator_is_found_said_and_confirmed_by_a_flag(tmp_path: Path) -> None:
    cells = ["|".join(labels) or "other" for labels in SETS]
    path = written(tmp_path / "a.csv", cells)
    data = load(path)
    assert data.task.kind == "multilabel"
    assert "cells hold several labels, separated by '|'" in data.findings[0]
    assert "'|' parts the labels in cells of 'labels'. To confirm: choose check" in data.findings[1]
    assert "--kind multilabel --set 'separator=|'" in data.findings[1]
    stated = load(path, {"kind": "multilabel"}, separator="|")
    assert stated.fingerprint == data.fingerprint
    assert not any("multilabel" in finding for finding in stated.findings)
    assert load(path, separator="|").task.kind == "multilabel"
    with pytest.raises(StudyError, match=r"kind is classification. Leave the separator out"):
        load(path, {"kind": "classification"}, separator="|")
    with pytest.raises(
        StudyError, match=r"^The separator '#' is in no cell of 'labels', .* hold '\|'"
    ):
        load(path, separator="#")


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


def test_cells_that_may_hold_several_labels_are_pointed_out(tmp_path: Path) -> None:
    """No cell holds `urgent` alone, so `card;urgent` is one label, unless the user says else."""
    path = written(tmp_path / "a.csv", ["card", "pin", "card;urgent", "pin;urgent", "card"] * 12)
    data = load(path)
    assert data.task.kind == "classification"
    (said,) = (text for text in data.findings if "'card;urgent' are read as one label" in text)
    assert said.endswith(
        f"If they hold several: choose check {path} --kind multilabel --set 'separator=;'"
    )
    assert load(path, {"kind": "multilabel"}, separator=";").task.kind == "multilabel"
    assert not any(
        "read as one label" in x for x in load(path, {"kind": "classification"}).findings
    )
    assert likely_joined(["a;b", "c;d", "e", "f"] * 9) is None


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
    rows = load(pool, test=str(test)).examples.values()
    assert '["card", "lost"]' in {e.target for e in rows}


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
def test_a_cell_that_is_no_set_is_named_with_what_to_write(tmp_path, cell, why):
    cells = [";".join(labels) or "other" for labels in SETS]
    cells[4] = cells[9] = cell
    with pytest.raises(DataError) as error:
        load(written(tmp_path / "a.csv", cells), {"kind": "multilabel"}, separator=";")
    assert str(error.value).startswith("Row 6, column 'labels': ")
    assert why in str(error.value)
    assert "The same may be wrong in row 11." in str(error.value)
    # An empty cell is refused too: it may be a row that is not labelled yet.
    assert "name each label once and write [] where a row has no label" in str(error.value)
    assert "empty" not in str(error.value)
    assert str(error.value).endswith('or write each set as a list such as ["a", "b"].')


def test_labels_with_a_sign_too_many_are_found() -> None:
    labels = ["card", "lost", "card;", "lost|card", "card\uff1b lost", "a/c", "card lost", "; lost"]
    assert joined_labels(labels) == ["card;", "lost|card", "card\uff1b lost", "; lost"]
    assert joined_labels(["c", "c++", "r", "r&d"]) == []
    assert joined_labels(["yes", "no"]) == []
    one, two = joined_sentence(["a;"]), joined_sentence(["a;", "a|b"])
    assert one.startswith(" 'a;' reads like other labels with a stray or joining sign, and counts")
    assert "'a;', 'a|b' read like" in two


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
    refused(
        "A separator is for cells with several",
        [["a"]] * 60,
        separator=";",
        task={"kind": "writing"},
    )

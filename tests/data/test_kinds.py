"""Which kind of task a column of targets or answers makes, and how its cells are read."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from choose.data.dataset import read_rows
from choose.data.duplicates import index_texts
from choose.data.scenarios import SplitSpec, make_split, new_class, with_typos
from choose.data.splits import build_dataset
from choose.errors import DataError, StudyError
from choose.schema.study_sections import DataSection
from choose.tasks.answering import NO_ANSWER, Answering
from choose.tasks.extraction import Extraction, as_text
from choose.types import Example, Item, Scenario
from support.studies import load
from support.studies import write_lines as lines

WORDS = ["oak", "pine", "elm", "ash", "fir", "yew", "lime", "plum", "pear", "beech", "box", "alder"]


def booking(i: int) -> dict[str, Any]:
    people, tree = i % 5 + 1, WORDS[i % 12]
    record = {"people": people, "day": f"2025-03-{i % 28 + 1:02d}", "dishes": [f"{tree} cake"]}
    if i % 3 == 0:
        del record["day"]
    return {
        "text": f"Table {i} for {people} under the {tree}, number {i * 7919}",
        "asked": tree,
        "target": record if i % 7 else {},
    }


def test_objects_make_an_extraction_with_types_from_the_rows(tmp_path: Path) -> None:
    data = load(lines(tmp_path / "a.jsonl", [booking(i) for i in range(40)]), fields=("asked",))
    assert isinstance(data.task, Extraction)
    assert data.task.fields == {"dishes": "list", "people": "number", "day": "date"}
    row = data.examples["2"]
    assert row.target == '{"day": "2025-03-02", "dishes": ["pine cake"], "people": 2}'
    assert row.fields == row.item().fields == {"asked": "pine"}
    assert data.examples["1"].target == "{}"
    assert "The task is extraction: the targets are JSON objects." in data.findings[0]
    assert "--kind" in data.findings[0]


def test_csv_cells_parquet_and_json_lines_give_the_same_records(tmp_path: Path) -> None:
    rows = [booking(i) for i in range(40)]
    flat = [{**row, "target": json.dumps(row["target"])} for row in rows]
    pl.DataFrame(flat).write_csv(tmp_path / "a.csv")
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    lines(tmp_path / "a.jsonl", rows)
    found = [
        [e.target for e in load(str(tmp_path / name)).examples.values()]
        for name in ("a.csv", "a.parquet", "a.jsonl")
    ]
    assert found[0] == found[1] == found[2]


def test_texts_that_differ_are_written_and_a_list_holds_several_right_ones(tmp_path: Path) -> None:
    rows = [
        {
            "text": f"Question {i} of {WORDS[i % 12]}",
            "target": [f"It is the {i}th tree", f"Tree {i}"],
        }
        for i in range(20)
    ]
    data = load(lines(tmp_path / "a.jsonl", rows))
    assert data.task.kind == "writing"
    assert data.examples["3"].targets == ("It is the 2th tree", "Tree 2")
    flat = [{**row, "target": json.dumps(row["target"])} for row in rows]
    pl.DataFrame(flat).write_csv(tmp_path / "a.csv")
    assert load(str(tmp_path / "a.csv")).examples["3"].accepted == ("Tree 1",)


def test_few_targets_are_labels_unless_another_kind_is_stated(tmp_path: Path) -> None:
    rows = [{"text": f"Row {i} {WORDS[i % 12]}", "target": WORDS[i % 3]} for i in range(24)]
    path = lines(tmp_path / "a.jsonl", rows)
    assert load(path).task.labels == ("elm", "oak", "pine")
    assert load(path, {"kind": "writing"}).task.kind == "writing"
    with pytest.raises(StudyError, match=r"no kind of task 'extract'.*Did you mean 'extraction'"):
        load(path, {"kind": "extract"})
    with pytest.raises(DataError, match=r"Row 1, column 'target': the target is no record.*JSON"):
        load(path, {"kind": "extraction"})


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ('{"people": 3', "it is not JSON: Expecting ',' delimiter at character 13"),
        ("three people", "it is text, not an object"),
        (["three"], "it is text, not an object"),
        (3, "it is a number, not an object"),
        ({"who": {"name": "Ann"}}, "its field 'who' is neither"),
        ({"who": [["Ann"]]}, "its field 'who' is neither"),
    ],
)
def test_a_target_that_is_no_record_is_named(refusal, tmp_path, target, why) -> None:
    rows = [booking(i) for i in range(20)]
    rows[4]["target"] = rows[9]["target"] = target
    said = refusal(DataError, load, lines(tmp_path / "a.jsonl", rows))
    assert "Row 5, column 'target': the target is no record: " in said
    assert why in said
    assert "Row 10 cannot be read either. Each target must be one JSON object" in said


def test_an_empty_target_is_refused_where_answers_are_written(tmp_path: Path) -> None:
    rows = [
        {"text": f"Say {i} {WORDS[i % 12]}", "target": f"I say it {i} times"} for i in range(20)
    ]
    rows[6]["target"] = "  "
    with pytest.raises(DataError, match="Row 7 has a text and no target: an empty text is no"):
        load(lines(tmp_path / "a.jsonl", rows))


def test_a_record_that_is_missing_is_left_out_and_an_empty_one_is_not(tmp_path: Path) -> None:
    rows = [booking(i) for i in range(30)]
    rows[3]["target"] = None
    data = load(lines(tmp_path / "a.jsonl", rows))
    assert len(data.examples) == 29
    assert "1 row of the file without a record left out: row 4." in data.findings


def test_the_study_file_states_types_and_descriptions(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [booking(i) for i in range(20)])
    said = {"fields": {"people": "text"}, "descriptions": {"day": "Day of the meal."}}
    task = load(path, said).task
    assert isinstance(task, Extraction)
    assert (task.fields["people"], task.fields["day"]) == ("text", "date")
    assert task.descriptions == {"day": "Day of the meal."}
    for wrong, why in (
        ({"fields": {"peple": "text"}}, "'peple' that no row has. Did you mean 'people'"),
        ({"names": {"a": "b"}}, "names. is for .*this task is extraction"),
    ):
        with pytest.raises(StudyError, match=why):
            load(path, wrong)


def test_a_field_must_be_another_column(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [booking(i) for i in range(20)])
    with pytest.raises(DataError, match="'text' is the text or the label already"):
        read_rows(DataSection(path=path, fields=("text",)))
    with pytest.raises(DataError, match=r"No field column 'askd'. Did you mean 'asked'"):
        read_rows(DataSection(path=path, fields=("askd",)))


def test_two_hundred_fields_are_read_and_fields_without_end_are_not(tmp_path: Path) -> None:
    def rows(width: int) -> list[dict[str, Any]]:
        return [
            {"text": f"Row {i} {WORDS[i % 12]}", "target": {f"f{j}": "x" * i for j in range(width)}}
            for i in range(1, 13)
        ]

    task = load(lines(tmp_path / "a.jsonl", rows(200))).task
    assert isinstance(task, Extraction)
    assert len(task.fields) == 200
    with pytest.raises(DataError, match="name 301 different fields"):
        load(lines(tmp_path / "b.jsonl", rows(301)))


def test_parts_have_like_records(tmp_path: Path) -> None:
    data = load(lines(tmp_path / "a.jsonl", [booking(i) for i in range(200)]))
    for fold in data.folds:
        assert abs(sum(data.examples[id].target == "{}" for id in fold.questions) - 29 / 5) <= 1.2


def orders(rows: int = 240) -> list[Example]:
    """Return rows whose records have the field `po` from the second half on."""
    found = []
    for i in range(rows):
        record: dict[str, Any] = {"items": [f"{i} {WORDS[i % 12]}"], "customer": f"TS-{i % 40}"}
        if i % 3 == 0:
            record["day"] = f"2025-03-{i % 28 + 1:02d}"
        if i >= rows // 2 and i % 2:
            record["po"] = str(i)
        found.append(
            Example(
                id=f"r{i}",
                text=f"Send {i} {WORDS[i % 12]} {i * 7919 % 10_007} for {i * 31 % 977}",
                target=as_text(record),
                timestamp=datetime(2025, 1, 1) + timedelta(days=i),
            )
        )
    return found


def test_a_field_is_the_new_class_of_records() -> None:
    data = build_dataset("orders", orders(), kind="extraction")
    assert new_class(data) == "po"  # the one that appears late
    for examples in (0, 1, 5, 20):
        scenario = Scenario(kind="new-class", label="po", examples=examples)
        rows = [make_split(data, SplitSpec(0, draw, None, scenario)) for draw in (0, 1)]
        filled = [{e.id for e in split.pool if '"po"' in e.target} for split in rows]
        assert [len(ids) for ids in filled] == [examples, examples]
        assert rows[0].questions == data.folds[0].questions
    undated = [replace(e, timestamp=None) for e in orders()]
    data = build_dataset("orders", undated, kind="extraction")
    assert new_class(data) in ("po", "day")  # `items` and `customer` are in every record
    texts = [replace(e, target=f"Send a {WORDS[i % 12]} to {i}") for i, e in enumerate(orders())]
    assert new_class(build_dataset("texts", texts, kind="writing")) is None


def test_a_view_leaves_the_values_of_a_record_as_they_stand() -> None:
    value = "Marchbanks and   sons, I'm here"
    items = [
        Item(id=str(i), text=f"Somebody called {value} wanted {i} fancy table places, I'm afraid")
        for i in range(30)
    ]
    changed = with_typos(items, {item.id: (value,) for item in items})
    assert all(value in item.text for item in changed)
    assert all(a.text != b.text for a, b in zip(items, changed, strict=True))
    assert not all(value in item.text for item in with_typos(items))


TOWNS = ["Bern", "Oslo", "Lima", "Rome", "Riga", "Kyiv", "Doha", "Cork", "Nice", "Bonn"]


def questions(rows: int = 60, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"q{i}",
            "question": f"Which {what} is number {i * 7919 % 1009}?",
            "answers": [f"{TOWNS[i % 10]} {i}", f"{i}"],
            "context": f"Page {i // 3}. " + " ".join(f"{TOWNS[j % 10]} {j}" for j in range(60)),
            "title": f"Page {i // 3}",
            **more,
        }
        for i in range(rows)
        for what in [("town", "harbour", "station")[i % 3]]
    ]


def test_question_and_answers_are_found_and_the_passage_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", questions())
    read = read_rows(DataSection(path=path))
    assert read.kind == "answering"
    assert (read.roles.text, read.roles.label) == (("question",), "answers")
    notes = " ".join(read.notes)
    assert "The task is answering: the columns are called question and answer" in notes
    assert "'context' is not read: questions are answered without it." in notes
    assert "--set fields='context'" in notes
    data = load(path, fields=("context",))
    assert isinstance(data.task, Answering)
    assert data.task.passage == "context"
    assert data.examples["q4"].targets == ("Riga 4", "4")
    assert not any("is not read" in finding for finding in data.findings)


def test_squads_form_in_lines_and_parquet_and_plain_lists_are_the_same_rows(tmp_path: Path) -> None:
    plain = questions()
    plain[5]["answers"] = []
    squad = [{**row, "answers": {"text": row["answers"], "answer_start": []}} for row in plain]
    pl.DataFrame(squad).write_parquet(tmp_path / "a.parquet")
    cells = [{**row, "answers": json.dumps(row["answers"])} for row in plain]
    pl.DataFrame(cells).write_csv(tmp_path / "a.csv")
    paths = [
        lines(tmp_path / "a.jsonl", plain),
        lines(tmp_path / "b.jsonl", squad),
        str(tmp_path / "a.parquet"),
        str(tmp_path / "a.csv"),
    ]
    found = [[e.targets for e in load(path).examples.values()] for path in paths]
    assert found[0] == found[1] == found[2] == found[3]
    assert found[0][5] == (NO_ANSWER,)


def test_an_empty_cell_is_a_slip_and_null_in_json_is_no_answer(tmp_path: Path) -> None:
    rows = [{**row, "answers": row["answers"][0]} for row in questions()]
    rows[3]["answers"] = None
    data = load(lines(tmp_path / "a.jsonl", rows))
    assert data.examples["q3"].target == NO_ANSWER
    assert isinstance(data.task, Answering)
    assert data.task.unanswerable
    rows[3]["answers"] = ""
    pl.DataFrame(rows).write_csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"Row q3 .*no answer: .* write 'no answer' or, in JSON"):
        load(str(tmp_path / "a.csv"))
    rows[3]["answers"] = "No answer"
    pl.DataFrame(rows).write_csv(tmp_path / "a.csv")
    assert load(str(tmp_path / "a.csv")).examples["q3"].target == NO_ANSWER


def test_a_passage_makes_answers_and_lists_alone_are_several_labels(tmp_path: Path) -> None:
    rows = [{"text": f"row {i * 7919}", "target": [f"t{i}", f"u{i}"]} for i in range(20)]
    path = lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match="look like free text"):
        load(path)  # as sets of labels, none of which repeats
    assert load(path, {"kind": "answering"}).task.kind == "answering"
    rows = [
        {"text": f"say {i * 7919}", "target": f"the word {i}", "passage": f"{i} x the word {i}"}
        for i in range(20)
    ]
    path = lines(tmp_path / "b.jsonl", rows)
    assert load(path).task.kind == "writing"
    assert load(path, fields=("passage",)).task.kind == "answering"
    assert load(path, {"kind": "writing"}, fields=("passage",)).task.kind == "writing"


@pytest.mark.parametrize(
    ("answers", "more", "kind"),
    [
        (lambda i: ("yes", "no")[i % 2], {}, "classification"),
        (lambda i: f"{i} " + "long words " * 20, {}, "writing"),
        (lambda i: {"day": f"{i}"}, {}, "extraction"),
        (lambda i: [f"{i}"], {"label": "x"}, "classification"),
    ],
)
def test_labels_records_and_long_texts_stay_what_they_are(tmp_path, answers, more, kind):
    rows = [{**row, "answers": answers(i), **more} for i, row in enumerate(questions())]
    for i, each in enumerate(rows):
        each.update({"label": f"label {i % 3}"} if more else {})
        del each["title"]
    assert load(lines(tmp_path / "a.jsonl", rows)).task.kind == kind


def test_one_long_answer_does_not_make_another_kind(tmp_path: Path) -> None:
    rows = questions(30)
    rows[7]["answers"] = ["long " * 3_000]
    assert load(lines(tmp_path / "a.jsonl", rows)).task.kind == "answering"


def test_few_answers_that_repeat_are_answers_if_the_kind_is_stated(tmp_path: Path) -> None:
    rows = [{"question": f"Is {i * 7919} odd?", "answer": ("yes", "no")[i % 2]} for i in range(40)]
    path = lines(tmp_path / "a.jsonl", rows)
    assert load(path).task.labels == ("no", "yes")
    assert load(path, {"kind": "answering"}).task.kind == "answering"


def test_questions_on_one_passage_are_no_duplicates_and_stay_together(tmp_path: Path) -> None:
    data = load(lines(tmp_path / "a.jsonl", questions()), fields=("context",))
    assert len(set(data.clusters.values())) == 20
    for fold in data.folds:
        here = {data.examples[id].fields["context"] for id in fold.questions}
        assert here.isdisjoint(data.examples[id].fields["context"] for id in fold.pool)
    one = [{**row, "context": "The same page."} for row in questions()]
    data = load(lines(tmp_path / "c.jsonl", one), fields=("context",))
    assert any("new questions on known passages" in finding for finding in data.findings)


def test_a_test_file_may_ask_about_known_passages_and_intervals_count_them_once(tmp_path):
    rows = questions()
    pool, test = [r for i, r in enumerate(rows) if i % 3], rows[::3]
    path = lines(tmp_path / "pool.jsonl", pool)
    data = load(path, fields=("context",), test=lines(tmp_path / "test.jsonl", test))
    assert len(data.folds[0].pool) == 40
    assert len(data.asked) == 20
    assert len(set(data.clusters.values())) == 20
    assert {data.clusters[id] for id in data.asked} == set(data.clusters.values())


def test_near_duplicates_are_alike_in_question_and_passage() -> None:
    rng = Random(0)
    words = [f"w{i}" for i in range(500)]
    pages = [" ".join(rng.choices(words, k=400)) for _ in range(4)]
    rows: list[Example] = []

    def add(text: str, page: str) -> str:
        row = Example(id=f"r{len(rows)}", text=text, target="x", fields={"page": page})
        rows.append(row)
        return row.id

    asked = [" ".join(rng.choices(words, k=12)) for _ in range(6)]
    for number, text in enumerate(asked):
        add(text, pages[number % 4])
    same = {add(f"{asked[0]} too", f"{pages[0]} too"), rows[0].id}
    add(asked[1], pages[2])  # the same question on another page
    add(asked[2].upper() + "?", pages[2] + ".")  # the same but for case and punctuation
    index = index_texts(rows, passages=True)
    text_of = {number: id for id, number in reversed(index.text_of.items())}
    assert [{text_of[a], text_of[b]} for a, b in index.pairs.tolist()] == [same]
    assert index.text_of["r8"] == index.text_of["r2"]
    assert len(index_texts(rows).pairs) > 1  # questions on one page, without regard to passages


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "label", "kind"),
    [
        ("xquad_en/questions.jsonl", None, "answering"),
        ("covid_qa/questions.jsonl", None, "answering"),
        ("pubmedqa_l/questions.jsonl", None, "classification"),
        ("pubmedqa_l/questions.jsonl", "answers", "writing"),
        ("mts_dialog/train.jsonl", None, "writing"),
        ("banking77/test.csv", None, "classification"),
        ("trec6/train.csv", None, "classification"),
        ("restaurant8k/train.jsonl", None, "extraction"),
    ],
)
def test_real_sets_are_of_their_kinds(shared_data, name, label, kind):
    assert read_rows(DataSection(path=str(shared_data / name), label_column=label)).kind == kind

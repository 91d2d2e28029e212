"""Questions with answers: which columns and kind they make, and how they are divided."""

import json
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from choose.data.dataset import read_rows
from choose.data.duplicates import index_texts
from choose.errors import DataError
from choose.schema.study_sections import DataSection
from choose.tasks.answering import NO_ANSWER, Answering
from choose.types import Example
from support.studies import load
from support.studies import write_lines as lines

TOWNS = ["Bern", "Oslo", "Lima", "Rome", "Riga", "Kyiv", "Doha", "Cork", "Nice", "Bonn"]


def questions(rows: int = 60, **more: Any) -> list[dict[str, Any]]:
    """Return questions of which three each are about one passage."""
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
    path = lines(tmp_path / "a.jsonl", questions())
    data = load(path, fields=("context",))
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
    found = [{text_of[a], text_of[b]} for a, b in index.pairs.tolist()]
    assert found == [same]
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

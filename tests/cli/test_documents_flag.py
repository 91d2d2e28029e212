"""`--documents` on the command line, and what study files say of documents."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import choose as package
from choose.data.readers.document_files import read_documents
from choose.store.store import Store
from choose.study.resolve_study import load_study
from choose.tasks.answering import corpus_of
from support.studies import write_lines

Choose = Callable[..., Any]

TOWNS = ["Bern", "Oslo", "Lima", "Rome", "Riga", "Kyiv", "Doha", "Cork", "Nice", "Bonn"]


@pytest.fixture(autouse=True)
def files() -> None:
    """Questions beside a folder of documents."""
    Path("handbook/offices").mkdir(parents=True)
    for n, town in enumerate(TOWNS):
        text = f"# The office in {town}\n\nIt has {n + 40} desks. The code of its door is {n}-{n}9."
        Path(f"handbook/offices/{town.lower()}.md").write_text(text)
    rows = [
        {"question": f"{ask} {town}?", "answers": [answer], "doc": f"offices/{town.lower()}.md"}
        for n, town in enumerate(TOWNS)
        for ask, answer in (
            ("How many desks are in", str(n + 40)),
            ("What opens the door in", f"{n}-{n}9"),
        )
    ]
    write_lines("questions.jsonl", rows)


def test_check_reads_a_folder_and_says_what_it_took(choose: Choose) -> None:
    result = choose("check", "questions.jsonl", "--documents", "handbook", "--json")
    assert result.code == 0, result.err
    record = json.loads(result.out)
    assert record["kind"] == "answering"
    assert record["compare"]["options"]["documents"] == "handbook"
    assert record["targets"]["corpus"]["documents"] == 10
    notes = " ".join(record["notes"])
    assert "Evidence is in the column 'doc': 20 of 20 questions" in notes
    assert "Figures are about new questions on these documents" in notes
    assert "10 documents with" in choose("check", "questions.jsonl", "--documents", "handbook").out
    assert package.check("questions.jsonl", documents=Path("handbook")).kind == "answering"


def test_a_study_keeps_its_documents_and_goes_on_from_its_folder(choose, refused) -> None:
    flags = ("--documents", "handbook", "--set", "group_column=doc")
    run = ("-s", "nearest", "--quick", "--out", "st")
    ran = choose("compare", "questions.jsonl", *flags, *run)
    assert ran.code == 0, ran.err
    assert "The task is answering: its questions are answered from documents." in ran.err
    assert "Figures are about" not in ran.err  # groups make it about new documents
    store = Store.open(Path("st"))
    assert store.study["data"]["documents"] == os.path.abspath("handbook")
    assert corpus_of(store.dataset.task) == read_documents("handbook").corpus
    assert store.dataset.clusters
    again = choose("compare", "-c", "st", "-s", "nearest", "--quick")
    assert again.code == 0, again.err
    Path("handbook/new.md").write_text("A new page.")
    said = refused("compare", "questions.jsonl", *flags, *run)
    assert "'st' holds another study (other rows or documents, or another division)" in said
    (store.path / "documents.parquet").write_bytes(b"PAR1")
    (store.path / "decision.json").unlink()
    report = choose("report", "st", "--full")
    assert report.code == 0, report.err
    assert "documents.parquet cannot be read" in " ".join(report.out.split())


@pytest.mark.parametrize("command", ["check", "compare"])
def test_documents_left_out_are_said_once(choose: Choose, command: str) -> None:
    Path("handbook/blank.md").write_text(" ")
    run = ("-s", "nearest", "--quick", "--out", "st") if command == "compare" else ()
    result = choose(command, "questions.jsonl", "--documents", "handbook", *run)
    said = " ".join((result.out if command == "check" else result.err).split())
    assert said.count("1 document without a text left out") == 1


def test_paths_of_a_study_file_start_at_its_folder(choose: Choose) -> None:
    Path("inner").mkdir()
    Path("handbook").rename("inner/handbook")
    Path("questions.jsonl").rename("inner/questions.jsonl")
    text = '[data]\npath = "questions.jsonl"\ndocuments = "handbook"\nevidence_column = "doc"\n'
    Path("inner/choose.toml").write_text(text)
    assert load_study(Path("inner/choose.toml")).data.documents == "inner/handbook"
    assert json.loads(choose("check", "-c", "inner/choose.toml", "--json").out)["rows"] == 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--documents", "handbok"), "No documents 'handbok'. Did you mean 'handbook'?"),
        (("--documents", ""), "write the name of a file"),
        (("--documents", "handbook", "--kind", "writing"), "this task is writing. Leave it out"),
    ],
)
def test_bad_documents_are_refused_in_one_sentence(refused, arguments, said):
    for command in ("check", "plan"):
        assert said in refused(command, "questions.jsonl", *arguments)


def test_outputs_never_replace_a_document(refused) -> None:
    page = "handbook/offices/bern.md"
    for output in (page, "handbook/report.md"):
        said = refused("check", "questions.jsonl", "--documents", "handbook", "-o", output)
        assert "which is never overwritten" in said
    assert Path(page).read_text().startswith("# The office")


def test_rows_in_memory_are_answered_from_documents() -> None:
    rows = [json.loads(line) for line in Path("questions.jsonl").read_text().splitlines()]
    record = package.check(rows, documents="handbook")
    assert (record.kind, record.rows) == ("answering", 20)

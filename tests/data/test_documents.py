"""Documents in folders and tables, and where answers occur in them."""

import errno
import json
import os
import random
import re
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from choose.corpus import Corpus, Document
from choose.data.dataset import Rows, read_rows
from choose.data.readers.document_files import read_documents
from choose.errors import DataError, StudyError
from choose.schema.study_sections import DataSection, TaskSection
from choose.tasks.answering import Answering, corpus_of
from choose.tasks.evidence_spans import AnswerPlaces, folded
from choose.types import Dataset, Example
from support.commands import refusal_of, run_python
from support.studies import load, load_dataset
from support.studies import write_lines as lines

ROWS: list[dict[str, Any]] = [
    {"id": "refunds", "title": "Refunds", "text": "We refund within 14 days."},
    {"id": "hours", "title": "Hours", "text": "We open at 9."},
]


def folder(path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        file = path / name.replace("__", "/").replace("_md", ".md").replace("_txt", ".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return path


def ids(corpus: Corpus) -> list[str]:
    return [document.id for document in corpus.documents]


def refused(name: str | Path) -> str:
    return refusal_of(DataError, read_documents, str(name))


def test_a_folder_is_read_with_its_folders_and_titles_are_headings_or_names(tmp_path: Path) -> None:
    place = folder(
        tmp_path / "handbook",
        b_md="Intro\n\n## Paying back ##\n# Later\nWe refund.",
        a_md="no heading",
        how__to__sign_up_txt="# not Markdown",
    )
    folder(place, **{".git__notes_txt": "hidden"})
    (place / ".secret.md").write_text("hidden")
    read = read_documents(str(place))
    assert ids(read.corpus) == ["a.md", "b.md", "how/to/sign_up.txt"]
    assert [d.title for d in read.corpus.documents] == ["a", "Paying back", "sign up"]
    assert read.notes == ()


def test_line_ends_and_byte_order_marks_are_as_an_editor_shows_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree")
    (tmp_path / "b.txt").write_bytes("zwei Grüße".encode("utf-16"))
    (tmp_path / "c.txt").write_bytes("Grüße aus Köln".encode("cp1252"))
    read = read_documents(str(tmp_path))
    assert [d.text for d in read.corpus.documents] == [
        "one\ntwo\nthree",
        "zwei Grüße",
        "Grüße aus Köln",
    ]
    [note] = read.notes
    assert "b.txt' was read as UTF-16" in note
    assert note.endswith("The same holds of 1 other file.")


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_tables_of_every_format_make_the_same_documents(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"documents{ending}"
    table = pl.DataFrame(ROWS)
    if ending == ".jsonl":
        lines(path, ROWS)
    elif ending == ".json":
        path.write_text(json.dumps(ROWS))
    elif ending == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, separator="," if ending == ".csv" else "\t")
    corpus = read_documents(str(path)).corpus
    assert corpus == read_documents(lines(tmp_path / "same.jsonl", ROWS)).corpus
    assert ids(corpus) == ["refunds", "hours"]
    assert [d.title for d in corpus.documents] == ["Refunds", "Hours"]


def test_usual_names_of_columns_are_found_and_an_id_is_not_needed(tmp_path: Path) -> None:
    rows = [
        {"Doc": 7, "Name": "A\nB", "Content": "x y", "Link": "https://example.org/7"},
        {"Doc": 8, "Name": None, "Content": "z", "Link": ""},
    ]
    first, second = read_documents(lines(tmp_path / "a.jsonl", rows)).corpus.documents
    assert (first.id, first.title, first.text) == ("7", "A B", "x y")
    assert (second.id, second.title) == ("8", "")
    plain = [{"body": "one"}, {"body": "two"}]
    assert ids(read_documents(lines(tmp_path / "b.jsonl", plain)).corpus) == ["1", "2"]
    named = [{"document": "d1", "text": "one"}, {"document": "d2", "text": "two"}]
    assert ids(read_documents(lines(tmp_path / "c.jsonl", named)).corpus) == ["d1", "d2"]
    whole = [{"id": "d1", "document": "one"}, {"id": "d2", "document": "two"}]
    corpus = read_documents(lines(tmp_path / "d.jsonl", whole)).corpus
    assert [d.text for d in corpus.documents] == ["one", "two"]


def test_one_document_is_read_and_said(tmp_path: Path) -> None:
    (tmp_path / "all.md").write_text("# Handbook\nWe open at 9.")
    for name in (tmp_path, tmp_path / "all.md"):
        read = read_documents(str(name))
        assert len(read.corpus) == 1
        assert read.notes[0].startswith("There is one document:")


def test_empty_documents_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [*ROWS, {"id": "blank", "text": " \n"}, {"id": "null", "text": None}]
    read = read_documents(lines(tmp_path / "a.jsonl", rows))
    assert ids(read.corpus) == ["refunds", "hours"]
    assert read.dropped == ("2 documents without a text left out: 'blank', 'null'.",)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*ROWS, ROWS[1]], "more than one document has the id 'hours'"),
        ([ROWS[0], {"text": "x"}], "row 2 have no id"),
        ([{"id": "blank", "text": " \n"}, {"id": "null", "text": None}], "has a text, of 2."),
        ([{"id": "a", "words": "x"}], "column of texts: none of 'id', 'words' is called text, "),
        ([{"id": "a", "text": ["x", "y"]}], "Row 1 holds a list in the column 'text'"),
    ],
)
def test_tables_without_texts_or_with_unclear_ids_are_refused(tmp_path, rows, says):
    assert says in refused(lines(tmp_path / "a.jsonl", rows))


def test_what_has_no_text_is_refused_with_a_converter_to_run_first(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "b.docx").write_bytes(b"PK\x03\x04")
    for name in (tmp_path, tmp_path / "a.pdf", tmp_path / "b.docx"):
        said = refused(name)
        assert "markitdown" in said
        assert "docling" in said
    (tmp_path / "c.md").write_text("readable")
    (tmp_path / "d.md").write_text("readable, too")
    [note] = read_documents(str(tmp_path)).notes
    start = "2 files left out, since .txt and .md are read: 1 .docx, 1 .pdf. Convert them"
    assert note.startswith(start)


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    assert "holds no .txt or .md file. Give a folder" in refused(tmp_path)
    lines(tmp_path / "passages.jsonl", ROWS)
    assert "holds no .txt or .md file, but '.jsonl'. Give a folder" in refused(tmp_path)


def test_places_that_hold_no_documents_are_refused(tmp_path: Path) -> None:
    (tmp_path / "handbook").mkdir()
    said = refused(tmp_path / "handbok")
    assert "No documents" in said
    assert "Did you mean 'handbook'?" in said
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "Too many levels of symbolic links" in refused(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe or device" in refused(tmp_path / "pipe")
    assert "is a pipe or device" in refused("/dev/zero")
    assert "No documents" in refused(tmp_path / ("x" * 100) / "y")
    assert "Cannot read" in refused("x" * 5_000)
    assert "No bundled documents 'sample:nothing'" in refused("sample:nothing")
    assert "No bundled documents" in refused("sample:../..")
    assert "No bundled documents" in refused("sample:tickets/../../../types.py")


def test_links_in_a_folder_are_no_way_out_of_it(tmp_path: Path) -> None:
    place = folder(tmp_path / "docs", a_md="A", b_md="B")
    folder(tmp_path / "elsewhere", c_md="C")
    (place / "again").symlink_to(place)
    (place / "out").symlink_to(tmp_path / "elsewhere")
    (place / "passwd.md").symlink_to("/etc/passwd")
    (place / "inside.md").symlink_to("a.md")
    (place / "gone.md").symlink_to(tmp_path / "nothing")
    (place / "loop.md").symlink_to(place / "loop.md")
    os.mkfifo(place / "pipe.md")
    read = read_documents(str(place))
    assert ids(read.corpus) == ["a.md", "b.md", "inside.md"]
    assert read.dropped == ("2 links out of the folder left out: 'gone.md', 'passwd.md'.",)
    assert read.notes == ("2 files left out, since .txt and .md are read: 2 .md.",)


def test_one_unreadable_file_of_a_folder_is_left_out_and_counted(tmp_path: Path) -> None:
    """It stopped the whole corpus."""
    place = folder(tmp_path / "docs", a_md="A", b_md="B", c_md="C\0", d_md="D\0")
    read = read_documents(str(place))
    assert ids(read.corpus) == ["a.md", "b.md"]
    [note] = read.notes
    assert note.startswith(f"Left out: Line 1 of '{place}/c.md' holds a NUL byte")
    assert note.endswith("The same holds of 1 other file.")
    (place / "a.md").unlink()
    (place / "b.md").unlink()
    assert "c.md' holds a NUL byte" in refused(place)
    assert "d.md' holds a NUL byte" in refused(place / "d.md")


def test_a_file_that_this_user_may_not_look_at_is_left_out(tmp_path, monkeypatch) -> None:
    """As in a folder that may be listed and not entered; root may do all."""
    place = folder(tmp_path / "docs", a_md="A", b_md="B")
    real = os.stat

    def refused_for_b(path: Any, **how: Any) -> os.stat_result:
        if str(path).endswith("b.md"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, **how)

    monkeypatch.setattr(os, "stat", refused_for_b)
    read = read_documents(str(place))
    assert ids(read.corpus) == ["a.md"]
    assert read.notes[0] == f"Left out: Cannot read '{place}/b.md': Permission denied."


def test_a_cell_that_is_too_long_for_a_table_is_read_from_a_text(tmp_path: Path) -> None:
    long = "word " * 250_000
    said = refused(lines(tmp_path / "a.jsonl", [{"id": "a", "text": long}]))
    assert said.endswith("A longer document can be a .txt file in a folder.")
    (tmp_path / "a.txt").write_text(long)
    assert len(read_documents(str(tmp_path)).corpus.passages()) == 2_500


def test_names_and_titles_keep_what_a_terminal_would_obey(tmp_path: Path) -> None:
    """They are escaped where they are shown, so that evidence can name them."""
    (tmp_path / "a\x1b[31m.md").write_text("# Red \x1b[31m <b>\nText.")
    (tmp_path / os.fsdecode(b"b\xff.md")).write_text("Text.")
    first, second = read_documents(str(tmp_path)).corpus.documents
    assert (first.id, first.title) == ("a\x1b[31m.md", "Red \x1b[31m <b>")
    assert (second.id, second.title) == ("b\ufffd.md", "b\ufffd")


HUGE = """
import json, resource, sys, time
from choose.corpus import CONDITIONS
from choose.data.dataset import dataset_from, read_rows
from choose.models.retrieval.passage_search import given
from choose.schema.study_sections import DataSection, TaskSection
from choose.strategy import build
from choose.tasks.document_drill import drill_of

start = time.process_time()
section = DataSection(path=sys.argv[1], documents=sys.argv[2])
data = dataset_from(read_rows(section), section, TaskSection())
rows = list(data.examples.values())
strategy = build("sentence", seed=0)
strategy.fit(data.task, rows[:10])
found = strategy.predict([row.item() for row in rows[10:]])
for control in CONDITIONS:
    strategy.predict(given(control, rows[10:], data.task.corpus))
print(json.dumps({
    "evidence": [len(row.evidence) for row in rows],
    "answers": found.outputs,
    "changed": drill_of(data) is not None,
    "passages": len(data.task.corpus.passages()),
    "seconds": time.process_time() - start,
    "GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [100])
def test_one_document_of_100_megabytes_takes_time_and_memory_as_its_length(tmp_path, megabytes):
    """Read, searched for evidence, cut, indexed, answered from, under every control and drill."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(4, 9))) for _ in range(3_000)]
    sentences = (" ".join(draw.choices(words, k=12)).capitalize() for _ in range(2_000))
    block = ". ".join(sentences) + ". "
    facts = [f"The lamp of hall Zq{n}x is {n}k teal. " for n in range(20)]
    each = block * (megabytes * 1_000_000 // len(block) // len(facts))
    (tmp_path / "book.txt").write_text("".join(each + fact for fact in facts))
    asked = [
        {"question": f"What is the lamp of hall Zq{n}x?", "answers": [f"{n}k teal"]}
        for n in range(20)
    ]
    file = lines(tmp_path / "questions.jsonl", asked)
    told = json.loads(run_python(HUGE, file, tmp_path / "book.txt"))
    assert told["evidence"] == [1] * 20
    assert told["answers"] == [fact.strip() for fact in facts[10:]]
    assert told["passages"] > 900 * megabytes
    assert not told["changed"]
    assert told["seconds"] < megabytes
    assert told["GB"] < 0.5 + 0.04 * megabytes


def test_documents_of_a_sample_are_beside_its_rows() -> None:
    corpus = read_documents("sample:handbook").corpus
    assert len(corpus) > 50
    assert corpus == read_documents("sample:handbook/documents.jsonl").corpus


TOWNS = ["Bern", "Oslo", "Lima", "Rome", "Riga", "Kyiv", "Doha", "Cork", "Nice", "Bonn"]


def documents(count: int = 20) -> list[dict[str, Any]]:
    return [
        {
            "id": f"d{n}",
            "title": f"Office {n}",
            "text": f"Office number {n} is in {TOWNS[n % 10]} {n}. It has {n + 100} desks.\n"
            f"Its code is C-{n}-{n * 7919 % 1009}.",
        }
        for n in range(count)
    ]


def questions(count: int = 20) -> list[dict[str, Any]]:
    rows = []
    for n in range(count):
        about = f"office number {n}"
        rows += [
            {"id": f"a{n}", "question": f"Where is {about}?", "answers": [f"{TOWNS[n % 10]} {n}"]},
            {"id": f"b{n}", "question": f"How many desks has {about}?", "answers": [str(n + 100)]},
            {"id": f"c{n}", "question": f"Who leads {about}?", "answers": []},
        ]
    return rows


@pytest.fixture
def office(tmp_path: Path) -> str:
    return lines(tmp_path / "documents.jsonl", documents())


def with_cells(column: str, cells: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**row, column: cells.get(row["id"])} for row in questions()]


def read(path: str, documents: str, **data: Any) -> Rows:
    return read_rows(DataSection(path=path, documents=documents, **data))


def text_of(dataset: Dataset, id: str) -> list[str]:
    corpus = corpus_of(dataset.task)
    return [corpus.by_id[s.document].text[s.start : s.end] for s in dataset.examples[id].evidence]


def test_documents_make_the_task_answering_and_part_of_it(tmp_path: Path, office: str) -> None:
    path = lines(tmp_path / "a.jsonl", questions())
    data = load(path, documents=office)
    assert isinstance(data.task, Answering)
    assert data.task.documents == corpus_of(data.task).digest
    assert "The task is answering: its questions are answered from documents." in data.findings
    assert not any("is not read" in finding for finding in data.findings)
    stated = load_dataset(DataSection(path=path, documents=office), TaskSection(kind="answering"))
    assert not any("The task is answering" in finding for finding in stated.findings)
    assert stated.fingerprint == data.fingerprint


def test_other_kinds_and_settings_without_documents_are_refused(tmp_path, office):
    path = lines(tmp_path / "a.jsonl", questions())
    section = DataSection(path=path, documents=office)
    with pytest.raises(StudyError, match="--documents is for questions"):
        load_dataset(section, TaskSection(kind="writing"))
    with pytest.raises(StudyError, match=r"from documents\. Name these with --documents"):
        read_rows(DataSection(path=path, evidence_column="evidence"))
    rows = [{**row, "context": "Office number 1"} for row in questions()]
    with pytest.raises(StudyError, match="have a passage of their own in 'context'"):
        load(lines(tmp_path / "b.jsonl", rows), documents=office, fields=("context",))


def test_answers_are_found_by_their_text_and_counted(tmp_path: Path, office: str) -> None:
    rows = questions()
    rows[0]["answers"] = ["Atlantis"]
    data = load(lines(tmp_path / "a.jsonl", rows), documents=office)
    assert data.examples["a0"].evidence == ()
    assert data.examples["c3"].evidence == ()
    assert text_of(data, "a13") == ["Rome 13"]
    assert data.examples["a13"].evidence[0].document == "d13"
    said = "Evidence found by the answer's text: 39 of 40 questions with an answer; "
    assert said + "1 has an answer that occurs in no document." in data.findings


def test_places_are_whole_words_in_any_case_of_the_likeliest_documents() -> None:
    texts = {
        "a": "A seven-layer cake. SEVEN Layers, seventy.",
        "b": "Straße der\n  Einheit, İzmir, ΟΔΟΣ.",
        "c": "所在地は東京都です。",
        "d": "Seven oaks by the river.",
    }
    corpus = Corpus(tuple(Document(id=id, text=text) for id, text in texts.items()))

    def found(answer: str, question: str = "?", *more: str) -> list[tuple[str, str]]:
        row = Example(id="q", text=question, target=answer, accepted=more)
        spans = AnswerPlaces(corpus, [row]).of(row)
        return [(s.document, corpus.by_id[s.document].text[s.start : s.end]) for s in spans]

    assert found("seven") == [("a", "seven"), ("a", "SEVEN"), ("d", "Seven")]
    assert found("seven", "Which oaks stand by the river?")[0] == ("d", "Seven")
    assert found("der Einheit") == [("b", "der\n  Einheit")]
    assert found("izmir") == [("b", "İzmir")]
    assert found("οδος") == [("b", "ΟΔΟΣ")]
    assert found("straße") == [("b", "Straße")]
    assert found("東京") == [("c", "東京")]
    assert found("even") == found("no answer") == found("") == []
    assert found("layers", "?", "seven layers") == [("a", "SEVEN Layers")]


def test_folding_keeps_every_character_in_its_place() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    assert all(len(folded(character)) == 1 for character in every)


def test_brief_answers_are_kept_at_the_likeliest_places() -> None:
    corpus = Corpus(
        tuple(Document(id=f"d{n}", text=f"House {n} has two doors, two gates.") for n in range(50))
    )
    row = Example(id="q", text="How many doors has house 31?", target="two")
    spans = AnswerPlaces(corpus, [row]).of(row)
    assert len(spans) == 20
    assert {span.document for span in spans[:2]} == {"d31"}


def test_a_column_names_ids_and_spans_in(tmp_path, office):
    cells = {
        "a0": "d0",
        "a1": ["d1", "d2"],
        "a2": [["d2", 0, 6]],
        "a3": ["d3", 0, 6],
        "a4": {"d4": 1, "d5": 0},
        "a5": ["d5", ["d6", 0, 6]],
        "a6": "d7;d8",
        "a7": [],
        "a8": "d1",
        "c1": "d1",
    }
    data = load(lines(tmp_path / "a.jsonl", with_cells("evidence", cells)), documents=office)
    assert {s.document for s in data.examples["a1"].evidence} == {"d1", "d2"}
    assert text_of(data, "a0") == ["Bern 0"]
    assert text_of(data, "a2") == text_of(data, "a3") == ["Office"]
    assert {s.document for s in data.examples["a4"].evidence} == {"d4"}
    assert text_of(data, "a5") == ["Kyiv 5", "Office"]
    assert [s.document for s in data.examples["a6"].evidence] == ["d7", "d8"]
    assert data.examples["a7"].evidence == data.examples["c1"].evidence == ()
    assert any("column 'evidence': 8 of 40 questions" in text for text in data.findings)
    table = pl.DataFrame(
        {n: cell if isinstance(cell, str) else json.dumps(cell) for n, cell in row.items()}
        for row in with_cells("evidence", cells)
    )
    table.write_csv(tmp_path / "a.csv")
    table.write_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        same = load(str(tmp_path / name), documents=office)
        assert [e.evidence for e in same.examples.values()] == [
            e.evidence for e in data.examples.values()
        ]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("d99", "no document has the id 'd99'. Did you mean 'd9'?"),
        (["d1", "nowhere"], "no document has the id 'nowhere'."),
        ([["d1", 0, 9_999]], "the characters 0 to 9999 are outside of the document 'd1'"),
        ([["d1", 5, 5]], "the characters 5 to 5 are outside of the document 'd1'"),
        ([["d1", -2, 5]], "the characters -2 to 5 are outside of the document 'd1'"),
        ([["d1", "x"]], "names no document. Allowed: the id of a document"),
        ([["d1", 1.5, 2.5]], "names no document. Allowed: the id of a document"),
        ({"document": "d1"}, "names documents in no allowed form. Allowed: the id of"),
        (True, "names no document. Allowed: the id of a document"),
        ("\x1b[31md", "no document has the id '\\x1b[31md'."),
    ],
)
def test_evidence_that_names_nothing_is_refused_with_its_row(refusal, tmp_path, office, cell, said):
    path = lines(tmp_path / "a.jsonl", with_cells("evidence", {"a0": "d0", "b0": cell}))
    message = refusal(DataError, load, path, documents=office)
    assert message.startswith("Row 2, column 'evidence': ")
    assert said in message


def test_usual_columns_are_guessed_and_never_become_texts_or_labels(tmp_path, office):
    ids = {f"{kind}{n}": f"d{n}" for kind in "ab" for n in range(20)}
    for name in ("Evidence", "gold_passage_ids", "gold_passages", "supporting_facts", "spans"):
        rows = read(lines(tmp_path / "a.jsonl", with_cells(name, ids)), office)
        assert any(f"column {name!r}" in note for note in rows.notes)
    # A document that some rows name is evidence only if all its cells name one.
    rows = read(lines(tmp_path / "b.jsonl", with_cells("doc", ids)), office)
    assert any("column 'doc'" in note for note in rows.notes)
    rows = read(lines(tmp_path / "c.jsonl", with_cells("doc", {**ids, "a3": "other"})), office)
    assert any("by the answer's text" in note for note in rows.notes)
    # Without usual names of text and answer, the content decides, of other columns.
    plain = [
        {
            "words": row["question"],
            "reply": (row["answers"] or [""])[0] or "no answer",
            "evidence": ["d0", "d1"][n % 2],
        }
        for n, row in enumerate(questions())
    ]
    rows = read(lines(tmp_path / "d.jsonl", plain), office, text_column="words")
    assert (rows.roles.text, rows.roles.label) == (("words",), "reply")


def test_a_guessed_column_about_other_documents_is_left_unread_and_said(tmp_path, office):
    path = lines(tmp_path / "a.jsonl", with_cells("evidence", {"a0": "elsewhere", "a1": "x"}))
    notes = read(path, office).notes
    assert "The column 'evidence' names no document of these, and is not read." in notes
    assert any("by the answer's text: 40 of 40" in note for note in notes)
    with pytest.raises(DataError, match="Row 1, column 'evidence': no document has the id"):
        read(path, office, evidence_column="evidence")
    with pytest.raises(DataError, match=r"No evidence column 'evidense'\. Did you mean"):
        read(path, office, evidence_column="evidense")


def test_a_test_file_has_evidence_too_and_is_named_in_errors(tmp_path: Path, office: str) -> None:
    rows = with_cells("evidence", {f"{kind}{n}": f"d{n}" for kind in "ab" for n in range(20)})
    pool, test = lines(tmp_path / "a.jsonl", rows[:40]), rows[40:]
    data = load(pool, documents=office, test=lines(tmp_path / "b.jsonl", test))
    assert all(e.evidence for e in data.examples.values() if e.target != "no answer")
    test[0]["evidence"] = "nowhere"
    with pytest.raises(DataError, match=r"In '.*b.jsonl': Row 1, column 'evidence': no document"):
        load(pool, documents=office, test=lines(tmp_path / "b.jsonl", test))
    bare = [{k: v for k, v in row.items() if k != "evidence"} for row in test]
    with pytest.raises(DataError, match=r"In '.*c.jsonl': There is no column 'evidence'"):
        load(pool, documents=office, test=lines(tmp_path / "c.jsonl", bare))


def test_a_column_that_names_documents_may_be_the_group_too(tmp_path: Path, office: str) -> None:
    ids = {f"{kind}{n}": f"d{n}" for kind in "abc" for n in range(20)}
    path = lines(tmp_path / "a.jsonl", with_cells("doc", ids))
    data = load(path, documents=office, group_column="doc")
    assert text_of(data, "a13") == ["Rome 13"]
    assert any("Evidence is in the column 'doc'" in text for text in data.findings)
    for fold in data.folds:
        assert {e[1:] for e in fold.questions}.isdisjoint(e[1:] for e in fold.pool)


def test_the_fingerprint_depends_on_evidence_and_documents(tmp_path: Path, office: str) -> None:
    path = lines(tmp_path / "a.jsonl", questions())
    more = lines(tmp_path / "more.jsonl", documents(21))
    named = lines(tmp_path / "b.jsonl", with_cells("evidence", {"a0": [["d0", 0, 6]]}))
    prints = {load(path, documents=office).fingerprint, load(path, documents=more).fingerprint}
    assert len({*prints, load(named, documents=office).fingerprint}) == 3


@pytest.mark.parametrize(("name", "rows", "whole"), [("xquad_en", 1_190, 1), ("covid_qa", 729, 41)])
def test_evidence_of_real_sets_is_where_the_answer_stands(shared_data, name, rows, whole):
    folder = shared_data / name
    data = load(str(folder / "questions.jsonl"), documents=str(folder / "passages.jsonl"))
    corpus = corpus_of(data.task)
    assert len(data.examples) == rows
    assert all(e.evidence for e in data.examples.values())
    standing = 0
    for row in data.examples.values():
        texts = [corpus.by_id[s.document].text[s.start : s.end] for s in row.evidence]
        folds = {" ".join(folded(text).split()) for text in texts}
        standing += not folds.isdisjoint(" ".join(folded(t).split()) for t in row.targets)
    assert standing == rows - whole


@pytest.mark.parametrize(
    ("name", "first", "any_place"), [("xquad_en", 0.99, 0.99), ("covid_qa", 0.90, 0.94)]
)
def test_evidence_found_by_text_agrees_with_that_of_people(shared_data, name, first, any_place):
    """The shares that `docs/limits.md` tells."""
    folder = shared_data / name
    rows = read(str(folder / "questions.jsonl"), str(folder / "passages.jsonl"))
    assert rows.corpus is not None
    places = AnswerPlaces(rows.corpus, rows.pool)
    firsts, some = 0, 0
    for e in rows.pool:
        named = {span.document for span in e.evidence}
        found = [span.document for span in places.of(e)]
        firsts += not named.isdisjoint(found[:1])
        some += not named.isdisjoint(found)
    assert firsts / len(rows.pool) >= first
    assert some / len(rows.pool) >= any_place


@settings(max_examples=100)
@example(texts=["ba a a"], answer="a a")
@given(
    texts=st.lists(st.text(alphabet="ab ._-\nÉ", max_size=30), min_size=1, max_size=4),
    answer=st.text(alphabet="ab ._É", min_size=1, max_size=5),
)
def test_places_are_those_of_a_plain_search(texts: list[str], answer: str) -> None:
    corpus = Corpus(tuple(Document(id=f"d{n}", text=text) for n, text in enumerate(texts)))
    row = Example(id="q", text="b?", target=answer)
    found = {(span.document, span.start, span.end) for span in AnswerPlaces(corpus, [row]).of(row)}
    words = answer.split()
    before = r"(?<!\w)" if words and re.match(r"\w", words[0]) else ""
    after = r"(?!\w)" if words and re.search(r"\w$", words[-1]) else ""
    spaced = r"\s".join(map(re.escape, words))
    plain = {
        (f"d{n}", *match.span())
        for n, text in enumerate(texts)
        for match in re.finditer(f"{before}{spaced}{after}", text, re.IGNORECASE)
        if words
    }
    # Where one blank is nowhere between the words, several may be.
    loose = {document for document, *_ in found} - {document for document, *_ in plain}
    assert {place for place in found if place[0] not in loose} == plain
    for document, start, end in found:
        text = corpus.by_id[document].text[start:end]
        assert text.lower().split() == answer.lower().split()

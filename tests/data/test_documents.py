"""Documents in folders and tables: what is read, what is said, and what is refused."""

import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from choose.corpus import Corpus
from choose.data.readers.document_files import read_documents
from choose.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"id": "refunds", "title": "Refunds", "text": "We refund within 14 days.", "updated": None},
    {"id": "hours", "title": "Hours", "text": "We open at 9.", "updated": "2025-03-01"},
]


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def folder(path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        file = path / name.replace("__", "/").replace("_md", ".md").replace("_txt", ".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return path


def ids(corpus: Corpus) -> list[str]:
    return [document.id for document in corpus.documents]


def refused(name: str | Path) -> str:
    with pytest.raises(DataError) as error:
        read_documents(str(name))
    assert "\n" not in str(error.value)
    return str(error.value)


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
    (tmp_path / "c.txt").write_bytes("zwei".encode("utf-16-le") * 10)
    (tmp_path / "d.txt").write_bytes("Grüße aus Köln".encode("cp1252"))
    read = read_documents(str(tmp_path))
    assert [d.text for d in read.corpus.documents] == [
        "one\ntwo\nthree",
        "zwei Grüße",
        "zwei" * 10,
        "Grüße aus Köln",
    ]
    [note] = read.notes
    assert "b.txt' was read as UTF-16" in note
    assert note.endswith("The same holds of 2 other files.")


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
    moments = [d.timestamp for d in corpus.documents]
    assert moments == [None, datetime(2025, 3, 1, tzinfo=UTC)]


def test_usual_names_of_columns_are_found_and_an_id_is_not_needed(tmp_path: Path) -> None:
    rows = [
        {"Doc": 7, "Name": "A\nB", "Content": "x y", "Link": "https://example.org/7"},
        {"Doc": 8, "Name": None, "Content": "z", "Link": ""},
    ]
    first, second = read_documents(lines(tmp_path / "a.jsonl", rows)).corpus.documents
    assert (first.id, first.title, first.text, first.url) == (
        "7",
        "A B",
        "x y",
        "https://example.org/7",
    )
    assert (second.id, second.title, second.url) == ("8", "", None)
    plain = [{"body": "one"}, {"body": "two"}]
    assert ids(read_documents(lines(tmp_path / "b.jsonl", plain)).corpus) == ["1", "2"]
    named = [{"document": "d1", "text": "one"}, {"document": "d2", "text": "two"}]
    assert ids(read_documents(lines(tmp_path / "c.jsonl", named)).corpus) == ["d1", "d2"]
    whole = [{"id": "d1", "document": "one"}, {"id": "d2", "document": "two"}]
    corpus = read_documents(lines(tmp_path / "d.jsonl", whole)).corpus
    assert [d.text for d in corpus.documents] == ["one", "two"]


def test_dates_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    rows = [{**row, "updated": "soon"} for row in ROWS]
    read = read_documents(lines(tmp_path / "a.jsonl", rows))
    assert read.notes == ("Dates of documents that cannot be read: rows 1 and 2.",)


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
    assert read.notes == ("2 documents without a text left out: 'blank', 'null'.",)
    said = refused(lines(tmp_path / "b.jsonl", rows[2:]))
    assert "has a text, of 2." in said


def test_repeated_and_missing_ids_are_refused_by_name(tmp_path: Path) -> None:
    said = refused(lines(tmp_path / "a.jsonl", [*ROWS, ROWS[1]]))
    assert "more than one document has the id 'hours'" in said
    assert "row 2 have no id" in refused(lines(tmp_path / "b.jsonl", [ROWS[0], {"text": "x"}]))


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


def test_a_table_in_a_folder_is_named_and_an_empty_folder_refused(tmp_path: Path) -> None:
    assert "holds no .txt or .md file. Give a folder" in refused(tmp_path)
    lines(tmp_path / "passages.jsonl", ROWS)
    assert "passages.jsonl'" in refused(tmp_path)
    assert "--documents" in refused(tmp_path)


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
    """N7: a link to /etc/passwd was read as a document, and would have been kept and sent."""
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
    assert read.notes == (
        "2 links out of the folder left out: 'gone.md', 'passwd.md'.",
        "2 files left out, since .txt and .md are read: 2 .md.",
    )


def test_one_unreadable_file_of_a_folder_is_left_out_and_counted(tmp_path: Path) -> None:
    """N7: it stopped the whole corpus."""
    place = folder(tmp_path / "docs", a_md="A", b_md="B", c_md="C\0", d_md="D\0")
    read = read_documents(str(place))
    assert ids(read.corpus) == ["a.md", "b.md"]
    [note] = read.notes
    assert note.startswith(f"Left out: '{place}/c.md' holds a NUL byte")
    assert note.endswith("The same holds of 1 other file.")
    (place / "a.md").unlink()
    (place / "b.md").unlink()
    assert "c.md' holds a NUL byte" in refused(place)
    assert "d.md' holds a NUL byte" in refused(place / "d.md")


def test_bytes_of_no_encoding_are_refused_by_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Привет, мир! ".encode("koi8-r") * 20)
    assert "a.txt' is neither UTF-8 text nor plausible as Windows-1252" in refused(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"text\0with\0zeros, here and there in it" * 3)
    assert "a.txt' holds a NUL byte" in refused(tmp_path)


def test_columns_and_cells_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    said = refused(lines(tmp_path / "a.jsonl", [{"id": "a", "words": "x"}]))
    assert "has no column of texts: none of " in said
    assert " is called text, content, " in said
    said = refused(lines(tmp_path / "b.jsonl", [{"id": "a", "text": ["x", "y"]}]))
    assert "Row 1 holds a list in the column 'text'" in said


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


def test_megabytes_without_a_word_or_a_sentence_are_cut_within_bounds(tmp_path: Path) -> None:
    for text in ("x" * 3_000_000, " " * 3_000_000 + "x", ".'" * 1_000_000, "word " * 600_000):
        (tmp_path / "a.txt").write_text(text)
        passages = read_documents(str(tmp_path)).corpus.passages()
        assert max(len(p.text) for p in passages) <= 100 * 201


HUGE = """
import json, resource, sys, time
from choose.corpus import CONDITIONS
from choose.data.dataset import load_dataset
from choose.models.retrieval.passage_search import given
from choose.schema.study_sections import DataSection, TaskSection
from choose.strategy import build
from choose.tasks.exchanged_facts import drill_of

start = time.process_time()
data = load_dataset(DataSection(path=sys.argv[1], documents=sys.argv[2]), TaskSection())
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
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in asked))
    command = [sys.executable, "-c", HUGE, str(file), str(tmp_path / "book.txt")]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
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

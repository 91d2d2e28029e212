"""Where answers occur in documents: named by a column, or found by their text."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from choose.corpus import Corpus, Document
from choose.data.dataset import Rows, load_dataset, read_rows
from choose.data.readers.evidence_columns import evidence_cells
from choose.errors import DataError, StudyError
from choose.schema.study_sections import DataSection, TaskSection
from choose.tasks.answering import Answering, corpus_of
from choose.tasks.evidence_spans import AnswerPlaces, folded, linked_groups
from choose.types import Dataset, Example

TOWNS = ["Bern", "Oslo", "Lima", "Rome", "Riga", "Kyiv", "Doha", "Cork", "Nice", "Bonn"]


def documents(count: int = 20) -> list[dict[str, Any]]:
    """Return documents of which each holds three answers."""
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


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


@pytest.fixture
def office(tmp_path: Path) -> str:
    return lines(tmp_path / "documents.jsonl", documents())


def with_cells(column: str, cells: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**row, column: cells.get(row["id"])} for row in questions()]


def load(path: str, documents: str, **data: Any) -> Dataset:
    return load_dataset(DataSection(path=path, documents=documents, **data), TaskSection())


def read(path: str, documents: str, **data: Any) -> Rows:
    return read_rows(DataSection(path=path, documents=documents, **data))


def text_of(dataset: Dataset, id: str) -> list[str]:
    corpus = corpus_of(dataset.task)
    spans = dataset.examples[id].evidence
    return [corpus.by_id[s.document].text[s.start : s.end] for s in spans]


def test_documents_make_the_task_answering_and_part_of_it(tmp_path: Path, office: str) -> None:
    path = lines(tmp_path / "a.jsonl", questions())
    data = load(path, office)
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
    for more in ({"evidence_column": "evidence"}, {"estimand": "new-documents"}):
        with pytest.raises(StudyError, match=r"from documents\. Name these with --documents"):
            read_rows(DataSection(path=path, **more))
    rows = [{**row, "context": "Office number 1"} for row in questions()]
    with pytest.raises(StudyError, match="have a passage of their own in 'context'"):
        load(lines(tmp_path / "b.jsonl", rows), office, fields=("context",))


def test_answers_are_found_by_their_text_and_counted(tmp_path: Path, office: str) -> None:
    rows = questions()
    rows[0]["answers"] = ["Atlantis"]
    data = load(lines(tmp_path / "a.jsonl", rows), office)
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


def test_a_column_names_ids_spans_or_objects_in_lines_and_in_tables(tmp_path, office):
    cells = {
        "a0": "d0",
        "a1": ["d1", "d2"],
        "a2": [["d2", 0, 6]],
        "a3": ["d3", 0, 6],
        "a4": {"document": "d4", "start": 7, "end": 13},
        "a5": [{"document": "d5"}, {"document": "d6", "start": 0, "end": 6, "text": "Office"}],
        "a6": "d7;d8",
        "a7": [],
        "a8": "d1",
        "c1": "d1",
    }
    data = load(lines(tmp_path / "a.jsonl", with_cells("evidence", cells)), office)
    assert {s.document for s in data.examples["a1"].evidence} == {"d1", "d2"}
    assert text_of(data, "a0") == ["Bern 0"]
    assert text_of(data, "a2") == text_of(data, "a3") == ["Office"]
    assert text_of(data, "a4") == ["number"]
    assert text_of(data, "a5") == ["Kyiv 5", "Office"]
    assert [s.document for s in data.examples["a6"].evidence] == ["d7", "d8"]
    assert data.examples["a7"].evidence == data.examples["c1"].evidence == ()
    assert any("column 'evidence': 8 of 40 questions" in text for text in data.findings)
    assert any("For 2, no accepted answer occurs in the named" in text for text in data.findings)
    table = pl.DataFrame(
        [
            {
                **row,
                "answers": json.dumps(row["answers"]),
                "evidence": cell if isinstance(cell, str) else json.dumps(cell),
            }
            for row in with_cells("evidence", cells)
            for cell in [row["evidence"]]
        ]
    )
    table.write_csv(tmp_path / "a.csv")
    table.write_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        same = load(str(tmp_path / name), office)
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
        ([["d1", "x"]], "names no evidence. Allowed: the id of a document"),
        ([["d1", 1.5, 2.5]], "names no evidence. Allowed: the id of a document"),
        ({"document": "d1", "start": 3}, "names no evidence. Allowed: the id of a document"),
        ({"page": 3}, "names no evidence. Allowed: the id of a document"),
        (True, "names no evidence. Allowed: the id of a document"),
        ("\x1b[31md", "no document has the id '\\x1b[31md'."),
    ],
)
def test_evidence_that_names_nothing_is_refused_with_row_and_column(tmp_path, office, cell, said):
    path = lines(tmp_path / "a.jsonl", with_cells("evidence", {"a0": "d0", "b0": cell}))
    with pytest.raises(DataError) as error:
        load(path, office)
    assert str(error.value).startswith("Row 2, column 'evidence': ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


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
    sentences = lines(tmp_path / "b.jsonl", with_cells("evidence", {"a0": [["d0", 3]]}))
    notes = read(sentences, office).notes
    assert "The column 'evidence' has a form that is not known, and is not read." in notes
    with pytest.raises(DataError, match="Row 1, column 'evidence': no document has the id"):
        read(path, office, evidence_column="evidence")
    with pytest.raises(DataError, match=r"No evidence column 'evidense'\. Did you mean"):
        read(path, office, evidence_column="evidense")


def test_a_test_file_has_evidence_too_and_is_named_in_errors(tmp_path: Path, office: str) -> None:
    ids = {f"{kind}{n}": f"d{n}" for kind in "ab" for n in range(20)}
    rows = with_cells("evidence", ids)
    pool, test = lines(tmp_path / "a.jsonl", rows[:40]), rows[40:]
    data = load(pool, office, test=lines(tmp_path / "b.jsonl", test))
    assert all(e.evidence for e in data.examples.values() if e.target != "no answer")
    test[0]["evidence"] = "nowhere"
    with pytest.raises(DataError, match=r"In '.*b.jsonl': Row 1, column 'evidence': no document"):
        load(pool, office, test=lines(tmp_path / "b.jsonl", test))
    bare = [{k: v for k, v in row.items() if k != "evidence"} for row in test]
    with pytest.raises(DataError, match=r"In '.*c.jsonl': There is no column 'evidence'"):
        load(pool, office, test=lines(tmp_path / "c.jsonl", bare))


def test_new_documents_keep_questions_that_share_one_together(tmp_path: Path, office: str) -> None:
    ids: dict[str, Any] = {f"{kind}{n}": f"d{n}" for kind in "abc" for n in range(20)}
    ids["a4"] = ["d4", "d5"]  # which links the questions on both
    path = lines(tmp_path / "a.jsonl", with_cells("evidence", ids))
    data = load(path, office, estimand="new-documents")
    assert any("about new documents" in text and "(19 groups)" in text for text in data.findings)
    for fold in data.folds:
        assert {e[1:] for e in fold.questions}.isdisjoint(e[1:] for e in fold.pool)
    assert data.clusters["b4"] == data.clusters["c5"]
    usual = load(path, office)
    assert any("about new questions on these documents" in text for text in usual.findings)
    assert usual.fingerprint != data.fingerprint
    assert any({e[1:] for e in f.questions} & {e[1:] for e in f.pool} for f in usual.folds)
    found = load(lines(tmp_path / "b.jsonl", questions()), office, estimand="new-documents")
    for fold in found.folds:
        asked = {e[1:] for e in fold.questions if e[0] != "c"}
        assert asked.isdisjoint(e[1:] for e in fold.pool if e[0] != "c")


def test_groups_are_the_connected_components_of_documents_and_groups() -> None:
    groups = linked_groups(
        [["a"], ["b", "a"], ["c"], [], [], ["d"]], [None, None, "g", "g", None, None]
    )
    assert groups[0] == groups[1]
    assert groups[2] == groups[3]
    assert groups[4] is None
    assert len(set(groups)) == 4
    assert linked_groups([["g"], []], [None, "g"])[0] != linked_groups([["g"], []], [None, "g"])[1]


def test_the_fingerprint_depends_on_evidence_and_documents(tmp_path: Path, office: str) -> None:
    rows = questions()
    path = lines(tmp_path / "a.jsonl", rows)
    more = lines(tmp_path / "more.jsonl", documents(21))
    named = lines(tmp_path / "b.jsonl", with_cells("evidence", {"a0": [["d0", 0, 6]]}))
    prints = {load(path, office).fingerprint, load(path, more).fingerprint}
    assert len({*prints, load(named, office).fingerprint}) == 3


def test_cells_of_numbers_are_ids() -> None:
    corpus = Corpus((Document(id="7", text="seven"), Document(id="8", text="eight")))
    table = pl.DataFrame({"__row__": [1, 2], "evidence": [[7, 8], [8]]})
    cells = evidence_cells(table, "evidence", corpus)
    assert [[place.document for place in cell] for cell in cells] == [["7", "8"], ["8"]]


@pytest.mark.parametrize(("name", "rows", "whole"), [("xquad_en", 1_190, 1), ("covid_qa", 729, 41)])
def test_evidence_of_real_sets_is_where_the_answer_stands(shared_data, name, rows, whole):
    folder = shared_data / name
    data = load(str(folder / "questions.jsonl"), str(folder / "passages.jsonl"))
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

"""The invariants of sample:handbook and the figures of its data card, recomputed."""

import json
import re
from datetime import datetime
from importlib.resources import files
from typing import Any

import pytest

from choose.corpus import Corpus, Document, Span
from choose.data.readers.table_file import read_table
from choose.judge.measures.reading_measures import retrieval_quality
from choose.models.retrieval.indexes import BM25Index

FOLDER = files("choose.data") / "samples" / "handbook"


Rows = list[dict[str, Any]]


def rows(name: str) -> Rows:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def stated(row: str) -> float:
    """Return the first figure that the data card states in a row of its table."""
    card = (FOLDER / "CARD.md").read_text("utf-8")
    line = next(line for line in card.splitlines() if line.startswith(f"| {row}"))
    found = re.search(r"\d+(\.\d+)?", line.split("|")[2])
    return float(found.group())


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows("documents.jsonl")}


@pytest.fixture(scope="module")
def questions() -> Rows:
    return rows("questions.jsonl")


@pytest.fixture(scope="module")
def answerable(questions: Rows) -> Rows:
    return [row for row in questions if row["answers"]]


@pytest.fixture(scope="module")
def corpus(documents: dict[str, dict[str, Any]]) -> Corpus:
    return Corpus(
        tuple(Document(id=d["id"], title=d["title"], text=d["text"]) for d in documents.values())
    )


@pytest.fixture(scope="module")
def replaced(documents: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the id of the older version by that of the newer one."""
    versions: dict[str, list[dict[str, Any]]] = {}
    for document in documents.values():
        stem, dated, _ = document["id"].rpartition("-20")
        if dated and re.search(r"-20\d\d-\d\d$", document["id"]):
            versions.setdefault(stem, []).append(document)
    pairs = [sorted(own, key=lambda d: d["timestamp"]) for own in versions.values()]
    return {pair[1]["id"]: pair[0]["id"] for pair in pairs if len(pair) == 2}


def test_about_300_dated_questions_of_which_an_eighth_has_no_answer(questions: Rows) -> None:
    assert 300 <= len(questions) <= 320
    assert len({row["id"] for row in questions}) == len(questions)
    assert len({row["question"].casefold() for row in questions}) == len(questions)
    times = [datetime.fromisoformat(row["timestamp"]) for row in questions]
    assert times == sorted(times)
    assert {(time.year, time.month) for time in times} == {(2026, 1), (2026, 2), (2026, 3)}
    empty = [row for row in questions if not row["answers"]]
    assert len(empty) / len(questions) == pytest.approx(stated("unanswerable"), abs=5e-4)
    assert all(row["evidence"] == row["spans"] == [] for row in empty)


def test_each_first_answer_stands_where_its_spans_say(answerable, documents):
    for row in answerable:
        assert row["evidence"]
        assert row["evidence"] == [document for document, _, _ in row["spans"]]
        for document, start, end in row["spans"]:
            assert documents[document]["text"][start:end] == row["answers"][0], row["id"]


def test_the_figures_of_choose_s_own_search(answerable, corpus, replaced):
    index = BM25Index(corpus.passages())
    found = index.search([row["question"] for row in answerable], 10)
    shown = [[hit.passage.id for hit in hits] for hits in found]
    evidence = [[Span(*span) for span in row["spans"]] for row in answerable]
    means = retrieval_quality(shown, evidence).means
    assert means["hit@1"] == pytest.approx(stated("BM25 hit@1 as"), abs=5e-4)
    assert 0.55 <= means["hit@1"] <= 0.80
    assert means["hit@5"] == pytest.approx(stated("BM25 hit@5 as"), abs=5e-4)
    stale = sum(
        hits[0].passage.span.document == replaced.get(row["evidence"][0])
        for row, hits in zip(answerable, found, strict=True)
    )
    assert stale == stated("questions whose first passage")


def test_the_sample_is_read_by_its_name(questions: Rows) -> None:
    table = read_table("sample:handbook")
    assert table["question"].to_list() == [row["question"] for row in questions]

"""The invariants of sample:handbook and the figures of its data card, recomputed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime
from importlib.resources import files
from statistics import median
from typing import Any

import numpy as np
import pytest

from choose.corpus import Corpus, Document, Span
from choose.data.readers.table_file import read_table
from choose.judge.measures.reading_measures import retrieval_quality
from choose.models.retrieval.indexes import BM25Index

FOLDER = files("choose.data") / "samples" / "handbook"

# bm25s's English stop list.
STOPPED = """a an and are as at be but by for if in into is it no not of on or such that the their
then there these they this to was will with"""

Rows = list[dict[str, Any]]


def rows(name: str) -> Rows:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def stated(row: str) -> float:
    """Return the first figure that the data card states in a row of its table."""
    card = (FOLDER / "CARD.md").read_text("utf-8")
    line = next(line for line in card.splitlines() if line.startswith(f"| {row}"))
    found = re.search(r"\d+(\.\d+)?", line.split("|")[2])
    assert found is not None
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


def test_about_70_short_dated_documents(documents: dict[str, dict[str, Any]]) -> None:
    assert len(rows("documents.jsonl")) == len(documents) == 69
    for document in documents.values():
        assert document.keys() == {"id", "title", "text", "timestamp"}
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", document["id"])
        assert date(2024, 11, 1) <= date.fromisoformat(document["timestamp"]) <= date(2025, 12, 31)
        assert 110 <= len(document["text"].split()) <= 500, document["id"]
        assert document["text"] == document["text"].strip()
        assert document["title"].strip()


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


def test_each_first_answer_stands_where_its_spans_say(
    answerable: Rows, documents: dict[str, dict[str, Any]]
) -> None:
    for row in answerable:
        assert row["evidence"]
        assert row["evidence"] == [document for document, _, _ in row["spans"]]
        for document, start, end in row["spans"]:
            assert documents[document]["text"][start:end] == row["answers"][0], row["id"]


def test_answers_are_short_and_differ(answerable: Rows) -> None:
    for row in answerable:
        assert all(1 <= len(answer.split()) <= 8 for answer in row["answers"]), row["id"]
        assert all(answer == answer.strip() for answer in row["answers"])
        assert len({answer.casefold() for answer in row["answers"]}) == len(row["answers"])


def test_documents_are_older_than_the_questions(
    questions: Rows, documents: dict[str, dict[str, Any]]
) -> None:
    assert max(d["timestamp"] for d in documents.values()) < questions[0]["timestamp"]


def test_ten_documents_were_replaced_and_no_question_rests_on_the_older_ones(
    answerable: Rows, documents: dict[str, dict[str, Any]], replaced: dict[str, str]
) -> None:
    assert len(replaced) == 10
    older = set(replaced.values())
    assert not older & {id for row in answerable for id in row["evidence"]}
    asked = [row for row in answerable if replaced.keys() & set(row["evidence"])]
    assert len(asked) == stated("questions whose evidence replaced")
    # What holds now does not occur in the older version.
    changed = [
        row
        for row in asked
        if not any(occurs(row["answers"][0], documents[replaced[id]]) for id in row["evidence"])
    ]
    assert len(changed) >= 40


def occurs(answer: str, document: dict[str, Any]) -> bool:
    return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", document["text"]) is not None


def test_all_other_documents_but_two_are_asked_for(
    answerable: Rows, documents: dict[str, dict[str, Any]], replaced: dict[str, str]
) -> None:
    needed = {id for row in answerable for id in row["evidence"]}
    assert documents.keys() - needed - set(replaced.values()) == {
        "office-move-thread",
        "quiz-and-summer-party",
    }


def test_no_run_of_five_words_is_a_template(questions: Rows) -> None:
    counts: Counter[tuple[str, ...]] = Counter()
    for row in questions:
        words = re.findall(r"\w+", row["question"].lower())
        counts.update({tuple(words[i : i + 5]) for i in range(len(words) - 4)})
    assert counts.most_common(1)[0][1] <= 0.01 * len(questions), counts.most_common(3)
    assert median(len(row["question"].split()) for row in questions) == stated("median words")


def okapi(texts: Sequence[str]) -> Callable[[str], list[int]]:
    """Return a search by BM25 (k1 = 1.5, b = 0.75) without English stop words, best first."""
    counted = [Counter(words(text)) for text in texts]
    lengths = np.array([count.total() for count in counted])
    norm = 1.5 * (0.25 + 0.75 * lengths / lengths.mean())

    def search(question: str) -> list[int]:
        scores = np.zeros(len(texts))
        for word in words(question):
            times = np.array([count[word] for count in counted])
            held = (times > 0).sum()
            idf = np.log(1 + (len(texts) - held + 0.5) / (held + 0.5))
            scores += idf * times * 2.5 / (times + norm)
        return np.argsort(-scores, kind="stable").tolist()

    return search


def words(text: str) -> list[str]:
    stopped = set(STOPPED.split())
    return [word for word in re.findall(r"\b\w\w+\b", text.lower()) if word not in stopped]


def test_bm25_finds_most_answers_but_not_all(answerable: Rows, corpus: Corpus) -> None:
    passages = corpus.passages()
    assert len(passages) == stated("passages")
    search = okapi([passage.shown for passage in passages])
    firsts = [passages[search(row["question"])[0]].span for row in answerable]
    evidence = [[Span(*span) for span in row["spans"]] for row in answerable]
    hits = [
        any(first.overlaps(span) for span in own)
        for first, own in zip(firsts, evidence, strict=True)
    ]
    assert np.mean(hits) == pytest.approx(stated("BM25 hit@1 (k1"), abs=5e-4)
    assert 0.55 <= np.mean(hits) <= 0.80


def test_the_figures_of_choose_s_own_search(
    answerable: Rows, corpus: Corpus, replaced: dict[str, str]
) -> None:
    index = BM25Index(corpus.passages())
    found = index.search([row["question"] for row in answerable], 10)
    shown = [[hit.passage.id for hit in hits] for hits in found]
    evidence = [[Span(*span) for span in row["spans"]] for row in answerable]
    means = retrieval_quality(shown, evidence).means
    assert means["hit@1"] == pytest.approx(stated("BM25 hit@1 as"), abs=5e-4)
    assert means["hit@1"] is not None
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

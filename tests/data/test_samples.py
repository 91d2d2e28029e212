"""The figures of the data cards of the samples, recomputed; true labels are read here alone."""

import json
import re
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from choose.api.plan import resolve
from choose.corpus import Corpus, Document, Span, holds
from choose.data.readers.labelled_file import read_source
from choose.data.scenarios import new_class, origins
from choose.models.retrieval.passage_search import BM25Index
from choose.types import Dataset
from support.studies import load_dataset, sample_table

SAMPLES = files("choose.data") / "samples"
Rows = list[dict[str, Any]]


def rows(name: str) -> Rows:
    return [json.loads(line) for line in (SAMPLES / name).read_text("utf-8").splitlines()]


@pytest.mark.parametrize("name", ["tickets", "handbook", "orders"])
def test_ids_are_unique_and_times_sorted(name: str) -> None:
    rows = read_source(f"sample:{name}").table
    assert rows["id"].is_unique().all()
    assert rows["timestamp"].is_sorted()


def test_one_label_in_twenty_is_wrong_half_of_them_in_the_confused_pair() -> None:
    tickets = sample_table("tickets.csv")
    truth = tickets.select("id").join(sample_table("truth.csv"), on="id", maintain_order="left")
    wrong = [(a, b) for a, b in zip(truth["label"], tickets["label"], strict=True) if a != b]
    assert 0.045 <= len(wrong) / len(tickets) <= 0.055
    assert sum({a, b} == {"billing", "payouts"} for a, b in wrong) == len(wrong) / 2


def test_no_code_but_these_tests_reads_the_truth() -> None:
    sources = list(files("choose").rglob("*.py"))
    assert sources
    assert not [p for p in sources if "truth.csv" in p.read_text(encoding="utf-8")]


def stated(row: str) -> float:
    card = (SAMPLES / "handbook/CARD.md").read_text("utf-8")
    line = next(line for line in card.splitlines() if line.startswith(f"| {row}"))
    return float(re.search(r"\d+(\.\d+)?", line.split("|")[2]).group())


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows("handbook/documents.jsonl")}


@pytest.fixture(scope="module")
def questions() -> Rows:
    return rows("handbook/questions.jsonl")


def replaced(documents: dict[str, dict[str, Any]]) -> dict[str, str]:
    versions: dict[str, list[dict[str, Any]]] = {}
    for document in documents.values():
        stem, dated, _ = document["id"].rpartition("-20")
        if dated and re.search(r"-20\d\d-\d\d$", document["id"]):
            versions.setdefault(stem, []).append(document)
    pairs = [sorted(own, key=lambda d: d["timestamp"]) for own in versions.values()]
    return {pair[1]["id"]: pair[0]["id"] for pair in pairs if len(pair) == 2}


def test_the_share_of_questions_without_an_answer_is_that_of_the_card(questions: Rows) -> None:
    empty = [row for row in questions if not row["answers"]]
    assert len(empty) / len(questions) == pytest.approx(stated("unanswerable"), abs=5e-4)
    assert all(row["evidence"] == row["spans"] == [] for row in empty)


def test_each_first_answer_stands_where_its_spans_say(questions, documents):
    for row in questions:
        assert bool(row["evidence"]) == bool(row["answers"])
        assert row["evidence"] == [document for document, _, _ in row["spans"]]
        for document, start, end in row["spans"]:
            assert documents[document]["text"][start:end] == row["answers"][0], row["id"]


def test_the_figures_of_choose_s_own_search(questions, documents):
    answerable = [row for row in questions if row["answers"]]
    every = (Document(id=d["id"], title=d["title"], text=d["text"]) for d in documents.values())
    index, older = BM25Index(Corpus(tuple(every)).passages()), replaced(documents)
    found = index.search([row["question"] for row in answerable], 10)
    shown = [[hit.id for hit in hits] for hits in found]
    evidence = [[Span(*span) for span in row["spans"]] for row in answerable]
    pairs = [*zip(shown, evidence, strict=True)]
    first, five = (fmean(any(holds(p, e) for p in ids[:k]) for ids, e in pairs) for k in (1, 5))
    assert first == pytest.approx(stated("BM25 hit@1 as"), abs=5e-4)
    assert 0.55 <= first <= 0.80
    assert five == pytest.approx(stated("BM25 hit@5 as"), abs=5e-4)
    stale = sum(
        hits[0].span.document == older.get(row["evidence"][0])
        for row, hits in zip(answerable, found, strict=True)
    )
    assert stale == stated("questions whose first passage")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    study = resolve("sample:orders")
    return load_dataset(study.data, study.task)


def test_one_record_in_twenty_five_is_wrong_in_one_field() -> None:
    truth = {row["id"]: row["target"] for row in rows("orders/truth.jsonl")}
    told = [(row["target"], truth[row["id"]]) for row in rows("orders/orders.jsonl")]
    wrong = [(shipped, right) for shipped, right in told if shipped != right]
    assert len(wrong) == 16
    assert all(shipped.keys() == right.keys() for shipped, right in wrong)
    fields = [next(n for n in right if shipped[n] != right[n]) for shipped, right in wrong]
    assert sorted(fields) == sorted(
        ["items"] * 8 + ["customer"] * 3 + ["delivery"] * 3 + ["address"] * 2
    )


def test_the_study_reads_it_and_finds_the_field_that_appears(dataset: Dataset) -> None:
    assert dataset.task.kind == "extraction"
    assert next(iter(dataset.examples.values())).fields.keys() == {"received"}
    assert new_class(dataset) == "po"
    assert origins(dataset)


def test_it_knows_its_further_input_without_a_flag(choose, dataset: Dataset) -> None:
    """Each command that takes a bundled sample reads the day on which a mail came."""
    assert resolve("sample:orders").data.fields == ("received",)
    assert resolve("sample:orders", overrides={"data": {"fields": ("id",)}}).data.fields == ("id",)
    assert resolve("sample:tickets").data.fields == ()
    settings = {"data": {"path": "sample:orders"}}
    assert resolve(None, settings).data.fields == (), "a stored study stays as it was run"
    assert planned(choose, "sample:orders") == dataset.fingerprint


def test_a_flag_that_is_not_given_leaves_the_further_input_of_a_study_file(choose, dataset):
    Path("my.toml").write_text('[data]\npath = "sample:orders"\nfields = ["received"]\n')
    assert planned(choose, "-c", "my.toml") == dataset.fingerprint
    assert planned(choose, "-c", "my.toml", "--set", "fields=id") != dataset.fingerprint


def planned(choose: Any, *words: str) -> str:
    result = choose("plan", *words, "--json")
    assert result.code == 0
    return json.loads(result.out)["fingerprint"]

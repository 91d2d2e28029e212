"""Documents and evidence in a store: kept beside the rows, read back, and damage that is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from choose.corpus import Corpus, Document
from choose.data.dataset import load_dataset
from choose.errors import DataError, StoreError
from choose.schema.plan import LeftOut
from choose.schema.study_sections import DataSection, TaskSection
from choose.store.store import Store
from choose.tasks.answering import corpus_of
from choose.types import Dataset
from support.studies import dataset, study

DOCUMENTS = "documents.parquet"


def texts(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"d{n}",
            "title": f"Shop {n}",
            "text": f"Shop {n} opens at {n} and sells {n + 7} things.",
            "date": "2025-03-01T10:00:00Z" if n % 2 else None,
            "url": f"https://example.org/{n}",
        }
        for n in range(count)
    ]


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Questions and their documents."""
    asked = [
        {"question": f"How many things does shop {n} sell?", "answers": [str(n + 7)]}
        for n in range(20)
    ]
    documents = lines(tmp_path / "documents.jsonl", texts(20))
    return lines(tmp_path / "questions.jsonl", asked), documents


def load(questions: str, documents: str | None) -> Dataset:
    return load_dataset(
        DataSection(path=questions, documents=documents), TaskSection(kind="answering")
    )


def stored(path: Path, data: Dataset) -> Path:
    Store.create(path).begin(study("tfidf").model_dump(mode="json", exclude_none=True), data)
    return path


def corpus(data: Dataset) -> Corpus:
    found = corpus_of(data.task)
    assert found is not None
    return found


def test_documents_and_evidence_come_back_as_they_were(tmp_path, files):
    data = load(*files)
    place = stored(tmp_path / "st", data)
    back = Store.open(place).dataset
    assert corpus(back) == corpus(data)
    assert corpus(back).documents[1].timestamp is not None
    assert corpus(back).documents[3].url == "https://example.org/3"
    assert [e.evidence for e in back.examples.values()] == [
        e.evidence for e in data.examples.values()
    ]
    assert all(e.evidence for e in back.examples.values())
    assert back.fingerprint == data.fingerprint == Store.open(place).fingerprint
    assert back.task.digest == data.task.digest
    columns = pl.read_parquet(place / DOCUMENTS).columns
    assert columns == ["id", "title", "text", "timestamp", "url"]


def test_other_tasks_have_no_such_column_and_no_such_file(tmp_path, files):
    place = stored(tmp_path / "st", dataset())
    assert not (place / DOCUMENTS).exists()
    assert "evidence" not in pl.read_parquet(place / "data.parquet").columns
    other = stored(tmp_path / "other", load(*files))
    assert (other / DOCUMENTS).exists()
    stored(other, load(files[0], None))
    assert not (other / DOCUMENTS).exists()
    assert corpus_of(Store.open(other).dataset.task) is None


def rewritten(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Path], object]:
    return lambda path: change(pl.read_parquet(path)).write_parquet(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: (path.unlink(), path.mkdir()),
        rewritten(lambda t: t.head(3)),
        rewritten(lambda t: t.drop("text")),
        rewritten(lambda t: t.with_columns(pl.lit("soon").alias("timestamp"))),
        rewritten(lambda t: t.with_columns(pl.lit("Another text").alias("text"))),
    ],
)
def test_damaged_documents_are_said_and_the_rows_still_read(tmp_path, files, damage):
    data = load(*files)
    store = Store.open(stored(tmp_path / "st", data))
    damage(store.path / DOCUMENTS)
    back = store.dataset
    assert back.fingerprint == data.fingerprint
    assert list(store.damage) == [DOCUMENTS]
    with pytest.raises(DataError, match=r"The documents of this task are missing\. Run choose"):
        corpus_of(back.task)
    [said] = [one.text for one in left_out(store) if DOCUMENTS in one.text]
    assert "\n" not in said
    assert said.endswith("the same command with --out writes it anew")
    if (store.path / DOCUMENTS).is_dir():
        with pytest.raises(StoreError, match="is a folder"):
            stored(store.path, data)
    else:
        assert corpus(Store.open(stored(store.path, data)).dataset) == corpus(data)


def left_out(store: Store) -> list[LeftOut]:
    store.plan([], [])
    return store.left_out()


def test_other_documents_are_another_study(tmp_path: Path, files: tuple[str, str]) -> None:
    more = lines(tmp_path / "more.jsonl", texts(21))
    one, two = load(*files), load(files[0], more)
    assert one.fingerprint != two.fingerprint
    assert one.task.digest != two.task.digest


def test_documents_of_any_text_come_back(tmp_path: Path, files: tuple[str, str]) -> None:
    odd = ["\x1b[31mred", "<script>", "é\u0301 🎉", "a\u2028b", '"quoted", \\n']
    rows = [{"id": text, "text": f"{text} 7 8 9"} for text in odd]
    data = load(files[0], lines(tmp_path / "odd.jsonl", rows))
    back = Store.open(stored(tmp_path / "st", data)).dataset
    assert corpus(back).documents == tuple(Document(id=text, text=f"{text} 7 8 9") for text in odd)

"""The benchmark of documents: every part runs, keeps its figures, and measures what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import documents
from support import tiny_models as tiny

NOUNS = ("door", "lamp", "rug", "chair", "table", "shelf", "clock", "stove", "bed", "desk", "sink")
COLOURS = ("red", "blue", "green", "brown", "white", "black", "grey", "pink", "gold", "teal", "tan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of the benchmark's form: a question about each of some things."""
    folder = tmp_path / "things"
    folder.mkdir()
    passages = [
        {"id": f"p{n}", "title": noun, "text": f"The {noun} is {COLOURS[n]}. " * 20}
        for n, noun in enumerate(NOUNS)
    ]
    questions = [
        {
            "id": f"q{n}",
            "question": f"Which colour is the {noun}?",
            "answers": [COLOURS[n]],
            "evidence": [f"p{n}"],
        }
        for n, noun in enumerate(NOUNS)
    ]
    for name, some in (("passages", passages), ("questions", questions)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, some)))
    for part, ids in (("train", range(8)), ("test", range(8, 11))):
        (folder / f"{part}_ids.txt").write_text("\n".join(f"q{n}" for n in ids))
    return folder


@pytest.mark.slow
def test_every_part_is_measured_once(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(documents, "LONG", 8)
    keep, model = tmp_path / "kept.jsonl", str(tiny.causal_lm(tmp_path / "lm"))
    parts = ["--part", "conditions", "candidates", "echo", "--candidates", "sentence", "reader"]
    options = [str(folder), "--quick", "--keep", str(keep), "--model", model, *parts]
    documents.main(options)
    first, kept = capsys.readouterr().out, keep.read_text()
    assert "8 questions of things under four conditions" in first
    # Every sentence of a passage is the same: three words without the article, one of them right.
    assert "sentence       0.500" in first
    assert first.count("things      found") == first.count("things      right") == 1
    documents.main(options)
    assert capsys.readouterr().out == first
    assert keep.read_text() == kept


def test_made_passages_are_cut_as_they_were_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LONG", 8)
    figures = documents.made(folder, 50, "bm25")["bm25"]
    assert figures["passages"] == 50
    assert 0 < figures["ms"] <= figures["ms worst"]


def test_intervals_are_by_document() -> None:
    # Two documents, each with its own gap: rows of one tell nothing new.
    few = documents.half_width([0.0, 1.0], ["a", "b"])
    assert documents.half_width([0.0] * 50 + [1.0] * 50, ["a"] * 50 + ["b"] * 50) == pytest.approx(
        few
    )
    assert few == pytest.approx(12.7062 * 0.5, rel=1e-4)

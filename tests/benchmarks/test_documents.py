"""The benchmark of documents: every part runs, keeps its figures, and measures what it says."""

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
def test_every_part_is_measured_once(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(documents, "LONG", 8)
    keep, model = tmp_path / "kept.jsonl", str(tiny.causal_lm(tmp_path / "lm"))
    parts = ["--part", "conditions", "candidates", "echo", "--candidates", "sentence"]
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

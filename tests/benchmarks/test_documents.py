"""The benchmark of documents: every part runs, keeps its figures, and measures what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import documents
from choose.tasks.answering import corpus_of
from choose.tasks.exchanged_facts import exchange_facts
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


def test_made_passages_are_cut_as_they_were_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LONG", 8)
    figures = documents.made(folder, 50, "bm25")["bm25"]
    assert figures["passages"] == 50
    assert 0 < figures["ms"] <= figures["ms worst"]
    assert figures["at once"] > 0


def test_facts_of_made_documents_are_exchanged_where_that_is_clear() -> None:
    task, train, test = documents.made_offices()
    corpus = corpus_of(task)
    assert corpus is not None
    assert (len(corpus), len(train), len(test)) == (40, 160, 80)
    assert not {row.text for row in train} & {row.text for row in test}
    drill = exchange_facts([*train, *test], corpus, asked=[row.id for row in test], seed=0)
    assert drill is not None
    assert len(drill.ids) == drill.facts == 50
    for id in drill.ids:
        old = next(row for row in test if row.id == id)
        before, after = (
            some.by_id[old.evidence[0].document].text for some in (corpus, drill.corpus)
        )
        new = drill.targets[id]
        assert (before.count(old.target), before.count(new)) == (1, 0)
        assert (after.count(old.target), after.count(new)) == (0, 1)


def test_who_reads_gives_the_new_facts_and_who_memorised_the_old(
    capsys: pytest.CaptureFixture[str],
) -> None:
    documents.main(["--part", "update", "--quick", "--candidates", "nearest", "sentence"])
    said = capsys.readouterr().out
    assert "facts of 10 made documents changed after training; 40 questions to learn" in said
    shares = {
        name: [float(x) for x in re.findall(r"(\d+) \(", line)]
        for line in said.splitlines()
        for name in ("nearest", "sentence")
        if line.startswith(name)
    }
    assert shares["nearest"][0] == 0  # the new facts
    assert shares["nearest"][1] >= 50  # the old ones
    assert shares["sentence"][0] >= 40
    assert shares["sentence"][1] == 0


def test_a_part_that_needs_a_folder_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        documents.main(["--part", "update", "search"])
    assert "FOLDER is missing" in capsys.readouterr().err


def test_bands_answer_each_question_once_on_the_same_rows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    documents.main(["--part", "bands", "--quick", "--candidates", "sentence", "nearest"])
    head, *lines = capsys.readouterr().out.strip().splitlines()[-5:]
    assert head.startswith("sample:handbook, 16 questions, ")
    assert [line.split()[:2] for line in lines] == [
        [name, view] for name in ("sentence", "nearest") for view in ("found", "right")
    ]
    first, second = (float(line.split()[2]) for line in lines[1::2])
    gain = float(lines[3].split(")")[1].split()[0])
    assert gain == pytest.approx(second - first, abs=0.0011)


def test_intervals_are_by_document() -> None:
    # Two documents, each with its own gap: rows of one tell nothing new.
    few = documents.half_width([0.0, 1.0], ["a", "b"])
    assert documents.half_width([0.0] * 50 + [1.0] * 50, ["a"] * 50 + ["b"] * 50) == pytest.approx(
        few
    )
    assert few == pytest.approx(12.7062 * 0.5, rel=1e-4)

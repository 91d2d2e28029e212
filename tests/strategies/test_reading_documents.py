"""rag and lora-rag read what they retrieve, or what a control gives them, and say what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from choose.corpus import AMONG_OTHERS, CONDITIONS, GOLD, NOTHING, Corpus, Document, Span
from choose.errors import StrategyError
from choose.models.retrieval.controls import given, gold_passage, other_passages
from choose.models.retrieval.library import library_for, with_passages
from choose.strategy import build, find
from choose.tasks.answering import Answering, with_corpus
from choose.types import Example, Item
from support import tiny_models as tiny

COLOURS = ("red", "blue", "green", "brown", "white", "black")
THINGS = [f"{size} {thing}" for size in ("large", "small") for thing in ("door", "lamp", "rug")]
CORPUS = Corpus(
    tuple(
        Document(id=f"d{n}", title=thing, text=f"The {thing} is {COLOURS[n]} since May.")
        for n, thing in enumerate(THINGS)
    )
)
TASK = with_corpus(Answering(), CORPUS)


def rows() -> list[Example]:
    found = []
    for n, thing in enumerate(THINGS):
        start = CORPUS.documents[n].text.index(COLOURS[n])
        span = Span(f"d{n}", start, start + len(COLOURS[n]))
        found.append(
            Example(id=f"q{n}", text=f"What is the {thing}?", target=COLOURS[n], evidence=(span,))
        )
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("reading")
    return {"lm": str(tiny.causal_lm(folder / "lm"))}


def fitted(name: str, models: dict[str, str], **more: Any) -> Any:
    role = "base" if name == "lora-rag" else "model"
    brief = {"epochs": 1.0} if name == "lora-rag" else {}
    strategy = build(name, seed=0, **{role: models["lm"], "retriever": "bm25", **brief, **more})
    strategy.fit(TASK, rows())
    return strategy


@pytest.mark.parametrize("name", ["rag", "lora-rag"])
def test_what_is_read_is_said(name: str, models: dict[str, str]) -> None:
    strategy = fitted(name, models, k=2)
    asked = [row.item() for row in rows()]
    shown = strategy.predict(asked).evidence
    assert shown is not None
    assert [len(ids) for ids in shown] == [2] * len(asked)
    assert [ids[0].split(":")[0] for ids in shown] == [f"d{n}" for n in range(len(asked))]


@pytest.mark.parametrize("name", ["rag", "lora-rag"])
def test_a_control_decides_what_is_read(name: str, models: dict[str, str]) -> None:
    strategy = fitted(name, models, k=2)
    for control in CONDITIONS:
        items = given(control, rows(), CORPUS)
        shown = strategy.predict(items).evidence
        count = {NOTHING: 0, GOLD: 1, AMONG_OTHERS: 2}[control]
        assert [len(ids) for ids in shown] == [count] * len(items), control
        wanted = [tuple(p.id for p in (item.passages or ())[:count]) for item in items]
        assert list(shown) == wanted


def test_controls_are_about_rows_with_evidence() -> None:
    without = replace(rows()[0], id="none", evidence=())
    assert [item.id for item in given(GOLD, [without, *rows()], CORPUS)] == [r.id for r in rows()]
    for row in rows():
        gold = gold_passage(row, CORPUS)
        assert gold is not None
        assert any(gold.span.overlaps(span) for span in row.evidence)
        assert gold not in other_passages(row, CORPUS)


def test_the_chosen_retriever_ranks_evidence_best() -> None:
    assert library_for(TASK, rows(), "bm25").way == "bm25"
    with pytest.raises(StrategyError, match=r"No way to search 'bm26'\. Did you mean"):
        library_for(TASK, rows(), "bm26")
    with pytest.raises(StrategyError, match="there are no documents to read"):
        library_for(Answering(), rows(), "bm25")


def test_passages_come_before_the_question_and_leave_no_trace_without() -> None:
    item = Item(id="1", text="What?", fields={"day": "Monday"})
    [passage] = CORPUS.overlapping([Span("d0", 0, 5)])
    shown = with_passages(item, [passage])
    assert list(shown.fields) == ["passage", "day"]
    assert shown.fields["passage"] == f"large door: {CORPUS.documents[0].text}"
    assert with_passages(item, []).fields == item.fields


def test_answers_may_be_shortened_and_are_kept_as_written(models: dict[str, str]) -> None:
    plain = fitted("rag", models, k=1, shorten=False).predict([r.item() for r in rows()])
    short = fitted("rag", models, k=1, shorten=True).predict([r.item() for r in rows()])
    for before, after, raw in zip(plain.outputs, short.outputs, short.raw, strict=True):
        assert raw in (None, before)
        assert (before == after) == (raw is None) or before is None


@pytest.mark.parametrize("name", ["rag", "lora-rag"])
def test_without_documents_it_is_refused(name: str) -> None:
    strategy: Any = find(name)(seed=0)
    assert "--documents" in strategy.refuses(Answering())
    assert strategy.refuses(TASK) is None


def test_documents_that_are_saved_are_read_again(models: dict[str, str], tmp_path: Path) -> None:
    strategy = fitted("rag", models, k=1)
    strategy.save(tmp_path / "saved")
    again = build("rag", seed=0, model=models["lm"], retriever="bm25")
    again.load(tmp_path / "saved")
    asked = [row.item() for row in rows()]
    assert again.predict(asked).evidence == strategy.predict(asked).evidence
    assert again.predict(asked).outputs == strategy.predict(asked).outputs

"""Strategies that read passages of documents: those they find, or those they are given."""

from dataclasses import replace
from typing import Any

import pytest

from choose.corpus import Corpus, Document, Passage, Span, span_of
from choose.models.retrieval import passage_search
from choose.strategy import build
from choose.tasks.answering import Answering, with_corpus
from choose.types import Example, Item

PLACES = ["Kent", "Wick", "Bath", "York", "Ely", "Deal", "Rye", "Hull"]
TEXTS = [
    f"The town of {place} is old. Its bridge opened in {1900 + n}. A fair is held in May."
    for n, place in enumerate(PLACES)
]
CORPUS = Corpus(
    tuple(Document(id=f"d{n}", text=text, title=f"{PLACES[n]}") for n, text in enumerate(TEXTS))
)
TASK = with_corpus(Answering(), CORPUS)
ROWS = [
    Example(
        id=f"q{n}",
        text=f"When did the bridge of {place} open?",
        target=str(1900 + n),
        evidence=(Span(f"d{n}", TEXTS[n].index("19"), TEXTS[n].index("19") + 4),),
    )
    for n, place in enumerate(PLACES)
]
ITEMS = [row.item() for row in ROWS]
GIVEN = Passage(span=Span("given", 3, 40), text="A pie was baked. The bridge opened in 1812.")


@pytest.fixture
def fitted() -> Any:
    strategy: Any = build("sentence", seed=0)
    strategy.fit(TASK, ROWS)
    return strategy


def test_the_evidence_is_the_passages_found(fitted: Any) -> None:
    evidence = fitted.predict(ITEMS).evidence
    for n, ids in enumerate(evidence):
        assert span_of(ids[0]).document == f"d{n}"
        assert all(id in {p.id for p in CORPUS.passages()} for id in ids)


def test_passages_that_are_given_are_read_instead(fitted: Any) -> None:
    items = [replace(ITEMS[0], passages=(GIVEN,)), ITEMS[1], replace(ITEMS[2], passages=())]
    answers = fitted.predict(items)
    assert answers.evidence[0] == (GIVEN.id,)
    assert answers.evidence[2] == ()
    assert answers.evidence[1] == fitted.predict([ITEMS[1]]).evidence[0]
    assert "1812" in answers.outputs[0]
    assert "1812" not in answers.outputs[1]
    assert (answers.outputs[2], answers.status[2]) == (None, "empty")


@pytest.mark.parametrize("name", ["sentence", "rag", "lora-rag"])
def test_a_task_with_nothing_to_read_is_refused(name: str) -> None:
    strategy: Any = build(name, seed=0)
    assert strategy.refuses(TASK) is None
    assert "--documents" in strategy.refuses(Answering())


def test_documents_without_a_word_in_common_give_no_answer(fitted: Any) -> None:
    answers = fitted.predict([Item(id="n", text="zzz qqq")])
    assert answers.evidence == ((),)
    assert answers.outputs == (None,)


def test_with_few_rows_or_a_given_number_nothing_is_chosen(fitted: Any) -> None:
    assert fitted.facts()["notes"] == []
    given_number: Any = build("sentence", seed=0, k=2)
    given_number.fit(TASK, ROWS)
    assert {len(ids) for ids in given_number.predict(ITEMS).evidence} == {2}


def test_f4_the_first_passage_whole_is_the_answer_where_that_scores_higher() -> None:
    corpus = Corpus(tuple(Document(id=f"d{n}", text=f"{t} {n}") for n, t in enumerate(TEXTS * 3)))
    strategy: Any = build("sentence", seed=0)
    rows = [
        Example(id=f"q{n}", text=d.text, target=d.text, evidence=(Span(d.id, 0, len(d.text)),))
        for n, d in enumerate(corpus.documents)
    ]
    strategy.fit(with_corpus(Answering(), corpus), rows)
    assert strategy.facts()["notes"][0].startswith("Passages read: the first, whole.")
    answers = strategy.predict([row.item() for row in rows])
    assert answers.outputs == tuple(row.target for row in rows)
    assert {len(ids) for ids in answers.evidence} == {1}


def test_the_best_sentence_is_of_the_first_passage(fitted: Any) -> None:
    asked = [
        Item(id="a", text="When is a fair held in Rye?"),
        Item(id="b", text="In which year was its bridge opened, in York?"),
    ]
    assert fitted.predict(asked).outputs == (
        "A fair is held in May.",
        "Its bridge opened in 1903.",
    )
    assert fitted.predict(ITEMS[:1]).evidence == ((CORPUS.passages()[0].id,),)


CHANGED = Corpus(
    tuple(
        replace(document, text=document.text.replace("opened in 19", "opened in 17"))
        for document in CORPUS.documents
    )
)


def test_other_documents_are_read_without_a_fit(fitted, monkeypatch):
    """What else holds of those that reread is part of the contract of strategies."""
    monkeypatch.setattr(passage_search, "_INDEXES", type(passage_search._INDEXES)())
    before = fitted.predict(ITEMS)
    assert 0 < fitted.reread(CHANGED) < 60
    after = fitted.predict(ITEMS)
    assert after.evidence == before.evidence  # the same places, of other documents
    assert after.outputs == tuple((o or "").replace("19", "17") for o in before.outputs)
    for index in passage_search._INDEXES.values():
        index.seconds = 500.0
    assert fitted.reread(CORPUS) > 400  # what the cached index took

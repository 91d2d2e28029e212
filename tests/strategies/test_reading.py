"""Strategies that read passages of documents: those they find, or those they are given."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from choose.conformance import HOSTILE
from choose.corpus import GOLD, Corpus, Document, Passage, Span, span_of
from choose.data.noise_injection import noisy
from choose.errors import StrategyError
from choose.models.retrieval import passage_search
from choose.models.retrieval.passage_search import given
from choose.strategy import Rereads, build, find
from choose.tasks.answering import NO_ANSWER, Answering, with_corpus
from choose.types import Example, Item
from choose_strategies import reader
from support import tiny_models

NAMES = ("sentence", "reader")

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


@pytest.fixture(params=NAMES)
def fitted(request: pytest.FixtureRequest) -> Any:
    strategy: Any = build(request.param, seed=0)
    strategy.fit(TASK, ROWS)
    return strategy


def test_they_say_that_they_read() -> None:
    assert all(getattr(find(name), "reads", False) for name in NAMES)


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


def test_no_item_influences_another(fitted: Any) -> None:
    hostile = [Item(id=f"h{n}", text=text) for n, text in enumerate(HOSTILE)]
    odd = [
        replace(ITEMS[0], id=f"g{n}", passages=(replace(GIVEN, text=text), GIVEN))
        for n, text in enumerate(HOSTILE)
    ]
    items = [*ITEMS, *hostile, *odd, replace(ITEMS[3], passages=())]
    together = fitted.predict(items)
    for n, item in enumerate(items):
        alone = fitted.predict([item])
        assert together.outputs[n] == alone.outputs[0]
        assert together.evidence[n] == alone.evidence[0]
    backwards = fitted.predict(items[::-1])
    assert backwards.outputs == together.outputs[::-1]


def test_a_saved_strategy_has_its_documents(
    fitted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fitted.predict(ITEMS)
    fitted.save(tmp_path / "saved")
    monkeypatch.setattr(passage_search, "_INDEXES", type(passage_search._INDEXES)())
    loaded: Any = build(type(fitted).__name__.lower(), seed=1)
    loaded.load(tmp_path / "saved")
    after = loaded.predict(ITEMS)
    assert after.outputs == before.outputs
    assert after.evidence == before.evidence
    assert {file.suffix for file in (tmp_path / "saved").iterdir()} <= {".json", ".safetensors"}


def test_damaged_documents_are_refused(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    [file] = [file for file in tmp_path.glob("*.json") if "documents" in file.read_text("utf-8")]
    facts = json.loads(file.read_text("utf-8"))
    for documents in ([["d", "t"]], [["d", "t", 3]], [["d", "", "a"], ["d", "", "b"]]):
        damaged = {**facts, "documents": documents}
        damaged["library"] = {"way": "bm25", "documents": documents}
        file.write_text(json.dumps(damaged), encoding="utf-8")
        with pytest.raises((ValueError, StrategyError), match="document"):
            build(type(fitted).__name__.lower(), seed=0).load(tmp_path)  # type: ignore[attr-defined]


def test_a_task_with_nothing_to_read_is_refused(fitted: Any) -> None:
    assert fitted.refuses(TASK) is None
    assert fitted.refuses(Answering(passage="text")) is None
    assert "--documents" in fitted.refuses(Answering())


def test_a_second_fit_takes_the_index_of_the_first_and_counts_its_cost(fitted: Any) -> None:
    for index in passage_search._INDEXES.values():
        index.seconds = 500.0
    again: Any = build(type(fitted).__name__.lower(), seed=0)
    again.fit(TASK, ROWS[:4])
    assert again.facts()["cached_seconds"] > 400


def test_documents_without_a_word_in_common_give_no_answer(fitted: Any) -> None:
    answers = fitted.predict([Item(id="n", text="zzz qqq")])
    assert answers.evidence == ((),)
    assert answers.outputs == (None,)


TOWNS = [
    f"{a}{b}" for a in ("Ash", "Oak", "Elm", "Fir", "Yew") for b in ("ton", "ham", "by", "ley")
]


def many(decoys: bool) -> tuple[Any, list[Example]]:
    """Return a task and rows; with decoys, what is found first has another year in it."""
    texts = {
        f"d{n}": f"{town} is old. The bridge opened in {1900 + n}." for n, town in enumerate(TOWNS)
    }
    rows = []
    for place in range(4 * len(TOWNS)):
        n = place % len(TOWNS)
        start = texts[f"d{n}"].index("19")
        rows.append(
            Example(
                id=f"r{place}",
                text=f"In which year did the bridge of {TOWNS[n]} open?",
                target=str(1900 + n),
                evidence=(Span(f"d{n}", start, start + 4),),
            )
        )
    if decoys:
        texts |= {f"x{n}": f"The bridge of {town}." for n, town in enumerate(TOWNS)}
    documents = tuple(Document(id=id, text=text) for id, text in texts.items())
    return with_corpus(Answering(), Corpus(documents)), rows


def test_how_much_is_read_is_chosen_by_the_answers_to_rows_that_taught_nothing() -> None:
    reading = {}
    for decoys in (False, True):
        task, rows = many(decoys)
        strategy: Any = build("reader", seed=0)
        strategy.fit(task, rows)
        reading[decoys] = strategy.read
        fixed: Any = build("reader", seed=0, k=1)
        fixed.fit(task, rows)
        assert fixed.facts()["notes"] == []
        score = [
            sum(
                o == r.target
                for o, r in zip(s.predict([r.item() for r in rows]).outputs, rows, strict=True)
            )
            for s in (strategy, fixed)
        ]
        # What stands first of what is found has no answer, or all of it.
        assert score[0] == len(rows)
        assert (score[1] == len(rows)) is not decoys
    assert reading[True].number > 1
    [note] = [strategy.read.note]
    assert note.startswith(
        f"Passages read: {reading[True].number}. token-f1 on 20 training rows: 0.000 with 1"
    )


def test_with_few_rows_or_a_given_number_nothing_is_chosen(fitted: Any) -> None:
    assert fitted.facts()["notes"] == []
    given_number: Any = build(type(fitted).__name__.lower(), seed=0, k=2)
    given_number.fit(TASK, ROWS)
    assert {len(ids) for ids in given_number.predict(ITEMS).evidence} == {2}


def test_the_best_sentence_is_of_the_first_passage() -> None:
    strategy: Any = build("sentence", seed=0)
    strategy.fit(TASK, ROWS)
    asked = [
        Item(id="a", text="When is a fair held in Rye?"),
        Item(id="b", text="In which year was its bridge opened, in York?"),
    ]
    assert strategy.predict(asked).outputs == (
        "A fair is held in May.",
        "Its bridge opened in 1903.",
    )
    assert strategy.predict(ITEMS[:1]).evidence == ((CORPUS.passages()[0].id,),)


def test_the_reader_answers_with_the_words_that_answer() -> None:
    strategy: Any = build("reader", seed=0)
    strategy.fit(TASK, ROWS[:-1])
    answers = strategy.predict(ITEMS)
    assert answers.outputs == tuple(row.target for row in ROWS)
    assert all(len(ids) == 3 for ids in answers.evidence)
    assert ((answers.confidence > 0.2) & (answers.confidence <= 1)).all()


def test_the_reader_finds_answers_without_evidence() -> None:
    strategy: Any = build("reader", seed=0, k=1)
    strategy.fit(TASK, [replace(row, evidence=()) for row in ROWS[:-1]])
    assert strategy.predict(ITEMS).outputs == tuple(row.target for row in ROWS)


def test_the_reader_learns_when_there_is_no_answer(tmp_path: Path) -> None:
    task = with_corpus(Answering(unanswerable=True), CORPUS)
    unanswered = [
        Example(id=f"u{n}", text=f"Who painted the palace of {place} green?", target=NO_ANSWER)
        for n, place in enumerate(PLACES)
    ]
    pool = [row for pair in zip(ROWS, unanswered, strict=True) for row in pair]
    strategy: Any = build("reader", seed=0)
    strategy.fit(task, pool[:-4])
    assert 0 < strategy.threshold < 1
    asked = [row.item() for row in pool[-4:]]
    answers = strategy.predict(asked)
    assert answers.outputs == ("1906", NO_ANSWER, "1907", NO_ANSWER)
    assert set(answers.status) == {"ok"}
    empty = strategy.predict([replace(asked[0], passages=())])
    assert empty.outputs == (NO_ANSWER,)
    strategy.save(tmp_path)
    loaded: Any = build("reader", seed=0)
    loaded.load(tmp_path)
    assert loaded.predict(asked).outputs == answers.outputs
    assert loaded.threshold == strategy.threshold


def test_the_reader_reads_a_field_where_the_questions_have_one(tmp_path: Path) -> None:
    task = Answering(passage="passage")
    rows = [
        replace(row, evidence=(), fields={"passage": text})
        for row, text in zip(ROWS, TEXTS, strict=True)
    ]
    strategy: Any = build("reader", seed=0)
    strategy.fit(task, rows[:-1])
    answers = strategy.predict([row.item() for row in rows])
    assert answers.outputs == tuple(row.target for row in rows)
    assert answers.evidence is None
    given = strategy.predict([replace(rows[0].item(), passages=(GIVEN,))])
    assert given.outputs == ("1812",)
    assert given.evidence == ((GIVEN.id,),)
    strategy.save(tmp_path)
    loaded: Any = build("reader", seed=0)
    loaded.load(tmp_path)
    assert loaded.predict([row.item() for row in rows]).outputs == answers.outputs


def test_evidence_says_which_of_several_places_holds_the_answer() -> None:
    text = "In 1912 it rained. The bridge opened in 1912."
    passage = Span("d", 100, 100 + len(text))
    row = Example(id="a", text="When?", target="1912", evidence=(Span("d", 140, 144),))
    assert reader._places(row, text, passage) == [(40, 44)]
    assert reader._places(replace(row, evidence=()), text, passage) == [
        (3, 7),
        (40, 44),
    ]
    # Words that the answer is not, but its evidence.
    other = replace(row, target="the year 12")
    assert reader._places(other, text, passage) == [(40, 44)]
    whole = replace(other, evidence=(passage,))
    assert reader._places(whole, text, passage) == []
    assert reader._places(replace(row, target=NO_ANSWER), text, passage) == []


def test_the_reader_learns_wrong_answers_where_answers_are_wrong(fitted: Any) -> None:
    if not hasattr(fitted, "_rows"):
        pytest.skip("sentence learns no answers")
    [clean] = fitted._rows(ROWS[:1])
    year = TEXTS[0].index("19")
    assert [(p.start, p.end) for p in clean.answers] == [(year, year + 4)]
    wrong = noisy(ROWS, TASK, "wrong-span", 0.99, seed=1)
    swapped = noisy(ROWS, TASK, "symmetric", 0.99, seed=1)
    for before, after, row in zip(ROWS, wrong, fitted._rows(wrong), strict=True):
        assert after.target != before.target
        source = row.sources[0].text
        assert {source[p.start : p.end] for p in row.answers} == {after.target}, after
    for row in fitted._rows(swapped):  # the year of another town is not in this one's page
        assert not row.answers


@pytest.mark.slow
@pytest.mark.data
def test_400_questions_of_xquad_by_article(shared_data: Path) -> None:
    """Asked: token F1 of at least 0.30 with the gold passage and 0.29 with what is retrieved.

    Measured, mean of three draws: .356 and .325, fitted in 5 to 9 s.
    """
    folder = shared_data / "xquad_en"
    passages = {row["id"]: row for row in lines(folder / "passages.jsonl")}
    documents = [Document(id=p["id"], text=p["text"], title=p["title"]) for p in passages.values()]
    task = with_corpus(Answering(), Corpus(tuple(documents)))
    test_ids = set((folder / "test_ids.txt").read_text("utf-8").split())
    rows = {
        row["id"]: Example(
            id=row["id"],
            text=row["question"],
            target=row["answers"][0],
            accepted=tuple(row["answers"][1:]),
            evidence=tuple(Span(e, 0, len(passages[e]["text"])) for e in row["evidence"]),
        )
        for row in lines(folder / "questions.jsonl")
    }
    test = [row for id, row in rows.items() if id in test_ids]
    gold = given(GOLD, test, task.corpus)  # type: ignore[attr-defined]
    means = []
    for seed in range(3):
        pool = [row for id, row in rows.items() if id not in test_ids]
        random.Random(f"exp-{seed}").shuffle(pool)
        strategy, began = build("reader", seed=seed), process_time()
        strategy.fit(task, pool[:400])
        assert process_time() - began < 60
        for items in (gold, [row.item() for row in test]):
            outputs = strategy.predict(items).outputs
            scores = [
                task.score(output, rows[item.id].targets)["token-f1"]
                for output, item in zip(outputs, items, strict=True)
            ]
            means.append(sum(scores) / len(scores))
    assert sum(means[::2]) / 3 >= 0.33
    assert sum(means[1::2]) / 3 >= 0.30


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


CHANGED = Corpus(
    tuple(
        replace(document, text=document.text.replace("opened in 19", "opened in 17"))
        for document in CORPUS.documents
    )
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.causal_lm(tmp_path_factory.mktemp("models") / "lm")


@pytest.mark.parametrize("name", ["sentence", "reader", "rag", "lora-rag"])
def test_other_documents_are_read_without_a_fit(
    name: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passage_search, "_INDEXES", type(passage_search._INDEXES)())
    own: dict[str, dict[str, Any]] = {
        "rag": {"model": str(models), "k": 1, "shorten": False},
        "lora-rag": {"base": str(models), "rank": 2, "epochs": 1.0},
    }
    retriever = {"retriever": "bm25"} if name in ("rag", "lora-rag") else {}
    strategy: Any = build(name, seed=0, **retriever, **own.get(name, {}))
    assert isinstance(strategy, Rereads)
    strategy.fit(TASK, ROWS)
    before = strategy.predict(ITEMS)
    library = getattr(strategy, "library", None)
    seconds = strategy.reread(CHANGED)
    assert 0 < seconds < 60
    after = strategy.predict(ITEMS)
    assert after.evidence == before.evidence  # the same places, of other documents
    if name in ("sentence", "reader"):  # the others have random weights
        changed = tuple((output or "").replace("19", "17") for output in before.outputs)
        assert after.outputs == changed
    if name != "sentence":
        [[passage]] = strategy.library.search(ITEMS[:1], 1)
        assert "opened in 17" in passage.text
        assert strategy.library.way == library.way
    for index in passage_search._INDEXES.values():
        index.seconds = 500.0
    assert strategy.reread(CORPUS) > 400  # what the cached index took
    again = strategy.predict(ITEMS)
    assert (again.outputs, again.evidence) == (before.outputs, before.evidence)
